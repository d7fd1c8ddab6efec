import torch

from diffclf_lightning.evaluation import NestedGrid, Noise, TrialSource


def test_noise_of_a_trial_depends_on_the_seed_alone():
    few, many = Noise(5).draw(3, (2, 4, 4)), Noise(5).draw(30, (2, 4, 4))
    assert torch.equal(few, many[:3])
    assert not torch.equal(few, Noise(6).draw(3, (2, 4, 4)))
    assert not torch.equal(many[0], many[1])


def test_noise_is_standard_normal():
    noise = Noise(0).draw(500, (4, 8, 8))
    assert noise.dtype == torch.float32
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01


def test_noise_per_image_follows_the_content_and_not_the_place(seed):
    source = TrialSource(NestedGrid(), Noise(1, per_image=True), (2, 5), 1000, (1, 4, 4))
    images = torch.randint(256, (3, 1, 4, 4), dtype=torch.uint8)
    noise = source(images).noise
    assert noise.shape == (3, 5, 1, 4, 4)
    assert torch.equal(source(images.flip(0)).noise, noise.flip(0))
    assert torch.equal(source(images / 255).noise, noise)
    assert not torch.equal(noise[0], noise[1])


def test_shared_noise_is_the_same_for_any_batch(seed):
    source = TrialSource(NestedGrid(), Noise(1), (2, 5), 1000, (1, 4, 4))
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(source(images).noise, source(images[:1]).noise)
    assert source(images).noise.shape == (5, 1, 4, 4)


def test_blocks_cover_all_trials():
    trials = TrialSource(NestedGrid(), Noise(), (2, 5, 9), 1000, (1, 2, 2))(torch.rand(1, 1, 2, 2))
    assert trials.blocks == [range(2), range(2, 5), range(5, 9)]
    assert len(trials) == 9
