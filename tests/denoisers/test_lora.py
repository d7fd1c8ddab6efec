"""LoRA layers of a denoiser: what is trained, merged, written."""

import pytest
import test_aura_flow
import test_cogview
import test_deepfloyd_if
import test_flux
import test_lumina
import test_sana
import test_stable_diffusion_3
import test_stable_diffusion_xl
import tiny
import tiny_text
import torch
from diffusers import EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from folders import load

from diffclf_lightning import Conditioning, InputError
from diffclf_lightning.denoisers import EDM2Denoiser, GaussianDenoiser, LoRA, SiTDenoiser
from diffclf_lightning.denoisers.edm2_network import EDM2UNet
from diffclf_lightning.denoisers.lora import layers_of, merged
from diffclf_lightning.denoisers.original_dit import OriginalDiT


def predictions(denoiser, seed, told=None, timesteps=(3, 400, 900)):
    """The network's output for three samples of a seed."""
    generator = torch.Generator().manual_seed(seed)
    x_t = torch.randn(3, *denoiser.sample_shape, generator=generator)
    if told is None:
        told = denoiser.condition(
            ["a cat", "a dog", ""] if denoiser.num_classes is None else [0, 1, 2]
        )
    with torch.no_grad():
        return denoiser(x_t, torch.tensor(timesteps), told)


def randomised(denoiser, std=0.3):
    """Changes that are none at the beginning, made random."""
    for layer in layers_of(denoiser.network).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=std)


@pytest.fixture(params=["text", "dit"])
def denoiser(request, whole, seed):
    return load(whole / request.param)


def test_layers_begin_as_none_and_alone_are_trained(denoiser, seed):
    before = predictions(denoiser, seed)
    names = {name for name, _ in denoiser.named_parameters()}
    LoRA(rank=3).add_to(denoiser)
    assert torch.equal(predictions(denoiser, seed), before)
    trained = {name for name, weight in denoiser.named_parameters() if weight.requires_grad}
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in trained} <= {
        *("to_q", "to_k", "to_v", "0"),
    }
    assert len(trained) == 2 * len(layers_of(denoiser.network)) > 0
    assert not trained & names
    x_t = torch.randn(2, *denoiser.sample_shape)
    conditions = ["a cat", "a dog"] if denoiser.num_classes is None else [0, 1]
    randomised(denoiser)
    denoiser(x_t, torch.tensor([3, 400]), denoiser.condition(conditions)).square().sum().backward()
    reached = {n for n, w in denoiser.named_parameters() if w.grad is not None and w.grad.any()}
    assert reached == trained


def test_a_layer_computes_its_formula(whole, seed):
    """(W + alpha / r B A) x of one layer, by hand."""
    denoiser = load(whole / "text")
    LoRA(rank=2, alpha=5, target_modules=["to_v"]).add_to(denoiser)
    randomised(denoiser)
    assert {name.rsplit(".", 1)[1] for name in layers_of(denoiser.network)} == {"to_v"}
    for layer in layers_of(denoiser.network).values():
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        assert down.shape[0] == up.shape[1] == 2
        x = torch.randn(4, down.shape[1])
        expected = x @ (layer.get_base_layer().weight + 5 / 2 * up @ down).T
        assert torch.allclose(layer(x), expected, atol=1e-5)


def test_merged_layers_compute_the_same_and_come_back_to_the_bit(denoiser, seed):
    names = set(denoiser.state_dict())
    LoRA(rank=2, alpha=3).add_to(denoiser)
    randomised(denoiser)
    expected = predictions(denoiser, seed)
    before = {name: weight.clone() for name, weight in denoiser.state_dict().items()}
    with merged(denoiser):
        assert set(denoiser.state_dict()) == names
        assert torch.allclose(predictions(denoiser, seed), expected, atol=1e-5)
    after = denoiser.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_quantised_weights_are_not_merged(whole, tmp_path, seed):
    denoiser = load(whole / "text")
    LoRA(rank=2).add_to(denoiser)
    layer = next(iter(layers_of(denoiser.network).values())).get_base_layer()
    whole_numbers = torch.ones_like(layer.weight, dtype=torch.int8)
    layer.weight = torch.nn.Parameter(whole_numbers, requires_grad=False)
    with pytest.raises(InputError, match="quantised"):
        denoiser.save_pretrained(tmp_path)
    denoiser.save_lora(tmp_path)


def test_an_exported_pipeline_is_the_tuned_model(denoiser, tmp_path, seed):
    LoRA(rank=2, alpha=3).add_to(denoiser)
    randomised(denoiser)
    denoiser.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.lora is None
    told = denoiser.condition(["a", "b", "c"] if denoiser.num_classes is None else [0, 1, 2])
    expected = predictions(denoiser, seed, told)
    assert torch.allclose(predictions(again, seed, told), expected, atol=1e-5)


def test_exported_layers_are_the_tuned_model_by_our_loader_and_by_diffusers(whole, tmp_path, seed):
    denoiser = load(whole / "text")
    before = predictions(denoiser, seed)
    LoRA(rank=2, alpha=3).add_to(denoiser)
    randomised(denoiser)
    expected = predictions(denoiser, seed)
    assert not torch.allclose(before, expected, atol=1e-2)
    denoiser.save_lora(tmp_path)
    again = load(whole / "text", lora=str(tmp_path))
    assert torch.allclose(predictions(again, seed), expected, atol=1e-5)
    plain = load(whole / "text")
    pipeline = plain.pipeline()
    pipeline.load_lora_weights(tmp_path)
    assert torch.allclose(predictions(plain, seed), expected, atol=1e-5)


def sit():
    network = OriginalDiT(
        sample_size=4, hidden_size=16, num_layers=2, num_attention_heads=2, num_embeds_ada_norm=5
    )
    return SiTDenoiser(network, FlowMatchEulerDiscreteScheduler())


def edm2():
    network = EDM2UNet(
        sample_size=8, block_out_channels=(16, 32), attention=(False, True), layers_per_block=1,
        channels_per_head=16, num_class_embeds=5, noise_channels=16, embedding_channels=32,
    )  # fmt: skip
    return EDM2Denoiser(network, EDMEulerScheduler())


@pytest.mark.parametrize(
    ("make", "ends"), [(sit, {"qkv", "proj"}), (edm2, {"attn_qkv", "attn_proj"})]
)
def test_networks_that_diffusers_has_not_are_tuned_too(make, ends, seed):
    denoiser = make().eval()

    def output():
        return predictions(denoiser, seed, timesteps=(0.1, 0.4, 0.8))

    before = output()
    LoRA(rank=2, class_embeddings=True).add_to(denoiser)
    assert {name.rpartition(".")[2] for name in layers_of(denoiser.network)} == ends
    randomised(denoiser)
    expected = output()
    assert not torch.allclose(expected, before, atol=1e-4)
    with merged(denoiser):
        assert torch.allclose(output(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("pipeline", "extra"),
    [
        (lambda: test_stable_diffusion_xl.pipeline(zeros=True), set()),
        (test_stable_diffusion_3.pipeline, {"add_q_proj", "to_add_out"}),
        (lambda: test_flux.pipeline(guided=False), {"add_k_proj"}),
        (test_sana.pipeline, set()),
        (test_lumina.pipeline, set()),
        (test_aura_flow.pipeline, {"add_q_proj"}),
        (test_cogview.pipeline, set()),
        (lambda: test_deepfloyd_if.pipeline(tiny_text.t5(24)), {"add_k_proj"}),
    ],
    ids=["SDXL", "SD3", "FLUX", "Sana", "Lumina 2", "AuraFlow", "CogView 4", "IF"],
)
def test_layers_of_every_family_whose_pipeline_loads_them(pipeline, extra, tmp_path, seed):
    """Of the text of transformers too; written alone and in the whole model."""
    pipeline().save_pretrained(tmp_path / "plain")
    denoiser = load(tmp_path / "plain")
    told = denoiser.condition([tiny_text.PROMPT, "a cat", "a dog"])
    before = predictions(denoiser, seed, told)
    LoRA(rank=2, alpha=3).add_to(denoiser)
    ends = {name.rpartition(".")[2] for name in layers_of(denoiser.network)}
    assert {"to_q", "to_v", "0"} | extra <= ends
    randomised(denoiser, std=1.0)
    expected = predictions(denoiser, seed, told)
    change = (expected - before).abs().max()
    assert change > 1e-4
    denoiser.save_lora(tmp_path / "lora")
    denoiser.save_pretrained(tmp_path / "whole")
    alone = load(tmp_path / "plain", lora=str(tmp_path / "lora"))
    for again in (alone, load(tmp_path / "whole")):
        error = (predictions(again, seed, told) - expected).abs().max()
        assert error < 1e-6 + 5e-5 * change


def test_half_of_the_weight_is_half_of_the_change(whole, tmp_path, seed):
    denoiser = load(whole / "text")
    LoRA(rank=2, target_modules=["to_q"]).add_to(denoiser)
    randomised(denoiser)
    denoiser.save_lora(tmp_path)
    plain, half, full = (
        load(whole / "text", **kwargs).unet.state_dict()
        for kwargs in ({}, {"lora": {str(tmp_path): 0.5}}, {"lora": str(tmp_path)})
    )
    for name, weight in plain.items():
        assert torch.allclose(half[name], (weight + full[name]) / 2, atol=1e-6), name


def test_layers_of_a_model_in_half_precision_are_float32(whole):
    denoiser = load(whole / "text", torch_dtype="bfloat16")
    LoRA(rank=2).add_to(denoiser)
    types = {w.requires_grad: w.dtype for w in denoiser.unet.parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}
    assert denoiser.unet.dtype == torch.bfloat16
    x_t = torch.randn(2, *denoiser.sample_shape)
    told = denoiser.condition(["a cat", "a dog"])
    assert denoiser(x_t, torch.tensor([3, 400]), told).dtype == torch.bfloat16


def test_embeddings_of_classes_are_trained_too_where_asked(seed):
    denoiser = tiny.dit_with_vae()
    LoRA(rank=2, class_embeddings=True).add_to(denoiser)
    assert all(table.weight.requires_grad for table in denoiser.class_embeddings())
    assert not denoiser.model.proj_out_2.weight.requires_grad


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rank": 0}, "`rank`"),
        ({"alpha": 0.0}, "`alpha`"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"target_modules": ["to_q", "to_x"]}, r"`target_modules`.*to_k.*but got to_x"),
        ({"target_modules": ["q"]}, "`target_modules`"),
        ({"class_embeddings": True}, "`class_embeddings`"),
    ],
)
def test_arguments_that_do_not_fit_are_named(whole, arguments, said):
    denoiser = load(whole / "text")
    with pytest.raises(InputError, match=said):
        LoRA(**arguments).add_to(denoiser)
    assert denoiser.unet.conv_in.weight.requires_grad


def test_a_model_without_attention_is_named(seed):
    model = GaussianDenoiser(torch.zeros(3, 1, 4, 4))
    with pytest.raises(InputError, match="`target_modules`"):
        LoRA().add_to(model)


def test_layers_are_added_once_and_written_where_a_pipeline_loads_them(whole, tmp_path):
    for family, message in (("text", "none"), ("dit", "`ExportDenoiser`")):
        denoiser = load(whole / family)
        with pytest.raises(InputError, match="one without"):
            denoiser.save_lora(tmp_path)
        LoRA().add_to(denoiser)
        with pytest.raises(InputError, match="already"):
            LoRA().add_to(denoiser)
        if family == "dit":
            with pytest.raises(InputError, match=message):
                denoiser.save_lora(tmp_path)


def test_conditioning_of_a_frozen_text_encoder_has_no_gradient(whole):
    denoiser = load(whole / "text").train()
    LoRA().add_to(denoiser)
    told: Conditioning = denoiser.condition(["a cat"])
    assert not told["encoder_hidden_states"].requires_grad
