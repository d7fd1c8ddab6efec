"""Tiny random text encoders and tokenizers in the form of published ones."""

import tiny
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from diffclf_lightning.denoisers.scratch import word_tokenizer

WORDS = ["a", "cat", "on", "the", "mat", "photo", "of", "dog"]
PROMPT = "a photo of the cat on the mat"  # 8 words, 10 tokens


def clip(width=16, *, projected=False, seed=11):
    """CLIP's text encoder for its own tokenizer."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=32, projection_dim=width,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77,
        hidden_act="gelu",
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def clip_tokenizer():
    return tiny.clip_tokenizer()


def t5(width=16, seed=12):
    """T5's encoder for :func:`words`."""
    torch.manual_seed(seed)
    return T5EncoderModel(
        T5Config(vocab_size=len(words()), d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    ).eval()


def words(limit=512):
    """A tokenizer of few words, in the place of one that is learned."""
    return word_tokenizer(WORDS, limit)


def autoencoder(channels=4, **options):
    """A small ``AutoencoderKL`` of factor 2."""
    from diffusers import AutoencoderKL

    torch.manual_seed(13)
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 8], norm_num_groups=4, latent_channels=channels, **options,
    ).eval()  # fmt: skip
