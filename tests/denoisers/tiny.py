"""Tiny random models in the form of published ones."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiTTransformer2DModel,
    UNet2DModel,
)

from diffclf_lightning.denoisers import DiTDenoiser, UNetDenoiser


def autoencoder(in_channels: int = 3) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        in_channels=in_channels,
        out_channels=in_channels,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8],
        norm_num_groups=4,
        latent_channels=4,
    ).eval()


def dit_with_vae() -> DiTDenoiser:
    """The form of facebook/DiT-XL-2-256: VAE, doubled output channels, linear betas."""
    torch.manual_seed(1)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=5,
    )
    scheduler = DDIMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    names = {i: f"name {i}" for i in range(5)}
    return DiTDenoiser(transformer, scheduler, autoencoder(), names).eval()


def unet(classes: int = 5, *, null: bool = False, prediction_type: str = "epsilon") -> UNetDenoiser:
    torch.manual_seed(2)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=classes + null,
    )
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    return UNetDenoiser(network, scheduler, id2label={i: str(i) for i in range(classes)}).eval()
