"""Shortlists by the gradient of the error: what networks are told, and what the slopes are."""

from copy import deepcopy

import pytest
import torch
from running import quiet_trainer
from tiny import dit_with_vae, stable_diffusion_pipeline, unet
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import Candidates, DiffusionClassifier, Full, GradientShortlist, InputError
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser, StableDiffusion
from diffclf_lightning.evaluation import GoldenGrid, NoiseBank, Noised, get_loss
from diffclf_lightning.results import RunFolder
from diffclf_lightning.shortlists import Choice


def stable_diffusion():
    pipe = stable_diffusion_pipeline("epsilon")
    parts = pipe.unet, pipe.scheduler, pipe.text_encoder, pipe.tokenizer, pipe.vae
    return StableDiffusion(*parts).eval()


def bound(denoiser, shortlist, conditions, noise=None):
    candidates = Candidates(conditions, range(len(conditions)))
    told = denoiser.condition(conditions)
    loss = get_loss("l2")
    return shortlist.bind(Choice(denoiser, candidates, told, noise or NoiseBank(0), loss))


def noised_samples(denoiser, count=3):
    x_0 = torch.randn(count, *denoiser.sample_shape)
    at = denoiser.at([one / count for one in range(count)])
    return Noised(x_0, torch.randn_like(x_0), at)


@pytest.mark.parametrize("made", [dit_with_vae, unet])
@torch.no_grad()
def test_class_ids_are_mixed_by_their_embeddings(made, seed):
    denoiser = made()
    samples, ids = noised_samples(denoiser), [3, 0, 4]
    weights = torch.rand(3, len(ids)).softmax(dim=1)
    mixed = denoiser.predict_mixed(samples, denoiser.condition(ids), weights)
    for row in range(3):
        network = deepcopy(denoiser.model)
        for table in [m for m in network.modules() if isinstance(m, torch.nn.Embedding)]:
            if len(table.weight) in (5, 6):  # the classes', with or without the null class
                table.weight[1] = weights[row] @ table.weight[ids]
        one = slice(row, row + 1)
        told = torch.tensor([1])
        output = network(samples.x_t[one], samples.at.timestep[one], class_labels=told).sample
        expected = output[:, : denoiser.sample_shape[0]]
        torch.testing.assert_close(mixed.output[one], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_prompts_are_mixed_by_their_states(seed):
    denoiser = stable_diffusion()
    samples, prompts = noised_samples(denoiser, 2), ["a cat", "a dog", "a bird"]
    weights = torch.rand(2, 3).softmax(dim=1)
    told = denoiser.condition(prompts)
    states = torch.einsum("bc,cld->bld", weights, told["encoder_hidden_states"])
    expected = denoiser.unet(samples.x_t, samples.at.timestep, encoder_hidden_states=states).sample
    mixed = denoiser.predict_mixed(samples, told, weights)
    torch.testing.assert_close(mixed.output, expected, rtol=1e-4, atol=1e-5)


def slopes_by_hand(denoiser, x_0, trials, allowed):
    """The formula for Gaussians: the prediction is linear in the mean of the mixture."""
    times, _ = GoldenGrid().order((trials,))
    bank = torch.Generator().manual_seed(0)
    noise = [torch.randn(x_0.shape[1:], generator=bank) for _ in times]
    means = denoiser.means[allowed]
    mixture, total = means.mean(dim=0), torch.zeros(len(means))
    for at, epsilon in zip(denoiser.at(times), noise, strict=True):
        alpha, sigma = at.alpha, at.sigma
        variance = alpha**2 * denoiser.std**2 + sigma**2
        x_t = alpha * x_0[0] + sigma * epsilon
        left = epsilon - sigma * (x_t - alpha * mixture) / variance
        slope = 2 * left * sigma * alpha / variance / left.numel()
        total += ((means - mixture) * slope).flatten(1).sum(dim=1)
    return total / trials


@pytest.mark.parametrize("per_batch", [1, 64])
def test_scores_are_the_derivatives(per_batch, seed):
    denoiser = GaussianDenoiser(torch.rand(7, 1, 4, 4) * 2 - 1, std=0.4)
    x_0 = torch.rand(5, 1, 4, 4) * 2 - 1
    allowed = torch.rand(5, 7) < 0.7
    allowed[:, :2] = True
    shortlist = bound(denoiser, GradientShortlist(keep=2, trials=6), range(7))
    made = shortlist((x_0 + 1) / 2, x_0, allowed, per_batch)
    for image in range(5):
        mine = allowed[image]
        expected = slopes_by_hand(denoiser, x_0[image : image + 1], 6, mine)
        torch.testing.assert_close(made.scores[image, mine], expected, rtol=1e-4, atol=1e-6)
        order = mine.nonzero()[:, 0][expected.argsort()]
        assert made.kept[image].nonzero()[:, 0].tolist() == sorted(order[:2].tolist())
        assert made.ranks[image, order].tolist() == list(range(len(order)))
    assert made.evaluations.tolist() == [12] * 5


def test_the_answer_of_an_image_is_its_own(seed):
    denoiser = unet()
    x_0 = torch.rand(6, 1, 8, 8) * 2 - 1
    for per_image in (False, True):
        bank = NoiseBank(3, per_image)
        shortlist = bound(denoiser, GradientShortlist(trials=3), range(5), bank)
        together = shortlist((x_0 + 1) / 2, x_0, None, 7).scores
        alone = shortlist((x_0[2:3] + 1) / 2, x_0[2:3], None, 64).scores
        torch.testing.assert_close(together[2:3], alone, rtol=1e-3, atol=1e-6)


def test_a_pass_that_does_not_fit_is_halved(seed, monkeypatch):
    denoiser = GaussianDenoiser(torch.rand(4, 1, 4, 4) * 2 - 1)
    x_0 = torch.rand(5, 1, 4, 4) * 2 - 1
    shortlist = bound(denoiser, GradientShortlist(trials=3), range(4))
    expected = shortlist((x_0 + 1) / 2, x_0, None, 4)
    mixed, sizes = denoiser.predict_mixed, []

    def limited(noised, *told):
        sizes.append(len(noised.x_0))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mixed(noised, *told)

    monkeypatch.setattr(denoiser, "predict_mixed", limited)
    made = shortlist((x_0 + 1) / 2, x_0, None, 64)
    torch.testing.assert_close(made.scores, expected.scores)
    assert sizes == [15, 8, 4, 2, 2, 2, 2, 2, 2, 2, 1]


def rows_of(denoiser, data, folder, shortlist, **kwargs):
    strategy = Full(trials=4)
    classifier = DiffusionClassifier(denoiser, strategy, shortlist=shortlist, **kwargs)
    trainer = quiet_trainer(callbacks=[ResultsWriter(folder)])
    trainer.test(classifier, DataLoader(data, batch_size=4), verbose=False)
    return RunFolder(folder).rows(
        ["label", "prediction", "counts", "shortlist_scores", "shortlist_rank", "shortlisted"]
    ).to_pylist(), trainer.callback_metrics


@pytest.mark.parametrize("text", [False, True])
def test_under_the_trainer(text, tmp_path, seed):
    """In its inference mode, for class ids and for prompts; only the first candidates race."""
    denoiser = stable_diffusion() if text else dit_with_vae()
    names = ["a cat", "a dog", "a bird", "a fish", "a cow"] if text else None
    images = torch.randint(256, (6, *denoiser.image_shape), dtype=torch.uint8)
    labels = torch.arange(6) % 5
    kwargs = {"template": "{}", "classnames": names} if text else {}
    shortlist = GradientShortlist(keep=2, trials=3)
    with pytest.warns(UserWarning, match="without `calibration`"):
        rows, metrics = rows_of(
            denoiser, TensorDataset(images, labels), tmp_path, shortlist, **kwargs
        )
    with torch.no_grad():
        x_0 = denoiser.encode(images)
    expected = bound(denoiser, GradientShortlist(trials=3), names or range(5))(
        images, x_0, None, 64
    )
    for row, scores, label in zip(rows, expected.scores, labels, strict=True):
        torch.testing.assert_close(
            torch.tensor(row["shortlist_scores"]), scores, rtol=1e-3, atol=1e-6
        )
        order = torch.tensor(row["shortlist_scores"]).argsort().tolist()
        assert {i for i, count in enumerate(row["counts"]) if count} == set(order[:2])
        assert row["shortlist_rank"] == order.index(label)
        assert row["shortlisted"] == (order.index(label) < 2)
        assert row["prediction"] in order[:2]
        assert row["evaluations"] == 2 * 3 + 2 * 4
    recall = sum(row["shortlisted"] for row in rows) / 6
    assert metrics["test/shortlist_recall"] == pytest.approx(recall)


def test_bad_arguments_are_refused():
    with pytest.raises(
        InputError, match=r"`keep` of GradientShortlist to be at least 1, but got 0"
    ):
        GradientShortlist(keep=0)
    with pytest.raises(InputError, match=r"`trials` of GradientShortlist"):
        GradientShortlist(trials=0)
