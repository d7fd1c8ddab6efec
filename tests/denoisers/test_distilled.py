"""Distilled models say that they are."""

import warnings

import pytest
import test_flux
import tiny
from diffusers import LCMScheduler
from folders import load

from diffclf_lightning import AutoDenoiser


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sdxl-turbo", "'turbo'"),
        ("SDXL-Lightning", "'Lightning'"),
        ("sd_lcm", "'lcm'"),
        ("Hyper-SD", "'Hyper'"),
        ("sana-4step", "'4step'"),
        ("sdxl_dmd2", "'dmd2'"),
        ("stable-diffusion-3.5-large", None),
        ("pixart-512", None),
        ("welcome", None),
        ("food-32-steps", None),
    ],
)
def test_by_the_name(tmp_path, name, told):
    tiny.unet().save_pretrained(tmp_path / name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        load(tmp_path / name)
    found = [str(one.message) for one in said if "distilled" in str(one.message)]
    assert len(found) == (told is not None)
    assert all(told in one and "few steps" in one for one in found)


def test_by_the_scheduler(tmp_path):
    pipe = tiny.stable_diffusion_pipeline("epsilon")
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"few steps.*by its LCMScheduler"):
        load(tmp_path)


def test_the_warning_is_of_the_line_that_loads(tmp_path):
    pipe = tiny.stable_diffusion_pipeline("epsilon")
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="distilled") as said:
        AutoDenoiser.from_pretrained(str(tmp_path))
    assert [one.filename for one in said if "distilled" in str(one.message)] == [__file__]


@pytest.mark.parametrize(
    ("guided", "why"), [(True, "guidance was distilled"), (False, "few steps")]
)
def test_flux_says_by_its_network_which_it_is(tmp_path, guided, why):
    test_flux.pipeline(guided).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=why) as said:
        load(tmp_path, image_size=16)
    assert len([one for one in said if "distilled" in str(one.message)]) == 1


def test_embedded_models_are_not(recwarn):
    load("diffclf/digits-text")
    assert not [one for one in recwarn if "distilled" in str(one.message)]
