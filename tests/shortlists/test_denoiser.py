"""A shortlist by a cheaper model, against plain loops from the formulas."""

import pytest
import tiny
import torch
from PIL import Image
from running import quiet_trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    AutoDenoiser,
    Candidates,
    DenoiserShortlist,
    DiffusionClassifier,
    Full,
    InputError,
)
from diffclf_lightning.denoisers import GaussianDenoiser, StableDiffusion
from diffclf_lightning.denoisers.new import NewDiT
from diffclf_lightning.evaluation import GoldenGrid, NoiseBank, TrialSource, evaluate, get_loss

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]
MIXED = ["fox", "cat", "ant", "elk", "dog", "bee"]
TRIALS = 5


@pytest.fixture
def cheaper(denoiser):
    """The same classes in another order, at half the side."""
    pooled = nn.functional.avg_pool2d(denoiser.means.detach(), 2)
    cheaper = GaussianDenoiser(pooled[[NAMES.index(name) for name in MIXED]], std=0.3)
    cheaper.classnames = MIXED
    return cheaper


def test_scores_are_mean_errors_of_classes_of_the_same_name(
    denoiser, cheaper, images, choose, ranked, by_hand
):
    shortlist = DenoiserShortlist(cheaper, trials=TRIALS).bind(choose(denoiser))
    scores, evaluations = ranked(shortlist, images)
    pixels = [cheaper.transform(_picture(image)) for image in images]
    x_0 = cheaper.encode(torch.stack(pixels))
    for c, name in enumerate(NAMES):
        mean = cheaper.means.detach()[MIXED.index(name)]
        assert torch.allclose(scores[:, c], by_hand(cheaper, x_0, mean, TRIALS), rtol=1e-4)
    assert evaluations.tolist() == [6 * TRIALS] * len(images)  # nothing that torch counts
    assert shortlist.evaluations(6) == 6 * TRIALS


def _picture(image):
    return Image.fromarray(image[0].numpy())


def test_candidates_of_one_class_are_evaluated_once(denoiser, cheaper, images, choose, ranked):
    several = Candidates(range(6), [0, 0, 1, 1, 1, 2]).called(["elk", "bee", "ant"])
    shortlist = DenoiserShortlist(cheaper, trials=2).bind(choose(denoiser, several))
    allowed = torch.ones(len(images), 6, dtype=torch.bool)
    allowed[0, 5] = False
    allowed[0, 0] = False
    scores, evaluations = ranked(shortlist, images, allowed)
    assert scores[:, 0].equal(scores[:, 1])
    assert scores[:, 2].equal(scores[:, 4])
    assert not scores[:, 0].equal(scores[:, 2])
    assert evaluations.tolist() == [4] + [6] * (len(images) - 1)
    assert scores[0, 5].isinf()


class Multiplying(GaussianDenoiser):
    """The same with ``times`` products of a 16 x 16 matrix and a vector, each 512 operations."""

    times = 0

    def forward(self, x_t, timestep, conditioning):
        flat = x_t.flatten(1)
        for _ in range(self.times):
            flat = flat @ torch.eye(flat.shape[1], dtype=flat.dtype)
        return super().forward(flat.reshape(x_t.shape), timestep, conditioning)


@pytest.mark.parametrize(("own", "full"), [(1, 7), (3, 4), (2, 2), (5, 2), (0, 3)])
def test_evaluations_count_by_their_share_of_operations(own, full, images, choose, ranked, seed):
    means = torch.rand(6, 1, 4, 4) - 0.5
    small, large = Multiplying(means), Multiplying(means)
    small.times, large.times = own, full
    shortlist = DenoiserShortlist(small, trials=TRIALS).bind(choose(large))
    _, evaluations = ranked(shortlist, images)
    whole = 6 * TRIALS
    expected = -(-whole * own // full) if own else whole
    assert evaluations.unique().tolist() == [expected]
    assert shortlist.evaluations(6) == expected


def test_a_class_conditional_model_ranks_for_one_of_prompts_and_back(choose, ranked, seed):
    digits = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    text = AutoDenoiser.from_pretrained("diffclf/digits-text")
    words = ["two", "one", "zero"]
    prompts = Candidates([f"the number {word}" for word in words], range(3)).called(words)
    ids = Candidates([2, 1, 0], range(3)).called(words)
    images = torch.randint(256, (2, *digits.image_shape), dtype=torch.uint8)
    template = "the number {}"
    for main, candidates, cheap, told, given in (
        (text, prompts, digits, [2, 1, 0], None),
        (digits, ids, text, list(prompts.conditions), template),
        (text, prompts, text, list(prompts.conditions), None),
    ):
        shortlist = DenoiserShortlist(cheap, trials=2, template=given)
        scores, _ = ranked(shortlist.bind(choose(main, candidates)), images)
        source = TrialSource(GoldenGrid(), NoiseBank(0), (2,), cheap.sample_shape)
        table = evaluate(
            cheap,
            cheap.encode(torch.stack([cheap.transform(_picture(image)) for image in images])),
            cheap.condition(told),
            source(images),
            Full(2).bind(3, source.ends),
            [get_loss("l2")],
        )
        assert torch.allclose(scores, table["l2"].means.float(), rtol=1e-4)


def test_the_same_model_at_a_lower_resolution(choose, ranked, seed):
    """Four times the pixels are about four times the operations."""
    pipeline = tiny.stable_diffusion_pipeline("epsilon")
    parts = (pipeline.unet, pipeline.scheduler, pipeline.text_encoder, pipeline.tokenizer)
    whole = StableDiffusion(*parts, pipeline.vae).eval()
    side = whole.image_shape[1]
    half = StableDiffusion(*parts, pipeline.vae, image_size=side // 2).eval()
    candidates = Candidates([f"a {name}" for name in NAMES], range(6)).called(NAMES)
    shortlist = DenoiserShortlist(half, trials=4).bind(choose(whole, candidates))
    images = torch.randint(256, (2, 3, side, side), dtype=torch.uint8)
    scores, evaluations = ranked(shortlist, images)
    assert scores.isfinite().all()
    assert 24 / 6 <= int(evaluations[0]) <= 24 / 2.5


def test_in_a_run(denoiser, cheaper, images, labels):
    classifier = DiffusionClassifier(
        denoiser,
        Full(10),
        classnames=NAMES,
        shortlist=DenoiserShortlist(cheaper, keep=2, trials=3),
    )
    assert sum(p.numel() for p in classifier.parameters()) == denoiser.means.numel()
    assert set(classifier.state_dict()) == {"denoiser.means"}
    quiet_trainer().test(
        classifier, DataLoader(TensorDataset(images, labels), batch_size=5), verbose=False
    )
    said = classifier.reports["test"].scalars()
    assert said["evaluations_per_image"] == 6 * 3 + 2 * 10
    assert classifier.classify(images[0], NAMES).evaluations == 6 * 3 + 2 * 10


def test_what_decides_is_described(denoiser, cheaper):
    one = DenoiserShortlist(cheaper)
    assert one.describe() == DenoiserShortlist(cheaper).describe()
    for changed in ({"trials": 3}, {"template": "a {}"}, {"loss": "l1"}):
        assert DenoiserShortlist(cheaper, **changed).describe() != one.describe()
    before = one.describe()
    with torch.no_grad():
        cheaper.means.add_(0.1)
    assert one.describe() != before


def test_what_does_not_fit_is_named(denoiser, cheaper, choose):
    with pytest.raises(InputError, match=r"`denoiser` of DenoiserShortlist .* but got NewDiT"):
        DenoiserShortlist(NewDiT(size=8, channels=1))
    with pytest.raises(InputError, match="`trials` of DenoiserShortlist to be at least 1"):
        DenoiserShortlist(cheaper, trials=0)
    with pytest.raises(InputError, match=r"`loss` to be one of .* but got 'l3'"):
        DenoiserShortlist(cheaper, loss="l3").bind(choose(denoiser))
    with pytest.raises(InputError, match=r"predict its variance for loss 'bound'.* own: l2"):
        DenoiserShortlist(cheaper).bind(choose(denoiser, loss="bound"))
    DenoiserShortlist(cheaper, loss="l2").bind(choose(denoiser, loss="bound"))
    with pytest.raises(InputError, match=r"but got 'yak' \(nearest"):
        DenoiserShortlist(cheaper).bind(choose(denoiser, names=[*NAMES[:5], "yak"]))
    cheaper.num_classes = None
    with pytest.raises(InputError, match="`template` of DenoiserShortlist"):
        DenoiserShortlist(cheaper).bind(choose(denoiser))
