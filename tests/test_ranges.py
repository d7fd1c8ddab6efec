"""Numbers that no argument may be: what is not finite is refused by every public class."""

import inspect
import math
import re
from importlib import import_module

import pytest
import torch

from diffclf_lightning import DiffusionClassifier, InputError
from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.baselines.logits import Preprocessing
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.ranges import check_number

PACKAGES = (
    "baselines", "callbacks", "datamodules", "denoisers", "evaluation", "shortlists", "tasks",
    "training", "training_filter",
)  # fmt: skip
RESULTS = {"Asked", "Preprocessing"}
"""What the package makes itself, of numbers that are known."""
NEEDED = {
    "DiffusionClassifier": {"denoiser": GaussianDenoiser(torch.zeros(3, 1, 2, 2))},
    "DenoiserTraining": {"denoiser": GaussianDenoiser(torch.zeros(3, 1, 2, 2))},
    "CaptionTraining": {"denoiser": None},
    "GrammarTraining": {"denoiser": None},
    "DiscriminativeClassifier": {
        "network": torch.nn.Identity(),
        "preprocessing": Preprocessing(None, (1, 2, 2), [0.5], [0.5]),
        "name": "none",
    },
    "GaussianDenoiser": {"means": torch.zeros(3, 1, 2, 2)},
    "EffectiveRobustness": {"baselines": ["digits"]},
}
"""Arguments of classes that cannot be made without."""


def scalars():
    """Classes that the package gives, and their arguments that are numbers."""
    found = {}
    for package in ("", *PACKAGES):
        module = import_module(f"diffclf_lightning.{package}".rstrip("."))
        for name in module.__all__:
            made = getattr(module, name)
            skipped = name in RESULTS or not inspect.isclass(made) or inspect.isabstract(made)
            if skipped or issubclass(made, Exception):
                continue
            for parameter in inspect.signature(made).parameters.values():
                if re.fullmatch(r"<class 'float'>|float \| None", str(parameter.annotation)):
                    found[name, parameter.name] = made
    return found


def test_every_number_of_every_public_class_has_a_range():
    every = scalars()
    assert len(every) > 25
    silent = []
    for (name, argument), made in every.items():
        for value in (math.nan, math.inf, -math.inf):
            try:
                made(**NEEDED.get(name, {}), **{argument: value})
            except InputError as error:
                if f"`{argument}`" not in str(error) and "augment" not in str(error):
                    silent.append((name, argument, value, str(error)))
            else:
                silent.append((name, argument, value))
    assert not silent


@pytest.mark.parametrize("temperature", [0, -1, 1e300, 1e13, math.inf, math.nan])
def test_temperatures_that_make_no_probabilities_are_refused(temperature, tmp_path):
    denoiser = NEEDED["DiffusionClassifier"]["denoiser"]
    with pytest.raises(InputError, match="`temperature`"):
        DiffusionClassifier(denoiser, temperature=temperature)
    Calibration(temperature, "l2", 3).save(tmp_path)
    with pytest.raises(InputError, match="temperature"):
        DiffusionClassifier(denoiser, calibration=tmp_path)


def test_the_hottest_temperature_makes_probabilities():
    denoiser = GaussianDenoiser(torch.linspace(-0.5, 0.5, 3).reshape(3, 1, 1, 1))
    log = DiffusionClassifier(denoiser, temperature=1e12)(
        torch.tensor([0.2, 0.9]).reshape(2, 1, 1, 1)
    )
    assert log.exp().sum(dim=1) == pytest.approx(1)
    assert not log.isnan().any()


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        ({}, [-1e300, 0, 3], [math.nan, math.inf, -math.inf]),
        ({"above": 0}, [1e-300, 7], [0, -1, math.nan, math.inf]),
        ({"least": 0, "most": 1}, [0, 0.5, 1], [-1e-9, 1.1, math.nan, -math.inf]),
        ({"least": 0, "below": 1}, [0, 0.999], [1, math.nan]),
    ],
)
def test_ends_of_a_range(limits, inside, outside):
    for value in inside:
        check_number("x", value, **limits)
    for value in outside:
        with pytest.raises(InputError, match=r"Expected argument `x` \w.* but got"):
            check_number("x", value, **limits)
    with pytest.raises(InputError, match="Expected --x "):
        check_number("--x", outside[0], **limits)


@pytest.mark.parametrize(("argument", "values"), [("mean", [0.5, math.nan]), ("std", [0.5, 0.0])])
def test_a_normalisation_that_is_none(argument, values):
    own = {"model": "test_resnet", "pretrained": False, "in_chans": 1}
    with pytest.raises(InputError, match=f"`{argument}`"):
        TimmClassifier(**own, **{argument: values[1:]})
