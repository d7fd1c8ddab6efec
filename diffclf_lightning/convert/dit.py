"""Weights of DiT, SiT and REPA, which have one layout.

Their repositories are github.com/facebookresearch/DiT, willisma/SiT and sihyun-yu/REPA.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from diffclf_lightning.convert.checkpoint import Checkpoint, unusable
from diffclf_lightning.convert.names import id2label_of, num_classes_of
from diffclf_lightning.denoisers import DiTDenoiser, OriginalDiT, REPADenoiser, SiTDenoiser
from diffclf_lightning.errors import InputError

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Heads of the published sizes S, B, L, XL by their width."""
TRAINED = ("path_type", "prediction")
"""Arguments of the training scripts of flows, which tell their kinds apart."""
FINAL = "final_layer.linear"
PROJECTORS = "projectors."


@dataclass(frozen=True)
class Transformer:
    """A kind of weights in this layout.

    Args:
        family: The denoiser of such a network.
        scheduler: What it was trained with.
        variance: Whether channels of its variance were trained; they are left away otherwise.
        projectors: Whether training aligned features by projectors, which are left away.
        path_type: What its training script calls the linear path, or None where it has none.
        prediction: What it calls the velocity.
    """

    family: type[DiTDenoiser]
    scheduler: SchedulerMixin
    variance: bool = False
    projectors: bool = False
    path_type: str | None = None
    prediction: str | None = None

    def __call__(
        self,
        checkpoint: Checkpoint,
        vae: AutoencoderKL | None,
        names: Sequence[str] | None = None,
        heads: int | None = None,
    ) -> DiTDenoiser:
        """The denoiser of published weights.

        Args:
            checkpoint: The weights.
            vae: Its autoencoder, or None for a model of pixels.
            names: Class names in the order of ids. Defaults to None: ImageNet's for 1000, else
                numbers.
            heads: Heads of each block. Defaults to None: those of the published size.

        Raises:
            InputError: If the weights are not those of such a network.
        """
        self._check_kind(checkpoint)
        checkpoint = replace(checkpoint, weights=_needed(checkpoint.weights))
        if not self.variance:
            _drop_variance(checkpoint)
        config = _config(checkpoint, names, heads)
        with torch.device("meta"):
            model = OriginalDiT(**config)
        checkpoint.check(model.state_dict())
        model.load_state_dict(checkpoint.weights, assign=True)
        id2label = id2label_of(names, config["num_embeds_ada_norm"])
        return self.family(model, self.scheduler, vae, id2label).eval()

    def _check_kind(self, checkpoint: Checkpoint) -> None:
        """Refuse what is known to be of another kind, since all have the same names."""
        if not self.projectors and any(name.startswith(PROJECTORS) for name in checkpoint.weights):
            raise unusable(checkpoint.file, "has projectors, as REPA has. Give `repa` as KIND")
        size = str(checkpoint.settings.get("model"))
        other = "SiT" if self.path_type is None else "DiT"
        if size.startswith(f"{other}-"):
            raise unusable(checkpoint.file, f"was trained as {size}, which is of another KIND")
        for name in TRAINED:
            value, own = checkpoint.settings.get(name), getattr(self, name)
            if value not in (None, own):
                supported = "of no flow" if own is None else f"of {name}={own!r} alone"
                raise unusable(
                    checkpoint.file,
                    f"was trained with {name}={value!r}, and this KIND takes weights {supported}",
                )


LINEAR_BETAS = DDIMScheduler(beta_schedule="linear", clip_sample=False)
dit = Transformer(DiTDenoiser, LINEAR_BETAS, variance=True)
"""Of DiT, the variance preserving process with linear betas; noise, then variance."""
FLOW = FlowMatchEulerDiscreteScheduler()
sit = Transformer(SiTDenoiser, FLOW, path_type="Linear", prediction="velocity")
r"""Of SiT, :math:`x_t = t x_0 + (1 - t) \epsilon`, and the output is :math:`x_0 - \epsilon`."""
repa = Transformer(REPADenoiser, FLOW, projectors=True, path_type="linear", prediction="v")
r"""Of REPA, :math:`x_t = (1 - t) x_0 + t \epsilon`, and the output is :math:`\epsilon - x_0`."""


def _needed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without projectors; and all blocks in one list, where REPA once had two."""
    kept = {name: value for name, value in weights.items() if not name.startswith(PROJECTORS)}
    first = _blocks(kept)
    moved = {}
    for name, value in kept.items():
        if later := re.match(r"decoder_blocks\.(\d+)\.", name):
            name = f"blocks.{first + int(later[1])}.{name[later.end() :]}"
        moved[name] = value
    return moved


def _blocks(weights: dict[str, Tensor]) -> int:
    numbers = {int(found[1]) for name in weights if (found := re.match(r"blocks\.(\d+)\.", name))}
    return max(numbers, default=-1) + 1


def _drop_variance(checkpoint: Checkpoint) -> None:
    """Leave the rows of the last layer away that speak of a variance, which nobody trained."""
    _, channels, patch, _ = checkpoint.shape("x_embedder.proj.weight", 4)
    rows, _ = checkpoint.shape(f"{FINAL}.weight", 2)
    if rows == patch**2 * 2 * channels:
        for name in (f"{FINAL}.weight", f"{FINAL}.bias"):
            if name in checkpoint.weights:
                of_channels = checkpoint.weights[name].unflatten(0, (patch**2, 2 * channels))
                kept = of_channels[:, :channels].flatten(0, 1)
                checkpoint.weights[name] = kept.contiguous()


def _config(
    checkpoint: Checkpoint, names: Sequence[str] | None, heads: int | None
) -> dict[str, Any]:
    width, channels, patch, _ = checkpoint.shape("x_embedder.proj.weight", 4)
    tokens = checkpoint.shape("pos_embed", 3)[1]
    rows, _ = checkpoint.shape("y_embedder.embedding_table.weight", 2)
    count = num_classes_of(names, rows)
    qk_norm = "blocks.0.attn.q_norm.weight" in checkpoint.weights
    if heads is None and qk_norm:
        heads = width // checkpoint.shape("blocks.0.attn.q_norm.weight", 1)[0]
    if heads is None and width not in HEADS:
        raise InputError(
            f"Expected --heads, since the weights have width {width}, which no published size has "
            f"({', '.join(map(str, HEADS))}), but got none."
        )
    heads = heads or HEADS[width]
    if width % heads:
        raise InputError(
            f"Expected --heads to divide the width of the weights, {width}, but got {heads}."
        )
    return {
        "sample_size": math.isqrt(tokens) * patch,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": checkpoint.shape(f"{FINAL}.bias", 1)[0] // patch**2,
        "hidden_size": width,
        "num_layers": _blocks(checkpoint.weights),
        "num_attention_heads": heads,
        "mlp_size": checkpoint.shape("blocks.0.mlp.fc1.weight", 2)[0],
        "num_embeds_ada_norm": count,
        "null_class": count == rows - 1,
        "qk_norm": qk_norm,
    }
