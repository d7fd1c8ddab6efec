r"""The network of DiT (Peebles and Xie 2023) as published, which SiT and REPA have too.

Patches, blocks with adaLN-Zero, one embedding of time and class for all of them; weights have their
published names. diffusers' ``DiTTransformer2DModel`` does not compute it: it embeds time with
``h`` frequencies :math:`10000^{-i/(h - 1)}` where the published networks have
:math:`10000^{-i/h}`, and has no normalised queries and keys.
"""

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_2d_sincos_pos_embed
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

FREQUENCIES = 256
"""Width of the sines and cosines of time."""


def time_frequencies(time: Tensor) -> Tensor:
    r"""Cosines, then sines, of times at frequencies :math:`10000^{-i/h}`.

    Args:
        time: Times, shape ``(batch,)``.

    Returns:
        Shape ``(batch, 256)``, float32.
    """
    half = FREQUENCIES // 2
    steps = torch.arange(half, device=time.device, dtype=torch.float32)
    angles = time.float()[:, None] * torch.exp(-math.log(10000) / half * steps)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens without mean and with variance 1, scaled and shifted (adaLN).

    Args:
        x: Tokens, shape ``(batch, tokens, width)``.
        shift: Shape ``(batch, width)``.
        scale: Shape ``(batch, width)``.
    """
    normalised = layer_norm(x, x.shape[-1:], eps=1e-6)
    return normalised * (1 + scale[:, None]) + shift[:, None]


class Attention(nn.Module):
    """Self-attention.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        qk_norm: Whether queries and keys are normalised.
    """

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if qk_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens, shape ``(batch, tokens, width)``, each of which has seen all."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(self.q_norm(q).to(v), self.k_norm(k).to(v), v)
        out: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and two linear layers, each scaled, shifted and gated by time and class.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        hidden: Width between the two linear layers.
        qk_norm: Whether queries and keys are normalised.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.attn = Attention(width, heads, qk_norm=qk_norm)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Tokens ``(batch, tokens, width)`` that were told time and class ``(batch, width)``."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.adaLN_modulation(told).chunk(6, dim=1)
        x = x + gate[:, None] * self.attn(modulated(x, shift, scale))
        hidden = gelu(self.mlp["fc1"](modulated(x, shift_2, scale_2)), approximate="tanh")
        out: Tensor = x + gate_2[:, None] * self.mlp["fc2"](hidden)
        return out


class OriginalDiT(ModelMixin, ConfigMixin):
    """A diffusion transformer that is told a time and a class.

    Args:
        sample_size: Side of the latent, or image.
        patch_size: Side of a patch.
        in_channels: Channels of the latent.
        out_channels: Channels of the output. Defaults to None: as many.
        hidden_size: Width of the tokens.
        mlp_size: Width between a block's two linear layers. Defaults to None: 4 ``hidden_size``.
        num_layers: Number of blocks.
        num_attention_heads: Heads of each block.
        num_embeds_ada_norm: Number of classes.
        null_class: Whether there is an embedding of "no class", behind those of the classes.
        qk_norm: Whether queries and keys are normalised (REPA can).
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        out_channels: int | None = None,
        hidden_size: int = 1152,
        mlp_size: int | None = None,
        num_layers: int = 28,
        num_attention_heads: int = 16,
        num_embeds_ada_norm: int = 1000,
        null_class: bool = True,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        width, side = hidden_size, sample_size // patch_size
        patches = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)
        self.x_embedder = nn.ModuleDict({"proj": patches})
        position = get_2d_sincos_pos_embed(width, side, base_size=side, output_type="pt")
        self.register_buffer("pos_embed", position.float()[None])
        layers = nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        self.t_embedder = nn.ModuleDict({"mlp": nn.Sequential(*layers)})
        classes = nn.Embedding(num_embeds_ada_norm + null_class, width)
        self.y_embedder = nn.ModuleDict({"embedding_table": classes})
        self.blocks = nn.ModuleList(
            Block(width, num_attention_heads, mlp_size or 4 * width, qk_norm=qk_norm)
            for _ in range(num_layers)
        )
        modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        linear = nn.Linear(width, patch_size**2 * (out_channels or in_channels))
        self.final_layer = nn.ModuleDict({"adaLN_modulation": modulation, "linear": linear})

    def forward(
        self, hidden_states: Tensor, timestep: Tensor, class_labels: Tensor
    ) -> Transformer2DModelOutput:
        """The output, shape ``(batch, out_channels, side, side)``, as ``sample``.

        Args:
            hidden_states: Noised latents, shape ``(batch, in_channels, side, side)``.
            timestep: Times, shape ``(batch,)``.
            class_labels: Class ids, int64, shape ``(batch,)``.
        """
        tokens = self.x_embedder["proj"](hidden_states).flatten(2).transpose(1, 2)
        tokens = tokens + self.pos_embed
        time = self.t_embedder["mlp"](time_frequencies(timestep).to(self.dtype))
        told = time + self.y_embedder["embedding_table"](class_labels)
        for block in self.blocks:
            tokens = block(tokens, told)
        shift, scale = self.final_layer["adaLN_modulation"](told).chunk(2, dim=1)
        tokens = self.final_layer["linear"](modulated(tokens, shift, scale))
        side, patch = self.config.sample_size // self.config.patch_size, self.config.patch_size
        patches = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (side, side))
        sample = patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return Transformer2DModelOutput(sample=sample)
