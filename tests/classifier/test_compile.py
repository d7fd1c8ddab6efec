"""torch.compile takes effect wherever it is asked for."""

import pytest
import tiny
import torch
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full, InputError


class Backend:
    """A backend that compiles nothing, and counts the passes that come through it."""

    def __init__(self):
        self.passes = 0

    def __call__(self, graph, example_inputs):
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
    assert classifier.evaluations_per_batch >= 1


def _prepared(classifier, loader):
    candidates, _ = classifier.choices(None)
    return classifier.prepare(candidates)


@pytest.mark.parametrize("how", ["max", {"no_such_option": 1}, 3])
def test_what_is_no_option_is_named(denoiser, how):
    with pytest.raises(InputError, match="`compile`"):
        DiffusionClassifier(denoiser, compile=how)
