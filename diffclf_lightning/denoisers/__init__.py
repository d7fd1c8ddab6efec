"""Denoisers: diffusers model families behind one small interface."""

from diffclf_lightning.denoisers.aura_flow import AuraFlow
from diffclf_lightning.denoisers.auto import AutoDenoiser
from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.denoisers.class_conditional import (
    ClassConditionalDenoiser,
    DiTDenoiser,
    UNetDenoiser,
)
from diffclf_lightning.denoisers.cogview import CogView3Plus, CogView4
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.deepfloyd_if import DeepFloydIF
from diffclf_lightning.denoisers.edm2 import EDM2Denoiser, EDM2Pipeline, EDM2Weight
from diffclf_lightning.denoisers.edm2_network import EDM2UNet
from diffclf_lightning.denoisers.flux import Flux
from diffclf_lightning.denoisers.flux2 import Flux2, Flux2Klein
from diffclf_lightning.denoisers.gaussian import GaussianDenoiser
from diffclf_lightning.denoisers.hunyuan_dit import HunyuanDiT
from diffclf_lightning.denoisers.kolors import Kolors
from diffclf_lightning.denoisers.latents import LatentSpace
from diffclf_lightning.denoisers.lora import LoRA
from diffclf_lightning.denoisers.lumina import Lumina2
from diffclf_lightning.denoisers.new import NewDenoiser, NewDiT, NewUNet
from diffclf_lightning.denoisers.original_dit import OriginalDiT
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.pixart import PixArt, PixArtSigma
from diffclf_lightning.denoisers.qwen_image import QwenImage
from diffclf_lightning.denoisers.sana import Sana
from diffclf_lightning.denoisers.schedules import EDM, FlowMatching, Schedule, VariancePreserving
from diffclf_lightning.denoisers.sit import REPADenoiser, REPAPipeline, SiTDenoiser, SiTPipeline
from diffclf_lightning.denoisers.stable_diffusion import StableDiffusion, StableDiffusionXL
from diffclf_lightning.denoisers.stable_diffusion_3 import StableDiffusion3
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser
from diffclf_lightning.denoisers.transforms import ADMCrop, ResizeCenterCrop
from diffclf_lightning.denoisers.variance import WithVariance
from diffclf_lightning.denoisers.z_image import ZImage

__all__ = [
    "EDM",
    "ADMCrop",
    "AuraFlow",
    "AutoDenoiser",
    "ClassConditionalDenoiser",
    "CogView3Plus",
    "CogView4",
    "Conditioning",
    "DeepFloydIF",
    "Denoiser",
    "DiTDenoiser",
    "EDM2Denoiser",
    "EDM2Pipeline",
    "EDM2UNet",
    "EDM2Weight",
    "FlowMatching",
    "Flux",
    "Flux2",
    "Flux2Klein",
    "GaussianDenoiser",
    "HunyuanDiT",
    "Kolors",
    "LatentSpace",
    "LoRA",
    "Lumina2",
    "NewDenoiser",
    "NewDiT",
    "NewUNet",
    "OriginalDiT",
    "PipelineDenoiser",
    "PixArt",
    "PixArtSigma",
    "QwenImage",
    "REPADenoiser",
    "REPAPipeline",
    "ResizeCenterCrop",
    "Sana",
    "Schedule",
    "SiTDenoiser",
    "SiTPipeline",
    "StableDiffusion",
    "StableDiffusion3",
    "StableDiffusionXL",
    "TextConditionalDenoiser",
    "UNetDenoiser",
    "VariancePreserving",
    "WithVariance",
    "ZImage",
]
