"""Weights of EDM2 (github.com/NVlabs/edm2), with an output that proves the conversion."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EDMEulerScheduler
from torch import Tensor

from diffclf_lightning.convert.checkpoint import Checkpoint, unusable
from diffclf_lightning.convert.names import id2label_of
from diffclf_lightning.denoisers import EDM2Denoiser, EDM2UNet
from diffclf_lightning.errors import InputError

PROBE = ("x", "sigma", "classes", "denoised")
"""What the published network said of noised samples, scales of noise and class ids."""
TOLERANCE = 0.01
"""Largest difference of what ours says, as a share of what the network adds to its input."""
PAGE = "docs/converting.md has the lines that save it"


def edm2(
    checkpoint: Checkpoint,
    vae: AutoencoderKL | None,
    names: Sequence[str] | None = None,
    heads: int | None = None,
) -> EDM2Denoiser:
    """The denoiser of published weights.

    Args:
        checkpoint: The weights, and beside them ``probe``, inputs and outputs of the published
            network, and for latents ``encoder``, their ``scale`` and ``bias``.
        vae: Its autoencoder, or None for a model of pixels.
        names: Class names in the order of ids. Defaults to None: ImageNet's for 1000, else numbers.
        heads: None, since heads have 64 channels each.

    Raises:
        InputError: If the weights are not those of such a network, or ours says something else
            than the published one said.
    """
    if heads is not None:
        raise InputError(f"Expected no --heads for EDM2, but got {heads}. Leave it out.")
    probe = _entry(checkpoint, "probe", PROBE)
    checkpoint.weights = {n.removeprefix("unet."): w for n, w in checkpoint.weights.items()}
    config = _config(checkpoint)
    checkpoint.weights = _plain(checkpoint)
    with torch.device("meta"):
        model = EDM2UNet(**config)
    checkpoint.check(model.state_dict())
    model.load_state_dict(checkpoint.weights, assign=True)
    count = config["num_class_embeds"]
    if names is not None and len(names) != count:
        raise InputError(
            f"Expected --names to be {count} names, one a class, but got {len(names)}."
        )
    if vae is not None:
        _standardise(vae, _entry(checkpoint, "encoder", ("scale", "bias")), checkpoint.file)
    denoiser = EDM2Denoiser(model, EDMEulerScheduler(), vae, id2label_of(names, count)).eval()
    _check_probe(checkpoint, denoiser, probe)
    return denoiser


def _entry(checkpoint: Checkpoint, name: str, parts: Sequence[str]) -> dict[str, Tensor]:
    entry = checkpoint.others.get(name)
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(p), Tensor) for p in parts):
        raise unusable(
            checkpoint.file,
            f"has no {name!r} with the tensors {', '.join(parts)} beside its weights: {PAGE}",
        )
    return {part: entry[part].float() if part != "classes" else entry[part] for part in parts}


def _config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Sizes, which names and shapes tell."""
    found = [re.fullmatch(r"enc\.(\d+)x\1_conv\.weight", name) for name in checkpoint.weights]
    first = next((match for match in found if match), None)
    if first is None:
        raise unusable(checkpoint.file, "has no 'enc.64x64_conv.weight', or of another size")
    side = int(first[1])
    embedding, noise = checkpoint.shape("emb_noise.weight", 2)
    _, classes = checkpoint.shape("emb_label.weight", 2)
    blocks = 0
    while f"enc.{side}x{side}_block{blocks}.conv_res1.weight" in checkpoint.weights:
        blocks += 1
    channels, attention = [], []
    for level in range(int(math.log2(side)) + 1):
        block = f"enc.{side >> level}x{side >> level}_block0"
        if f"{block}.conv_res1.weight" not in checkpoint.weights:
            break
        channels.append(checkpoint.shape(f"{block}.conv_res1.weight", 4)[0])
        attention.append(f"{block}.attn_qkv.weight" in checkpoint.weights)
    uncertain = "logvar_linear.weight" in checkpoint.weights
    return {
        "sample_size": side,
        "in_channels": checkpoint.shape("out_conv.weight", 4)[0],
        "block_out_channels": channels,
        "attention": attention,
        "layers_per_block": blocks,
        "num_class_embeds": classes,
        "noise_channels": noise,
        "embedding_channels": embedding,
        "logvar_channels": checkpoint.shape("logvar_linear.weight", 2)[1] if uncertain else None,
    }


def _plain(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Weights that a plain layer computes the same with (Karras et al. 2024, eq. 66).

    Each output's are divided by their norm; learned gains are multiplied in. A class's embedding is
    the sum of its weights alone, of inputs of magnitude 1.
    """
    made = {}
    for name, weight in checkpoint.weights.items():
        if name.endswith("_gain"):
            continue
        if not name.endswith(".weight"):
            made[name] = weight
            continue
        flat = weight.float().flatten(1)
        root = math.sqrt(flat.shape[1])
        unit = flat / (1e-4 + flat.norm(dim=1, keepdim=True) / root)
        if name == "emb_label.weight":
            made[name] = unit.T.contiguous()
        else:
            made[name] = (unit * _gain(checkpoint, name) / root).reshape(weight.shape)
    return made


def _gain(checkpoint: Checkpoint, name: str) -> Tensor | float:
    gain, last = re.subn(r"emb_linear\.weight$", "emb_gain", name)
    if name == "out_conv.weight":
        gain = "out_gain"
    elif not last:
        return 1.0
    checkpoint.shape(gain, 0)
    return checkpoint.weights[gain].float()


def _standardise(vae: AutoencoderKL, encoder: Mapping[str, Tensor], file: Path) -> None:
    """Let latents be ``scale * z + bias``, as they were in training."""
    scale, bias = encoder["scale"].flatten(), encoder["bias"].flatten()
    channels = vae.config.latent_channels
    if not len(scale) == len(bias) == channels or not (1 / scale).isfinite().all():
        raise unusable(
            file,
            f"has an 'encoder' whose bias and scale (never 0) are not {channels} numbers each, of "
            f"the autoencoder's channels: {PAGE}",
        )
    vae.register_to_config(
        latents_mean=(-bias / scale).tolist(), latents_std=(1 / scale).tolist(), scaling_factor=1.0
    )


@torch.no_grad()
def _check_probe(
    checkpoint: Checkpoint, denoiser: EDM2Denoiser, probe: Mapping[str, Tensor]
) -> None:
    x, count = probe["x"], probe["sigma"].numel()
    one = {"sigma": (), "classes": (), "x": denoiser.sample_shape}
    one["denoised"] = one["x"]
    if not count or any(probe[name].shape != (count, *shape) for name, shape in one.items()):
        raise unusable(
            checkpoint.file,
            "has a 'probe' that does not hold, of each sample, one of 'sigma' and 'classes' and "
            f"{tuple(one['x'])} of 'x' and 'denoised': {PAGE}",
        )
    told = denoiser.condition(probe["classes"].tolist())
    timestep = probe["sigma"].log() / 4
    said = denoiser(x, timestep, told)
    squares = probe["sigma"].square()[:, None, None, None]
    added = probe["denoised"] - 0.25 / (0.25 + squares) * x
    differs = ((said - probe["denoised"]).norm() / added.norm()).item()
    if not differs <= TOLERANCE:
        raise unusable(
            checkpoint.file,
            f"says by its 'probe' something else than the converted network: {differs:.1%} of what "
            "the network adds to its input. The weights are of another network or version",
        )
