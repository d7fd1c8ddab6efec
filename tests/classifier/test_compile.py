"""torch.compile takes effect wherever it is asked for."""

import pytest
import tiny
import torch
from diffusers.models.attention_processor import Attention
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full, InputError, Racing
from diffclf_lightning.denoisers import StableDiffusion
from diffclf_lightning.evaluation import RelativeToReference


class Backend:
    """A backend that compiles nothing, and counts graphs and the passes that come through them."""

    def __init__(self):
        self.graphs = self.passes = 0

    def __call__(self, graph, example_inputs):
        self.graphs += 1

        def run(*args):
            self.passes += 1
            return graph(*args)

        return run


@pytest.fixture
def denoiser(seed):
    """It predicts its variance too, so that its network is called from elsewhere than forward."""
    return tiny.dit_with_vae()


@pytest.fixture
def loader(denoiser):
    images = torch.randint(256, (4, *denoiser.image_shape), dtype=torch.uint8)
    return DataLoader(TensorDataset(images, torch.arange(4) % 2), batch_size=4)


def scores(classifier, loader):
    torch._dynamo.reset()
    (out,) = quiet_trainer().predict(classifier, loader)
    return out["scores"]


@pytest.mark.parametrize("kind", ["argument", "denoiser", "in place", "classifier", "method"])
def test_every_way_compiles_the_passes_and_changes_no_score(denoiser, loader, kind):
    arguments = {"strategy": Full(2), "evaluations_per_batch": 8}
    expected = scores(DiffusionClassifier(denoiser, **arguments), loader)
    backend = Backend()
    if kind == "argument":
        classifier = DiffusionClassifier(denoiser, **arguments, compile={"backend": backend})
    elif kind == "denoiser":
        wrapped = torch.compile(denoiser, backend=backend)
        classifier = DiffusionClassifier(wrapped, **arguments)
    elif kind == "in place":
        denoiser.compile(backend=backend)
        classifier = DiffusionClassifier(denoiser, **arguments)
    else:
        classifier = DiffusionClassifier(denoiser, **arguments)
        if kind == "method":
            classifier.compile(backend=backend)
        else:
            classifier = torch.compile(classifier, backend=backend)
    found = scores(classifier, loader)
    assert backend.passes > 0
    assert torch.allclose(found, expected, atol=1e-5)


def test_sizes_that_are_only_tried_are_not_compiled(denoiser, loader):
    backend = Backend()
    classifier = DiffusionClassifier(denoiser, Full(2), compile={"backend": backend})
    prepared, _ = _prepared(classifier, loader)
    classifier.warm_up(next(iter(loader))[0], prepared)
    assert backend.passes == 0
    assert classifier.pass_size.evaluations >= 1


def test_all_rounds_batches_and_sets_are_compiled_once(denoiser, seed, monkeypatch):
    """Rounds of many sizes, a last batch of one image, and a reference beside the candidates."""
    backend, rows, strategy = Backend(), [], Racing(level=0.4, max_trials=20)
    images = torch.randint(256, (7, *denoiser.image_shape), dtype=torch.uint8)
    sets = {
        name: DataLoader(TensorDataset(images[:n], torch.arange(n) % 2), batch_size=3)
        for name, n in (("a", 7), ("b", 2))
    }
    output = denoiser.output
    monkeypatch.setattr(
        denoiser, "output", lambda x_t, *args: rows.append(len(x_t)) or output(x_t, *args)
    )
    expected = run_all(DiffusionClassifier(denoiser, strategy, score=RelativeToReference()), sets)
    assert len(set(rows)) > 3
    classifier = DiffusionClassifier(
        denoiser, strategy, score=RelativeToReference(), compile={"backend": backend}
    )
    prepared, _ = _prepared(classifier, sets["a"])
    classifier.warm_up(images[:3], prepared)
    rows.clear()
    found = run_all(classifier, sets)
    assert backend.graphs == 1
    assert backend.passes > 10
    assert set(rows) <= {classifier.pass_size.evaluations}
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine["prediction"], theirs["prediction"])
        assert torch.equal(mine["evaluations"], theirs["evaluations"])
        assert mine.filling.repeats >= theirs.filling.repeats


def run_all(classifier, sets):
    torch._dynamo.reset()
    return [out for outs in quiet_trainer().predict(classifier, sets) for out in outs]


def test_repeated_blocks_alone_are_compiled(seed):
    """Those that diffusers names, each kind and shape once; the rest of the network is not."""
    backend = Backend()
    pipeline = tiny.stable_diffusion_pipeline("epsilon")
    parts = {name: getattr(pipeline, name) for name in ("vae", "text_encoder", "tokenizer", "unet")}
    model = StableDiffusion(**parts, scheduler=pipeline.scheduler).eval()
    names = ["a cat", "a dog", "an ant"]
    arguments = {"strategy": Full(3), "template": "{}", "evaluations_per_batch": 6}
    images = torch.randint(256, (3, *model.image_shape), dtype=torch.uint8)
    torch._dynamo.reset()
    before = DiffusionClassifier(model, **arguments).classify(list(images), names)
    how = {"regional": True, "backend": backend}
    after = DiffusionClassifier(model, **arguments, compile=how).classify(list(images), names)
    blocks = [m for m in model.unet.modules() if type(m).__name__ == "BasicTransformerBlock"]
    passes = 5  # of 27 evaluations
    assert backend.passes == passes * len(blocks)
    assert 1 <= backend.graphs < len(blocks)
    assert model.unet._compiled_call_impl is None
    for a, b in zip(after, before, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-5)


def test_a_network_without_named_blocks_is_not_compiled_in_parts(denoiser):
    with pytest.raises(InputError, match=r"`compile` .*DiTTransformer2DModel; .*UNet2DCond"):
        DiffusionClassifier(denoiser, compile={"regional": True})


@pytest.mark.parametrize("family", ["dit", "text"])
def test_attention_is_torchs_own(family, monkeypatch, seed):
    """No option is needed for its fast kernels: diffusers takes them by itself."""
    network = {
        "dit": lambda: tiny.dit_with_vae().model,
        "text": lambda: tiny.stable_diffusion_pipeline("epsilon").unet,
    }[family]()
    calls = []
    attention = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention",
        lambda *args, **kwargs: calls.append(1) or attention(*args, **kwargs),
    )  # fmt: skip
    told = {
        "dit": {"class_labels": torch.tensor([1])},
        "text": {"encoder_hidden_states": torch.rand(1, 5, 16)},
    }[family]
    network(torch.rand(1, 4, 8, 8), torch.tensor([3]), **told)
    assert len(calls) == sum(type(module) is Attention for module in network.modules()) > 0


def _prepared(classifier, loader):
    candidates, _ = classifier.choices(None)
    return classifier.prepare(candidates)


@pytest.mark.parametrize("how", ["max", {"no_such_option": 1}, 3])
def test_what_is_no_option_is_named(denoiser, how):
    with pytest.raises(InputError, match="`compile`"):
        DiffusionClassifier(denoiser, compile=how)
