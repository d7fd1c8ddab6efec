"""Kolors: the U-Net of Stable Diffusion XL, told what to draw by ChatGLM (Kolors Team 2024)."""

import warnings
from collections.abc import Mapping
from typing import ClassVar

from diffclf_lightning.denoisers.stable_diffusion import StableDiffusionXL

with warnings.catch_warnings():
    # Its ChatGLM is scripted, which torch calls deprecated to everybody who imports it.
    warnings.simplefilter("ignore", FutureWarning)
    from diffusers import KolorsPipeline


class Kolors(StableDiffusionXL):
    """A text-to-image U-Net that reads English and Chinese: ChatGLM3 of 256 tokens.

    As Stable Diffusion XL it is told sizes: the original is that of the images, and nothing is
    cropped away. "Nothing said" is the empty prompt. The tokenizer needs ``sentencepiece``.
    """

    pipeline_class = KolorsPipeline
    components = ("unet", "scheduler", "text_encoder", "tokenizer", "vae")
    max_tokens: ClassVar[Mapping[str, int]] = {"tokenizer": 256}
