import torch

from diffclf_lightning.evaluation import NestedGrid, NoiseBank, TrialSource

PAIRS = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([3, 0, 4, 2, 3])


def rows(images, bank, stages=(2, 5), trial=PAIRS[1], image=PAIRS[0]):
    source = TrialSource(NestedGrid(), bank, stages, (1, 4, 4))
    noise = source(images).noise
    noise.reserve(int(trial.max()) + 1)
    return noise.rows(image, trial)


def test_shared_noise_of_a_trial_depends_on_the_seed_alone(seed):
    images = torch.rand(3, 1, 4, 4)
    noise = rows(images, NoiseBank(5))
    assert torch.equal(noise[0], noise[4])  # trial 3 of two images
    assert torch.equal(noise, rows(images.flip(0) + 1, NoiseBank(5), (2, 5, 70)))
    assert not torch.equal(noise, rows(images, NoiseBank(6)))
    assert not torch.equal(noise[0], noise[1])


def test_seed_42_is_one_draw_of_torch_as_published():
    shape = (4, 32, 32)
    source = TrialSource(NestedGrid(), NoiseBank(42), (7,), shape)
    noise = source(torch.rand(1, 3, 2, 2)).noise
    for reserved in (2, 3, 7):  # as it is needed
        noise.reserve(reserved)
    published = torch.randn((256, *shape), generator=torch.Generator().manual_seed(42))
    trial = torch.arange(7)
    assert torch.equal(noise.rows(trial * 0, trial), published[:7])


def test_noise_is_standard_normal():
    trial = torch.arange(500)
    for per_image in (False, True):
        source = TrialSource(NestedGrid(), NoiseBank(0, per_image), (500,), (4, 8, 8))
        bank = source(torch.zeros(1, 1, 4, 4)).noise
        bank.reserve(500)
        noise = bank.rows(trial * 0, trial)
        assert noise.dtype == torch.float32
        assert abs(noise.mean()) < 0.01
        assert abs(noise.std() - 1) < 0.01


def test_noise_of_each_image_follows_the_content_and_not_the_place(seed):
    images = torch.randint(256, (3, 1, 4, 4), dtype=torch.uint8)
    bank = NoiseBank(1, per_image=True)
    noise = rows(images, bank)
    image = PAIRS[0]
    assert torch.equal(noise, rows(images.flip(0), bank, image=2 - image))
    assert torch.equal(noise, rows(images / 255, bank))
    assert not torch.equal(noise, rows(images, NoiseBank(2, per_image=True)))
    same_trial = rows(images, bank, image=torch.tensor([0, 2]), trial=torch.tensor([3, 3]))
    assert torch.equal(same_trial, noise[[0, 4]])
    assert not torch.equal(noise[0], noise[4])
    assert not torch.equal(noise[0], noise[1])
