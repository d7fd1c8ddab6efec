"""AutoDenoiser: the family of a pipeline, read from its ``model_index.json``."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import torch

from diffclf_lightning.denoisers.loading import is_component, read_index
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.single_file import described_by
from diffclf_lightning.denoisers.source import remembered
from diffclf_lightning.denoisers.wholeness import unusable
from diffclf_lightning.devices import DType, Offload
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import named

ASSETS = Path(__file__).parents[1] / "assets"
EMBEDDED = "diffclf/"
"""Ids that begin so are models that the package carries."""

FAMILIES = {
    "DiTPipeline": "diffclf_lightning.denoisers.class_conditional:DiTDenoiser",
    "DiTTransformer2DModel": "diffclf_lightning.denoisers.class_conditional:DiTDenoiser",
    "UNet2DModel": "diffclf_lightning.denoisers.class_conditional:UNetDenoiser",
    "CogView3PlusPipeline": "diffclf_lightning.denoisers.cogview:CogView3Plus",
    "CogView4Pipeline": "diffclf_lightning.denoisers.cogview:CogView4",
    "HunyuanDiTPipeline": "diffclf_lightning.denoisers.hunyuan_dit:HunyuanDiT",
    "IFPipeline": "diffclf_lightning.denoisers.deepfloyd_if:DeepFloydIF",
    "KolorsPipeline": "diffclf_lightning.denoisers.kolors:Kolors",
    "PixArtAlphaPipeline": "diffclf_lightning.denoisers.pixart:PixArt",
    "PixArtSigmaPipeline": "diffclf_lightning.denoisers.pixart:PixArtSigma",
    "PixArtTransformer2DModel": "diffclf_lightning.denoisers.pixart:PixArt",
    "AuraFlowTransformer2DModel": "diffclf_lightning.denoisers.aura_flow:AuraFlow",
    "Lumina2Transformer2DModel": "diffclf_lightning.denoisers.lumina:Lumina2",
    "SanaTransformer2DModel": "diffclf_lightning.denoisers.sana:Sana",
    "Flux2KleinPipeline": "diffclf_lightning.denoisers.flux2:Flux2Klein",
    "Flux2Pipeline": "diffclf_lightning.denoisers.flux2:Flux2",
    "FluxPipeline": "diffclf_lightning.denoisers.flux:Flux",
    "QwenImagePipeline": "diffclf_lightning.denoisers.qwen_image:QwenImage",
    "StableDiffusion3Pipeline": "diffclf_lightning.denoisers.stable_diffusion_3:StableDiffusion3",
    "StableDiffusionXLPipeline": "diffclf_lightning.denoisers.stable_diffusion:StableDiffusionXL",
    "EDM2Pipeline": "diffclf_lightning.denoisers.edm2:EDM2Denoiser",
    "REPAPipeline": "diffclf_lightning.denoisers.sit:REPADenoiser",
    "SiTPipeline": "diffclf_lightning.denoisers.sit:SiTDenoiser",
    "UNet2DConditionModel": "diffclf_lightning.denoisers.stable_diffusion:StableDiffusion",
    "ZImagePipeline": "diffclf_lightning.denoisers.z_image:ZImage",
}
"""Family by the class of its pipeline, or else of its network. A new one is a line here."""

SAMPLERS = re.compile("Img2Img|PAG")
"""What names of pipelines have within that draw in another way with the network of a family."""
OTHER_TASKS = {
    "Inpaint": "inpainting",
    "Control|Adapter|GLIGEN": "images under control",
    "SuperResolution|Upscale": "upscaling",
    "InstructPix2Pix|Edit(?!ing)|Kontext": "editing",
    "Variation|Depth2Img": "variations of images",
    "Video": "video",
}
"""Tasks whose networks are told more than a prompt, by what names of pipelines have within."""

EXTENDING = "docs/extending/model-family.md"
NETWORKS = ("transformer", "unet")
"""Names of the network in pipelines."""


class AutoDenoiser:
    """Loads a denoiser of whatever family a pipeline belongs to."""

    @staticmethod
    @remembered
    def from_pretrained(
        pretrained_model_name_or_path: str,
        *,
        image_size: int | None = None,
        lora: Mapping[str, float] | str | None = None,
        guidance: float | None = None,
        leave_out: Sequence[str] | None = None,
        config: str | None = None,
        quantization_config: Any = None,
        text_encoder_offload: Offload | None = None,
        device_map: str | dict[str, int | str] | None = None,
        torch_dtype: DType | torch.dtype = "float32",
        variant: str | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool = False,
    ) -> PipelineDenoiser:
        """Load a denoiser, in evaluation mode.

        Args:
            pretrained_model_name_or_path: Folder of a diffusers pipeline, hub id, file of weights
                as they were published (``.safetensors``), or ``diffclf/NAME`` for a model that the
                package carries.
            image_size: Side of the images, for families that take several (those of prompts).
            lora: LoRA weights (a file, a folder or a hub id), for families whose pipeline loads
                them; several by their weight, as ``{style: 0.7, digits: 0.3}``.
            guidance: What a model is told into which guidance was distilled (FLUX.1 and 2, dev).
                Defaults to None: 1, which is no guidance.
            leave_out: Components that are neither fetched nor loaded, as ``text_encoder_3`` and
                ``tokenizer_3``, T5 of Stable Diffusion 3.
            config: Folder or hub id of the pipeline that a file of weights belongs to, which gives
                what the file lacks. Defaults to None: the one that diffusers infers.
            quantization_config: diffusers' ``PipelineQuantizationConfig``, or its arguments.
            text_encoder_offload: Keeps text encoders on the CPU but while they speak: ``model``
                moves each as a whole, ``sequential`` layer by layer. For evaluation. Defaults to
                None: they leave the GPU when they have spoken.
            device_map: Where the layers of a network are put that is larger than one device, as
                diffusers takes it: ``auto``, ``balanced``, or devices by the names of modules. For
                one process (``--trainer.devices 1``), and without ``lora``.
            torch_dtype: Type of the weights; schedule and errors are float32 in any case.
            variant: Variant of the weights' files, ``fp16`` for instance.
            revision: Revision on the hub.
            cache_dir: Folder of downloaded files.
            local_files_only: Whether to leave the hub alone.

        Raises:
            InputError: If there is no usable pipeline, or its family does not take an argument.
        """
        path, config = _resolve(pretrained_model_name_or_path), config and named(config)
        hub: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir}
        hub["local_files_only"] = local_files_only
        if Path(path).is_file():
            config = described_by(path, config, **hub)  # the file is not read for it again
            index = read_index(config, **hub)
        else:
            index = read_index(path, **hub)
        family = family_of(path, index)
        asked: dict[str, Any] = {"image_size": image_size}
        asked |= {"guidance": guidance, "leave_out": leave_out}
        asked |= {"text_encoder_offload": text_encoder_offload}
        options = {name: value for name, value in asked.items() if value is not None}
        if refused := sorted(options.keys() - family.options):
            raise InputError(
                f"Expected no argument `{refused[0]}` for {str(path)!r}, but got "
                f"{options[refused[0]]!r}. {family.__name__} does not take it: leave it out."
            )
        dtype = _dtype(torch_dtype)
        return family.from_pretrained(
            path,
            torch_dtype=dtype,
            variant=variant,
            lora=lora,
            config=config,
            quantization_config=quantization_config,
            device_map=device_map,
            **hub,
            **options,
        )


def family_of(path: str, index: Mapping[str, Any]) -> type[PipelineDenoiser]:
    """The family that a pipeline belongs to, by its name or else by its network.

    Args:
        path: The pipeline, for the message.
        index: Content of its ``model_index.json``.

    Raises:
        InputError: If there is none.
    """
    own = str(index.get("_class_name"))
    networks = [index[name][1] for name in NETWORKS if is_component(index.get(name))]
    name = next((n for n in (own, SAMPLERS.sub("", own)) if n in FAMILIES), None)
    if name is None:
        for part, task in OTHER_TASKS.items():
            if re.search(part, own):
                raise unusable(
                    path, f"its pipeline {own} is for {task}. Take one that draws from text alone"
                )
        name = next((network for network in networks if network in FAMILIES), None)
    if name is None:
        raise unusable(
            path,
            f"its model_index.json names {own!r}, and neither that nor its "
            f"network is one of {', '.join(FAMILIES)}. To write a family see {EXTENDING}",
        )
    family: type[PipelineDenoiser] = resolve_name(FAMILIES[name])
    return family


def _dtype(given: str | torch.dtype) -> torch.dtype:
    dtype = getattr(torch, given, None) if isinstance(given, str) else given
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(
            f"Expected argument `torch_dtype` to be one of {', '.join(get_args(DType))}, but got "
            f"{given!r}."
        )
    return dtype


def _resolve(name: str) -> str:
    if not isinstance(name, str | Path):
        raise InputError(
            "Expected argument `pretrained_model_name_or_path` to be a folder, a hub id or "
            f"{EMBEDDED}NAME, but got {name!r}."
        )
    if not name.startswith(EMBEDDED) or Path(name).exists():
        return named(name)
    folder = ASSETS / name.removeprefix(EMBEDDED)
    if not (folder / "model_index.json").is_file():
        known = sorted(EMBEDDED + p.parent.name for p in ASSETS.glob("*/model_index.json"))
        raise InputError(
            f"Expected `pretrained_model_name_or_path` to name a model of the package "
            f"({', '.join(known)}), but got {name!r}."
        )
    return str(folder)
