"""Denoisers that diffusers pipelines hold: how they are loaded, tuned and written."""

import inspect
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from diffusers import ConfigMixin, DiffusionPipeline
from torch import Tensor, nn
from transformers import PreTrainedModel

from diffclf_lightning.arguments import plain
from diffclf_lightning.calibration import FILE, Calibration
from diffclf_lightning.denoisers.base import Denoiser
from diffclf_lightning.denoisers.distilled import say_distilled
from diffclf_lightning.denoisers.latents import keep_precision
from diffclf_lightning.denoisers.loading import load_components
from diffclf_lightning.denoisers.lora import merged
from diffclf_lightning.denoisers.lora_files import check_adapters, fuse_adapters, write_adapter
from diffclf_lightning.denoisers.quantized import quantization
from diffclf_lightning.denoisers.single_file import (
    check_no_config,
    check_single_file,
    described_by,
    load_single_file,
)
from diffclf_lightning.errors import InputError
from diffclf_lightning.paths import named

RENAMED = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""Names of transformers 5 that version 4 has under another; version 5 knows both."""
UNDECODED = "surrogateescape"
"""How text holds what is none, as the vocabulary of a tokenizer of sentencepiece."""


class PipelineDenoiser(Denoiser):
    """A family of models that come as diffusers pipelines.

    A family says which pipeline and which of its components; its constructor takes these by name.
    :meth:`from_pretrained` loads them whole, and :meth:`save_pretrained` writes them again. Half
    of a loaded autoencoder, the decoder, is kept apart from the network: it goes to no device and
    into no checkpoint, and is there again when the pipeline is written.
    """

    pipeline_class: ClassVar[type[DiffusionPipeline]]
    """The pipeline in diffusers."""
    components: ClassVar[tuple[str, ...]]
    """What the constructor takes of the pipeline; a name that ends in ``?`` may be absent."""

    _decoder: Mapping[str, nn.Module] = MappingProxyType({})

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        torch_dtype: torch.dtype = torch.float32,
        variant: str | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool = False,
        lora: Mapping[str, float] | str | None = None,
        leave_out: Sequence[str] = (),
        config: str | None = None,
        quantization_config: Any = None,
        device_map: Any = None,
        **options: Any,
    ) -> Self:
        """Load a pipeline, of a ``path`` that is a folder or hub id, in evaluation mode.

        ``options`` are further arguments of the constructor; the others, and errors, are those of
        :meth:`AutoDenoiser.from_pretrained`.
        """
        path, config = named(path), config and named(config)
        if lora is not None:
            check_adapters(cls.pipeline_class, lora)
            if device_map is not None:  # to merge layers diffusers would place them anew
                raise InputError(
                    f"Expected no argument `lora` beside `device_map`, but got {lora!r}. Load the "
                    "model without `device_map`, write it (`save_pretrained`), and load that."
                )
        hub: dict[str, Any] = {"cache_dir": cache_dir, "local_files_only": local_files_only}
        if Path(path).is_file():
            check_single_file(path, variant, quantization_config, leave_out, device_map)
            described = described_by(path, config, revision=revision, **hub)
            wanted = (cls.pipeline_class, cls.components, path, described)
            loaded = load_single_file(*wanted, torch_dtype=torch_dtype, revision=revision, **hub)
        else:
            check_no_config(path, config)
            loaded = load_components(
                cls.pipeline_class,
                cls.components,
                path,
                left_out=leave_out,
                torch_dtype=torch_dtype,
                variant=variant,
                quantized=quantization(quantization_config),
                placed={cls.components[0]: device_map},
                revision=revision,
                **hub,
            )
        denoiser = cls.from_components(loaded, **options)
        denoiser._decoder = _detached_decoder(denoiser.vae)
        if lora is not None:
            denoiser.load_lora(lora, **hub)
        elif (Path(path) / FILE).is_file():
            denoiser.calibration = Calibration.load(path)
        say_distilled(denoiser, path)
        return denoiser.eval()

    @property
    def unmoved(self) -> frozenset[str]:
        """Names of the components that stay where they are when the model is moved."""
        network = self.components[0]
        return frozenset(
            {network} if hasattr(getattr(self, network, None), "hf_device_map") else ()
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Leave components where they are that have a place of their own."""
        unmoved = self.unmoved
        if not unmoved or not recurse:
            whole: Self = super()._apply(fn, recurse)
            return whole
        for name, child in self.named_children():
            if name not in unmoved:
                child._apply(fn)
        rest: Self = super()._apply(fn, recurse=False)
        return rest

    @property
    def distilled(self) -> tuple[str, ...]:
        """Why the model is less of a classifier than others, where it was distilled."""
        return ()

    @classmethod
    def from_components(cls, components: Mapping[str, Any], **options: Any) -> Self:
        """The denoiser of loaded components by their name in the pipeline, None where absent.

        ``options`` are further arguments of the constructor.
        """
        return cls(**components, **options)

    def to_components(self) -> dict[str, Any]:
        """Components by their name in the pipeline, the inverse of :meth:`from_components`."""
        names = [name.rstrip("?") for name in self.components]
        own = {name: getattr(self, name, None) for name in names if name != "scheduler"}
        return {**own, "scheduler": self.schedule.scheduler}

    def load_lora(self, lora: Mapping[str, float] | str, **hub: Any) -> None:
        """Load LoRA weights with diffusers' own loader, and add them to the weights.

        Args:
            lora: A file, a folder or a hub id, or several of them with the weight of each.
            **hub: Passed on to diffusers for an id.

        Raises:
            InputError: If there are none, none of them belongs to the networks, the family takes
                none, or peft is not installed.
        """
        adapters = check_adapters(self.pipeline_class, lora)
        fuse_adapters(self._pipeline(), adapters, **hub)

    def save_lora(self, folder: str | Path) -> None:
        """Write the LoRA layers that training added, as ``lora`` and diffusers load them.

        Args:
            folder: The folder, made if need be.

        Raises:
            InputError: If there are none, or the family's pipeline does not load any.
        """
        write_adapter(self, folder)

    def _pipeline(self, **settings: Any) -> Any:
        """The pipeline in diffusers, of the same components, with the settings that it knows."""
        parts: dict[str, Any] = {}
        known = self.to_components()
        for name, parameter in inspect.signature(self.pipeline_class).parameters.items():
            default = None if parameter.default is parameter.empty else parameter.default
            parts[name] = default if known.get(name) is None else known[name]
        parts |= {name: value for name, value in settings.items() if name in parts}
        return self.pipeline_class(**parts)

    def pipeline(self) -> Any:
        """The pipeline in diffusers, whole, of the same components: it generates images.

        The autoencoder has its decoder again from now on.

        Raises:
            InputError: If there is no decoder, since the model comes from a checkpoint.
        """
        self._restore_decoder("generate images")
        return self._pipeline()

    def decode(self, samples: Tensor) -> Tensor:
        """Images of ``x_0``, the inverse of :meth:`Denoiser.encode`.

        Args:
            samples: Shape ``(images, *sample_shape)``.

        Returns:
            Pixels, uint8, shape ``(images, *image_shape)``.

        Raises:
            InputError: If there is no decoder, since the model comes from a checkpoint.
        """
        if self.vae is not None:
            self._restore_decoder("generate images")
            keep_precision(self.vae)
            samples = self.latent_space.decode(samples)
        return ((samples.float() + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)

    def _restore_decoder(self, purpose: str) -> None:
        self._check_decoder(purpose)
        for name, module in self._decoder.items():
            setattr(self.vae, name, module.to(self.device, self.vae.dtype))
        self._decoder = MappingProxyType({})

    def _check_decoder(self, purpose: str) -> None:
        if self.vae is not None and not self._decoder and not hasattr(self.vae, "decoder"):
            raise InputError(
                f"Expected a whole autoencoder to {purpose}, but this model comes from a "
                "checkpoint, which holds no decoder. Export with `ExportDenoiser` in the run that "
                "trains, and load that."
            )

    def save_pretrained(self, folder: str | Path) -> None:
        self._check_decoder("export")
        with self._whole_vae(), merged(self):
            self._write(Path(folder), lambda component, place: component.save_pretrained(place))

    def stored_form(self) -> dict[str, Any]:
        """The denoiser without its weights, as a checkpoint holds it beside them.

        Returns:
            A configuration that makes it again (:func:`skeleton.rebuilt`).
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._write(folder, _save_form)
            files = {
                file.relative_to(folder).as_posix(): file.read_bytes().decode(errors=UNDECODED)
                for file in sorted(folder.rglob("*"))
                if file.is_file()
            }
        parts = {
            "files": files,
            "options": self.chosen_options,
            "dtype": str(next(self.parameters()).dtype).removeprefix("torch."),
            "has_decoder": hasattr(self.vae, "decoder"),
        }
        form = {"class_path": "diffclf_lightning.denoisers.skeleton.rebuilt", "init_args": parts}
        return form if self.lora is None else self._adapted_form(form)

    def _adapted_form(self, form: Mapping[str, Any]) -> dict[str, Any]:
        parts = {"denoiser": plain(self.source or form), "lora": plain(self.lora)}
        return {"class_path": "diffclf_lightning.denoisers.lora.adapted", "init_args": parts}

    @property
    def chosen_options(self) -> dict[str, Any]:
        """Arguments of the constructor that are no components, as plain values."""
        return {}

    def drop_decoder(self) -> None:
        """Leave the autoencoder's decoder away, which no checkpoint holds."""
        _detached_decoder(self.vae)

    def _write(self, folder: Path, save: Callable[[Any, Path], Any]) -> None:
        index: dict[str, Any] = {"_class_name": self.pipeline_class.__name__}
        for name, component in self.to_components().items():
            if hasattr(component, "save_pretrained"):
                save(component, folder / name)
                index[name] = _entry(type(component))
            elif component is not None:
                index[name] = component
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        if self.calibration is not None:
            self.calibration.save(folder)
        for file in folder.rglob("*"):
            if file.is_file():
                file.chmod(0o644)

    @contextmanager
    def _whole_vae(self) -> Iterator[None]:
        for name, module in self._decoder.items():
            setattr(self.vae, name, module.to(self.vae.dtype))
        try:
            yield
        finally:
            for name in self._decoder:
                delattr(self.vae, name)


def _entry(kind: type) -> list[str]:
    """Library and name of a component's class, as an index has them."""
    library, *inside = kind.__module__.split(".")
    if inside[:1] == ["pipelines"]:  # diffusers calls what belongs to one pipeline by its folder
        library = inside[1]
    return [library, RENAMED.get(kind.__name__, kind.__name__)]


def _save_form(component: Any, folder: Path) -> None:
    """Write all of a component but its weights."""
    if isinstance(component, ConfigMixin):
        component.save_config(folder)
    elif isinstance(component, PreTrainedModel):
        component.config.save_pretrained(folder)
    else:
        component.save_pretrained(folder)


def _detached_decoder(vae: Any) -> dict[str, nn.Module]:
    decoder = {}
    for name in ("decoder", "post_quant_conv"):
        if (module := getattr(vae, name, None)) is not None:
            decoder[name] = module
            delattr(vae, name)
    return decoder
