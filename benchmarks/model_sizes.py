"""Size of the published text-to-image models, by arithmetic: no weights are loaded.

Networks and text encoders are built on no device, by the configurations that were published with
them; a billion parameters are 2 GB in bfloat16 and 4 GB in float32.
"""

import warnings
from collections.abc import Callable

import diffusers
import torch
import transformers
from torch import nn

CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}
T5_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
SD3 = {
    "sample_size": 128, "attention_head_dim": 64, "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048, "out_channels": 16, "qk_norm": "rms_norm",
}  # fmt: skip


def clip(**config: int) -> nn.Module:
    """CLIP's text encoder."""
    made = transformers.CLIPTextConfig(vocab_size=49408, projection_dim=1280, **config)
    return transformers.CLIPTextModelWithProjection(made)


def t5() -> nn.Module:
    """The encoder of T5-XXL, whose embedding has two names and counts once."""
    config = transformers.T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **T5_XXL)
    encoder = transformers.T5EncoderModel(config)
    encoder.encoder.embed_tokens = encoder.shared
    return encoder


def sdxl() -> nn.Module:
    """The U-Net of Stable Diffusion XL."""
    return diffusers.UNet2DConditionModel(
        sample_size=128, block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816, use_linear_projection=True,
    )  # fmt: skip


def sd3(layers: int, **config: object) -> nn.Module:
    """A transformer of Stable Diffusion 3.5, as wide as its layers are many."""
    return diffusers.SD3Transformer2DModel(
        num_layers=layers, num_attention_heads=layers, caption_projection_dim=64 * layers,
        **SD3, **config,
    )  # fmt: skip


def pixart() -> nn.Module:
    """The transformer of PixArt-Sigma."""
    return diffusers.PixArtTransformer2DModel(
        sample_size=128, out_channels=8, caption_channels=4096, use_additional_conditions=False
    )


def gemma() -> nn.Module:
    """Gemma 2 with 2 billion parameters."""
    return transformers.Gemma2Model(transformers.Gemma2Config())


Makers = tuple[Callable[[], nn.Module], ...]
MODELS: dict[str, tuple[Callable[[], nn.Module], Makers]] = {
    "PixArt-Sigma": (pixart, (t5,)),
    "Sana 1.6B": (diffusers.SanaTransformer2DModel, (gemma,)),
    "Stable Diffusion XL": (sdxl, (lambda: clip(**CLIP_L), lambda: clip(**CLIP_G))),
    "Stable Diffusion 3.5 medium": (
        lambda: sd3(24, dual_attention_layers=tuple(range(13)), pos_embed_max_size=384),
        (lambda: clip(**CLIP_L), lambda: clip(**CLIP_G), t5),
    ),
    "Stable Diffusion 3.5 large": (
        lambda: sd3(38, pos_embed_max_size=192),
        (lambda: clip(**CLIP_L), lambda: clip(**CLIP_G), t5),
    ),
    "FLUX.1": (
        lambda: diffusers.FluxTransformer2DModel(guidance_embeds=True),
        (lambda: clip(**CLIP_L), t5),
    ),
    # Text encoders of these are language models whose configurations are not in any library.
    "Lumina-Image 2": (lambda: diffusers.Lumina2Transformer2DModel(cap_feat_dim=2304), ()),
    "AuraFlow": (diffusers.AuraFlowTransformer2DModel, ()),
    "Z-Image": (diffusers.ZImageTransformer2DModel, ()),
    "Qwen-Image": (diffusers.QwenImageTransformer2DModel, ()),
    "FLUX.2 dev": (diffusers.Flux2Transformer2DModel, ()),
}


def billions(*makers: Callable[[], nn.Module]) -> float:
    """Parameters of models, in billions."""
    with torch.device("meta"):
        return sum(p.numel() for make in makers for p in make().parameters()) / 1e9


def main() -> None:
    """Print the table."""
    print("| model | network, 10^9 | text encoders, 10^9 | in bfloat16, GB |")
    print("|---|---|---|---|")
    for name, (network, encoders) in MODELS.items():
        own, text = billions(network), billions(*encoders)
        beside = f"{text:.2f} | {2 * own:.1f} + {2 * text:.1f}" if encoders else f" | {2 * own:.1f}"
        print(f"| {name} | {own:.2f} | {beside} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
