"""Quantised loading: each component gets the configuration that diffusers' own loading gives it."""

from importlib.metadata import PackageNotFoundError

import pytest
import tiny
import torch
from diffusers import BitsAndBytesConfig, PipelineQuantizationConfig
from folders import load
from torch.testing._internal.two_tensor import TwoTensor
from transformers import BitsAndBytesConfig as BitsAndBytesOfTransformers

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import loading
from diffclf_lightning.weights import checksum

ARGUMENTS = {
    "quant_backend": "bitsandbytes_8bit",
    "quant_kwargs": {"load_in_8bit": True, "llm_int8_threshold": 5.0},
    "components_to_quantize": ["unet", "text_encoder"],
}


@pytest.fixture
def given(monkeypatch):
    """Configurations by component, as the libraries get them; nothing is quantised."""
    found, own = {}, loading.component_class

    def component_class(path, library, name):
        kind = own(path, library, name)

        class Told(kind):
            @classmethod
            def from_pretrained(cls, folder, quantization_config=None, **options):
                found[folder.rsplit("/", 1)[1]] = quantization_config
                return kind.from_pretrained(folder, **options)

        return Told if issubclass(kind, torch.nn.Module) else kind

    monkeypatch.setattr(loading, "component_class", component_class)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(path)
    return path


def test_arguments_become_the_configuration_of_each_library(folder, given):
    load(folder, quantization_config=ARGUMENTS)
    assert given["vae"] is None
    assert type(given["unet"]) is BitsAndBytesConfig
    assert type(given["text_encoder"]) is BitsAndBytesOfTransformers
    assert given["unet"].llm_int8_threshold == 5.0


def test_a_configuration_by_component(folder, given):
    own = BitsAndBytesConfig(load_in_8bit=True)
    load(folder, quantization_config=PipelineQuantizationConfig(quant_mapping={"unet": own}))
    assert given == {"unet": own, "vae": None, "text_encoder": None}


def test_no_configuration(folder, given):
    load(folder)
    assert set(given.values()) == {None}


def test_components_that_are_not_there(folder):
    """Nothing would be quantised, without a word."""
    with pytest.raises(InputError, match=r"name components of the pipeline \(unet,.*'transformer'"):
        load(folder, quantization_config={**ARGUMENTS, "components_to_quantize": "transformer"})


def test_a_backend_that_is_not_installed(folder, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    wanted = {**ARGUMENTS, "quant_backend": "bitsandbytes_4bit"}
    wanted["quant_kwargs"] = {"load_in_4bit": True}
    with pytest.raises(InputError, match="'bitsandbytes_4bit', but it is not installed"):
        load(folder, quantization_config=wanted)


@pytest.mark.parametrize("wrong", [{"quant_backend": "none", "quant_kwargs": {"a": 1}}, {"x": 1}])
def test_what_diffusers_does_not_take(folder, wrong):
    with pytest.raises(InputError, match="`quantization_config` to hold the arguments"):
        load(folder, quantization_config=wrong)


def test_the_checksum_sees_all_that_a_quantised_weight_is_made_of():
    def module(first, second):
        made = torch.nn.Linear(4, 3)
        made.weight = torch.nn.Parameter(TwoTensor(first, second))
        torch.nn.init.zeros_(made.bias)
        return made

    one, other = torch.zeros(3, 4), torch.ones(3, 4)
    sums = [checksum(module(*parts)) for parts in ((one, one), (one, other), (other, one))]
    assert len(set(sums)) == 3
    assert checksum(module(one, other)) == sums[1]
