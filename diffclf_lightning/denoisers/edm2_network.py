"""The magnitude-preserving U-Net of EDM2 (Karras et al. 2024, configuration G), to be evaluated.

Learned layers there divide their weights by their magnitude in every pass. Here weights have that,
and every learned gain, within them (:mod:`diffclf_lightning.convert.edm2`), so that layers are
plain: training them further would be training of another kind. Parts have their published names.
"""

import math
from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, scaled_dot_product_attention, silu

RESIDUAL = 0.3
"""Share of the residual branch, and of attention, in a block."""
LIMIT = 256.0
"""Largest magnitude of an activation."""


def normalised(x: Tensor, dim: int = 1) -> Tensor:
    """Vectors along a dimension, divided by their root mean square (pixel normalisation)."""
    size = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=torch.float32)
    unit: Tensor = x / (1e-4 + size / math.sqrt(x.shape[dim])).to(x.dtype)
    return unit


def activated(x: Tensor) -> Tensor:
    """SiLU that preserves magnitude (eq. 81)."""
    return silu(x) / 0.596


def blended(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Sum of two tensors, with a share of the second, that preserves magnitude (eq. 88)."""
    return a.lerp(b, share) / math.hypot(1 - share, share)


def joined(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation of channels to which both contribute alike (eq. 103)."""
    scale = math.sqrt((a.shape[1] + b.shape[1]) / 2)
    parts = (scale / math.sqrt(part.shape[1]) * part for part in (a, b))
    return torch.cat(list(parts), dim=1)


def fourier_features(x: Tensor, freqs: Tensor, phases: Tensor) -> Tensor:
    """Cosines of numbers ``(batch,)``, of variance 1 (eq. 75), float32, ``(batch, channels)``."""
    return (x.float()[:, None] * freqs.float() + phases.float()).cos() * math.sqrt(2)


def uncertainty(timestep: Tensor, freqs: Tensor, phases: Tensor, weight: Tensor) -> Tensor:
    """The uncertainty ``u`` of training by ``loss / exp(u) + u``, float32, shape ``(batch,)``.

    Args:
        timestep: A quarter of the logarithm of the noise's scale, shape ``(batch,)``.
        freqs: Frequencies of its features, shape ``(channels,)``.
        phases: Their phases, shape ``(channels,)``.
        weight: Their weights, shape ``(1, channels)``.
    """
    return fourier_features(timestep, freqs, phases) @ weight.float()[0]


class Fourier(nn.Module):
    """Cosines of random frequencies and phases.

    Args:
        channels: Their number.
    """

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Features of numbers ``(batch,)``, float32, shape ``(batch, channels)``."""
        return fourier_features(x, self.freqs, self.phases)


def convolution(channels: int, out: int, size: int) -> nn.Conv2d:
    """A convolution of side ``size`` that keeps the size of images, without bias."""
    return nn.Conv2d(channels, out, size, padding=size // 2, bias=False)


class Block(nn.Module):
    """A block of the encoder or decoder, modulated by what the network is told.

    Args:
        channels: Channels of what comes in.
        out: Channels of what goes out.
        told: Width of what the network is told.
        heads: Heads of self-attention; 0 for none.
        decoder: Whether the block is the decoder's.
    """

    def __init__(self, channels: int, out: int, told: int, heads: int, *, decoder: bool) -> None:
        super().__init__()
        self.heads, self.decoder = heads, decoder
        self.conv_res0 = convolution(channels if decoder else out, out, 3)
        self.emb_linear = nn.Linear(told, out, bias=False)
        self.conv_res1 = convolution(out, out, 3)
        self.conv_skip = nn.Identity() if channels == out else convolution(channels, out, 1)
        if heads:
            self.attn_qkv = convolution(out, 3 * out, 1)
            self.attn_proj = convolution(out, out, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Activations, shape ``(batch, out, height, width)``."""
        x = x if self.decoder else normalised(self.conv_skip(x))
        gain = 1 + self.emb_linear(told)[:, :, None, None]
        y = self.conv_res1(activated(self.conv_res0(activated(x)) * gain))
        x = blended(self.conv_skip(x) if self.decoder else x, y, RESIDUAL)
        if self.heads:
            x = blended(x, self._attended(x), RESIDUAL)
        return x.clamp(-LIMIT, LIMIT)

    def _attended(self, x: Tensor) -> Tensor:
        # Queries, keys and values of a channel lie next to each other.
        qkv = self.attn_qkv(x).flatten(2).unflatten(1, (self.heads, -1, 3))
        q, k, v = (part.transpose(2, 3) for part in normalised(qkv, 2).unbind(3))
        seen = scaled_dot_product_attention(q, k, v).transpose(2, 3)
        out: Tensor = self.attn_proj(seen.flatten(1, 2).unflatten(2, x.shape[2:]))
        return out


class EDM2UNet(ModelMixin, ConfigMixin):
    """A U-Net that is told the logarithm of the noise's scale and a class.

    Args:
        sample_size: Side of the latent, or image.
        in_channels: Its channels; the output has as many.
        block_out_channels: Channels of each level, from the finest.
        attention: For each level whether it has self-attention.
        layers_per_block: Blocks of each level of the encoder; the decoder has one more.
        channels_per_head: Channels of a head.
        num_class_embeds: Number of classes.
        noise_channels: Fourier features of the noise's scale.
        embedding_channels: Width of what the network is told.
        logvar_channels: Fourier features of the uncertainty, or None where there is none.
    """

    _keep_in_fp32_modules = ["emb_fourier", "logvar_fourier"]  # noqa: RUF012 - many radians

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 64,
        in_channels: int = 4,
        block_out_channels: Sequence[int] = (192, 384, 576, 768),
        attention: Sequence[bool] = (False, False, True, True),
        layers_per_block: int = 3,
        channels_per_head: int = 64,
        num_class_embeds: int = 1000,
        noise_channels: int = 192,
        embedding_channels: int = 768,
        logvar_channels: int | None = 128,
    ) -> None:
        super().__init__()
        self.emb_fourier = Fourier(noise_channels)
        self.emb_noise = nn.Linear(noise_channels, embedding_channels, bias=False)
        self.emb_label = nn.Embedding(num_class_embeds, embedding_channels)
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()

        def block(channels: int, out: int, attends: bool, decoder: bool) -> Block:
            heads = out // channels_per_head if attends else 0
            return Block(channels, out, embedding_channels, heads, decoder=decoder)

        current, skips = in_channels + 1, []
        levels = list(zip(block_out_channels, attention, strict=True))
        for level, (out, attends) in enumerate(levels):
            side = f"{sample_size >> level}x{sample_size >> level}"
            if level == 0:
                self.enc[f"{side}_conv"] = convolution(current, out, 3)
                current = out
            else:
                self.enc[f"{side}_down"] = block(current, current, attends=False, decoder=False)
            skips.append(current)
            for i in range(layers_per_block):
                self.enc[f"{side}_block{i}"] = block(current, out, attends, decoder=False)
                current = out
                skips.append(current)
        for level, (out, attends) in reversed(list(enumerate(levels))):
            side = f"{sample_size >> level}x{sample_size >> level}"
            if level == len(levels) - 1:
                self.dec[f"{side}_in0"] = block(current, current, attends=True, decoder=True)
                self.dec[f"{side}_in1"] = block(current, current, attends=False, decoder=True)
            else:
                self.dec[f"{side}_up"] = block(current, current, attends=False, decoder=True)
            for i in range(layers_per_block + 1):
                entering = current + skips.pop()
                self.dec[f"{side}_block{i}"] = block(entering, out, attends, decoder=True)
                current = out
        self.out_conv = convolution(current, in_channels, 3)
        if logvar_channels is not None:
            self.logvar_fourier = Fourier(logvar_channels)
            self.logvar_linear = nn.Linear(logvar_channels, 1, bias=False)

    def forward(self, sample: Tensor, timestep: Tensor, class_labels: Tensor) -> UNet2DOutput:
        """The raw output, of the shape of ``sample``, as ``sample``.

        Args:
            sample: Noised latents of unit variance, shape ``(batch, in_channels, side, side)``.
            timestep: A quarter of the logarithm of the noise's scale, shape ``(batch,)``.
            class_labels: Class ids, int64, shape ``(batch,)``.
        """
        noise = self.emb_noise(self.emb_fourier(timestep).to(sample.dtype))
        told = activated(blended(noise, self.emb_label(class_labels), 0.5))
        x = torch.cat([sample, torch.ones_like(sample[:, :1])], dim=1)
        skips = []
        for name, layer in self.enc.items():
            if name.endswith("_down"):
                x = avg_pool2d(x, 2)
            x = layer(x) if name.endswith("_conv") else layer(x, told)
            skips.append(x)
        for name, layer in self.dec.items():
            if name.endswith("_up"):
                x = interpolate(x, scale_factor=2.0, mode="nearest")
            x = layer(joined(x, skips.pop()) if "_block" in name else x, told)
        return UNet2DOutput(sample=self.out_conv(x))
