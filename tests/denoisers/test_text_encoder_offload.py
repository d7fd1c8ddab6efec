"""Text encoders that are kept on the CPU but while they speak."""

import pytest
import test_aura_flow
import tiny
import torch
from folders import load

from diffclf_lightning import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    tiny.stable_diffusion_pipeline("epsilon").save_pretrained(path)
    return path


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_conditioning_is_the_same_and_weights_come_back(folder, how):
    plain, kept = load(folder), load(folder, text_encoder_offload=how)
    for _ in range(2):
        expected = plain.condition(["a cat", "a dog"])["encoder_hidden_states"]
        found = kept.condition(["a cat", "a dog"])["encoder_hidden_states"]
        assert torch.allclose(found, expected, atol=1e-6)
    for name, weight in plain.text_encoder.state_dict().items():
        assert torch.equal(kept.text_encoder.state_dict()[name], weight)


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_weights_that_layers_share_stay_shared(tmp_path, how):
    """T5 reads its table of tokens under two names."""
    test_aura_flow.pipeline().save_pretrained(tmp_path)
    model = load(tmp_path, text_encoder_offload=how)
    before = [name for name, _ in model.named_parameters()]
    for _ in range(2):
        model.condition(["a cat"])
        assert [name for name, _ in model.named_parameters()] == before


@pytest.mark.parametrize("how", [None, "model", "sequential"])
def test_they_speak_as_well_in_the_inference_mode_of_the_trainer(folder, how):
    kept = load(folder, text_encoder_offload=how)
    expected = load(folder).condition(["a cat"])["encoder_hidden_states"]
    with torch.inference_mode():
        for _ in range(2):
            found = kept.condition(["a cat"])["encoder_hidden_states"]
            assert torch.allclose(found, expected, atol=1e-6)


def test_layers_come_one_by_one(folder):
    """While one layer speaks the weights of the others are on no device."""
    kept, seen = load(folder, text_encoder_offload="sequential"), []
    layers = [m for name, m in kept.text_encoder.named_modules() if name.endswith("mlp.fc1")]

    def look(module, args, output):
        seen.append([layer.weight.is_meta for layer in layers])

    for layer in layers:
        layer.register_forward_hook(look)
    kept.condition(["a cat"])
    assert len(layers) == 2
    assert seen
    assert all(any(flags) for flags in seen)


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_moves_of_the_model_leave_them_where_they_are(folder, how):
    model = load(folder, text_encoder_offload=how).to("meta")
    assert model.unet.device.type == model.vae.device.type == "meta"
    assert model.text_encoder.device.type == "cpu"
    assert load(folder).to("meta").text_encoder.device.type == "meta"


def test_models_without_text_encoders(tmp_path):
    tiny.unet().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no argument `text_encoder_offload`"):
        load(tmp_path, text_encoder_offload="model")
