"""The checksum of weights: every element counts, and nothing but weights does."""

import hashlib
import json
from shutil import copytree

import pytest
import torch
from accelerate import cpu_offload
from forked import diffclf as forked
from safetensors.torch import load_file, save_file
from torch import nn

from diffclf_lightning import AutoDenoiser, weights
from diffclf_lightning.denoisers import GaussianDenoiser, LoRA
from diffclf_lightning.denoisers.auto import ASSETS
from diffclf_lightning.weights import checksum, identity, layers, settings

KINDS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.int64, torch.uint16, torch.uint8, torch.bool),
)


def holding(**tensors):
    module = nn.Module()
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor)
    return module


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def test_it_is_blake2b_of_everything(seed):
    tensors = {"b": torch.randn(3, 4), "a": torch.arange(5), "c.d": torch.randn(2).bfloat16()}
    module = holding(b=tensors["b"], a=tensors["a"])
    module.c = holding(d=tensors["c.d"])
    whole = hashlib.blake2b(digest_size=8)
    for name, kind, shape in (
        ("a", "torch.int64", "(5,)"), ("b", "torch.float32", "(3, 4)"),
        ("c.d", "torch.bfloat16", "(2,)"),
    ):  # fmt: skip
        told = f"{kind} {shape}".encode() + bytes(bits(tensors[name]).tolist())
        one = hashlib.blake2b(told, digest_size=16).digest()
        whole.update(name.encode() + b"\0" + one)
    assert checksum(module) == whole.hexdigest()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_bit_counts(kind, seed, monkeypatch):
    """Any byte of any element, also where a tensor comes in several parts."""
    monkeypatch.setattr(weights, "AT_ONCE", 7)
    ones = torch.ones(23).to(kind)
    place = int(torch.randint(bits(ones).numel(), ()))
    other = ones.clone()
    other.view(torch.uint8)[place] ^= 1
    assert checksum(holding(a=ones)) != checksum(holding(a=other))
    monkeypatch.undo()
    whole = checksum(holding(a=ones))
    monkeypatch.setattr(weights, "AT_ONCE", 7)
    assert checksum(holding(a=ones)) == whole


def test_a_single_element_of_many(seed):
    many = torch.randn(1000, 1000)
    before = checksum(holding(a=many))
    many[tuple(torch.randint(1000, (2,)))] += 1e-3
    assert checksum(holding(a=many)) != before


def test_names_types_and_shapes_count(seed):
    one, other = torch.randn(2, 6), torch.randn(2, 6)
    modules = [
        holding(a=one, b=other), holding(a=other, b=one), holding(a=one, c=other), holding(a=one),
        holding(a=one.reshape(3, 4), b=other), holding(a=one.view(torch.int32), b=other),
        holding(a=one.double(), b=other), holding(a=one, b=other, c=torch.zeros(0)),
        holding(a=one, b=other, c=torch.zeros(0, 3)), holding(a=one, b=other, c=torch.zeros(())),
    ]  # fmt: skip
    assert len({checksum(module) for module in modules}) == len(modules)


def test_order_strides_and_ties_do_not(seed):
    one, other = torch.randn(4, 2, 3, 3), torch.randn(5)
    expected = checksum(holding(a=one, b=other, c=one.clone()))
    assert checksum(holding(c=one, b=other, a=one)) == expected
    last = one.to(memory_format=torch.channels_last)
    assert checksum(holding(a=last, b=other.repeat_interleave(2)[::2], c=last)) == expected
    with torch.inference_mode():
        assert checksum(holding(a=one, b=other, c=one)) == expected


def test_what_torch_does_not_tell_of(seed):
    module = nn.Linear(40, 30)
    sums = [checksum(module)]
    module.weight.data[29, 39] += 1
    sums.append(checksum(module))
    module.weight.detach().numpy()[0, 0] += 1
    sums.append(checksum(module))
    assert len(set(sums)) == 3


def test_weights_that_wait_elsewhere(seed):
    """Parameters and buffers."""
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    expected = checksum(module)
    cpu_offload(module, execution_device=torch.device("cpu"), offload_buffers=True)
    assert module[1].running_var.is_meta
    assert checksum(module) == expected


def test_other_weights_do_not_go_on_in_a_folder(tmp_path):
    """One element, which a sample of a thousand of each tensor would not hold."""
    model = tmp_path / "model"
    copytree(ASSETS / "digits-dit", model)
    run = (
        *("test", "--config", "digits", "--data.num_test", "2", "--results.folder", "run"),
        *("--model.denoiser.pretrained_model_name_or_path", model),
    )
    assert forked(tmp_path, *run).code == 0
    file = model / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    largest = max(tensors.values(), key=torch.Tensor.numel)
    largest.view(-1)[1] += 1
    save_file(tensors, file)
    again = forked(tmp_path, *run)
    assert again.code == 2
    assert "its weights was" in again.stderr


def test_settings_are_what_a_network_says_by_the_same_weights(tmp_path, seed):
    """Its heads of attention, the scale of LoRA, a standard deviation."""
    copytree(ASSETS / "digits-text", tmp_path / "model")
    file = tmp_path / "model/unet/config.json"
    config = json.loads(file.read_text())

    def loaded(**changes):
        file.write_text(json.dumps({**config, **changes}))
        return AutoDenoiser.from_pretrained(str(tmp_path / "model"))

    def adapted(alpha):
        torch.manual_seed(seed)
        denoiser = loaded()
        LoRA(rank=2, alpha=alpha).add_to(denoiser)
        return denoiser

    means = torch.rand(3, 1, 4, 4)
    for one, other in (
        (loaded(), loaded(attention_head_dim=2 * config["attention_head_dim"])),
        (adapted(2), adapted(4)),
        (GaussianDenoiser(means, std=0.2), GaussianDenoiser(means, std=0.3)),
    ):
        assert checksum(one) == checksum(other)
        assert settings(one) != settings(other)
        assert identity(one) == {"weights": checksum(one), "settings": settings(one)}

    same = loaded(_name_or_path="elsewhere", _diffusers_version="9.9")
    assert settings(same.bfloat16().train().requires_grad_(False)) == settings(loaded())


def test_other_settings_do_not_go_on_in_a_folder(tmp_path):
    model = tmp_path / "model"
    copytree(ASSETS / "digits-dit", model)
    run = (
        *("test", "--config", "digits", "--data.num_test", "2", "--results.folder", "run"),
        *("--model.denoiser.pretrained_model_name_or_path", model),
    )
    assert forked(tmp_path, *run).code == 0
    file = model / "transformer/config.json"
    config = json.loads(file.read_text())
    heads, size = config["num_attention_heads"], config["attention_head_dim"]
    file.write_text(
        json.dumps({**config, "num_attention_heads": 2 * heads, "attention_head_dim": size // 2})
    )
    again = forked(tmp_path, *run)
    assert again.code == 2
    assert "its settings was" in again.stderr


def test_layers_are_told_apart_by_kind_and_arguments(seed):
    def made(act=nn.ReLU, eps=1e-5):
        return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4, eps=eps), act())

    different = (made(), made(nn.GELU), made(eps=1e-6), made().append(nn.Flatten()))
    assert len({layers(one) for one in different}) == len(different)
    assert layers(made().bfloat16().eval().requires_grad_(False)) == layers(made())


def test_other_layers_do_not_go_on_in_a_folder(tmp_path):
    """Of a baseline: an activation, which no weight tells of."""
    run = (
        *("test", "--config", "baselines/digits", "--results.folder", "run"),
        *("--data.num_test=2", "--data.test_sets=[digits]", "--trainer.callbacks=[]"),
    )
    assert forked(tmp_path, *run).code == 0
    again = forked(tmp_path, *run, "--model.model_args.act_layer=gelu")
    assert again.code == 2
    assert "its layers was" in again.stderr
