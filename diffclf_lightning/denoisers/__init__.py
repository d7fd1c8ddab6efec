"""Denoisers: diffusers model families behind one small interface."""

from diffclf_lightning.denoisers.auto import AutoDenoiser
from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.denoisers.class_conditional import (
    ClassConditionalDenoiser,
    DiTDenoiser,
    UNetDenoiser,
)
from diffclf_lightning.denoisers.gaussian import GaussianDenoiser
from diffclf_lightning.denoisers.schedule import Schedule
from diffclf_lightning.denoisers.stable_diffusion import StableDiffusion
from diffclf_lightning.denoisers.transforms import ADMCrop, CenterCrop

__all__ = [
    "ADMCrop",
    "AutoDenoiser",
    "CenterCrop",
    "ClassConditionalDenoiser",
    "Denoiser",
    "DiTDenoiser",
    "GaussianDenoiser",
    "Schedule",
    "StableDiffusion",
    "UNetDenoiser",
]
