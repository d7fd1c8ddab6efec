"""Denoisers conditioned on a class: DiT, and U-Nets with class embeddings.

Both come as diffusers pipeline folders or hub ids, with a VAE or, in pixel space, without.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.base import Denoiser, Transform
from diffclf_lightning.denoisers.pipeline import save_pipeline
from diffclf_lightning.denoisers.schedule import Schedule
from diffclf_lightning.denoisers.transforms import ADMCrop, CenterCrop
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Prediction


class ClassConditionalDenoiser(Denoiser):
    """A network that takes class ids.

    Args:
        model: The diffusers network.
        scheduler: The diffusers scheduler that it was trained with.
        vae: Its ``AutoencoderKL``; none for a model of pixels.
        id2label: Class names by class id; numbers when not given.
    """

    component: str
    """Name of the network in the pipeline folder."""
    model_class: str
    """Class of the network in diffusers."""
    pipeline_class: str
    """Class name written to ``model_index.json``."""
    model: Any
    num_classes: int

    def __init__(
        self,
        model: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(Schedule(scheduler), vae)
        self.model = model
        self.num_classes = self.embedded_classes()
        names = id2label or {i: str(i) for i in range(self.num_classes)}
        self.id2label = dict(sorted((int(i), name) for i, name in names.items()))

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        index: Mapping[str, Any] | None = None,
        torch_dtype: torch.dtype = torch.float32,
        **kwargs: Any,
    ) -> "ClassConditionalDenoiser":
        """Load a pipeline from a folder or the hub.

        Args:
            path: Pipeline folder or hub id.
            index: Content of its ``model_index.json``, where it is already at hand.
            torch_dtype: Type of the weights.
            **kwargs: Passed to diffusers: ``revision``, ``variant``, ``local_files_only``...

        Returns:
            The denoiser.
        """
        index = index or diffusers.DiffusionPipeline.load_config(str(path), **kwargs)
        network = getattr(diffusers, cls.model_class)
        weights = {"torch_dtype": torch_dtype, **kwargs}
        model = network.from_pretrained(path, subfolder=cls.component, **weights)
        vae = None
        if index.get("vae", (None, None))[0] is not None:
            vae = diffusers.AutoencoderKL.from_pretrained(path, subfolder="vae", **weights)
        schedule = Schedule.from_pretrained(path, index["scheduler"][1], **kwargs)
        return cls(model, schedule.scheduler, vae, index.get("id2label")).eval()

    @abstractmethod
    def embedded_classes(self) -> int:
        """Number of classes that the network's embedding was made for, without the null class."""

    @property
    @abstractmethod
    def null_class(self) -> int | None:
        """Class id of "no class", where the network was trained with one."""

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """See :attr:`Denoiser.sample_shape`."""
        size = self.model.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.model.config.in_channels, height, width

    @property
    def classnames(self) -> list[str]:
        """Class names in the order of class ids."""
        return list(self.id2label.values())

    def condition(self, conditions: Sequence[Condition]) -> Tensor:
        """See :meth:`Denoiser.condition`."""
        count = self.num_classes
        for condition in conditions:
            if not isinstance(condition, int):
                raise InputError(
                    f"Expected class ids from 0 to {count - 1}, but got {condition!r}. This model "
                    "takes class ids, not prompts: leave out `template`."
                )
            if not 0 <= condition < count:
                raise InputError(
                    f"Expected class ids from 0 to {count - 1}, but got {condition}. The model "
                    f"was trained with {count} classes."
                )
        return torch.tensor(conditions, dtype=torch.int64, device=self.device)

    def null_conditioning(self, conditioning: Tensor) -> Tensor:
        """See :meth:`Denoiser.null_conditioning`."""
        if self.null_class is None:
            raise InputError(
                'Expected a model with an embedding for "no class", but it has none. Set '
                "`label_dropout` to 0, or give the network one class more."
            )
        return torch.full_like(conditioning, self.null_class)

    def save_pretrained(self, folder: str | Path) -> None:
        """See :meth:`Denoiser.save_pretrained`."""
        parts = {self.component: self.model, "scheduler": self.schedule.scheduler}
        if self.vae is not None:
            parts["vae"] = self.vae
        names = {"id2label": {str(i): name for i, name in self.id2label.items()}}
        save_pipeline(folder, self.pipeline_class, parts, names)


class DiTDenoiser(ClassConditionalDenoiser):
    """Diffusion transformer (Peebles and Xie, 2023), ``facebook/DiT-XL-2-256`` for instance.

    Its output may have twice the channels: noise first, then the variance, as
    :meth:`Schedule.reverse_step` takes it. The timestep and class embedding of diffusers drops
    labels in each block by itself in training; that is switched off, since labels are dropped once,
    for the whole network, by whoever trains it.
    """

    component = "transformer"
    model_class = "DiTTransformer2DModel"
    pipeline_class = "DiTPipeline"

    def __init__(
        self,
        model: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(model, scheduler, vae, id2label)
        config = self.model.config
        self.predicts_variance = config.out_channels == 2 * config.in_channels
        for module in self.model.modules():
            if hasattr(module, "class_embedder"):
                embedder: Any = module.class_embedder
                embedder.dropout_prob = 0.0

    def embedded_classes(self) -> int:
        """See :meth:`ClassConditionalDenoiser.embedded_classes`."""
        return int(self.model.config.num_embeds_ada_norm)

    @property
    def null_class(self) -> int | None:
        """The row after the last class, which diffusers always makes."""
        return self.num_classes

    @property
    def transform(self) -> Transform:
        """The ADM crop."""
        channels, size, _ = self.image_shape
        return ADMCrop(size, channels)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        """See :meth:`Denoiser.forward`."""
        return self._output(x_t, timestep, conditioning)[:, : x_t.shape[1]]

    def predict(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Prediction:
        """See :meth:`Denoiser.predict`."""
        output, channels = self._output(x_t, timestep, conditioning), x_t.shape[1]
        noise = self.schedule.noise(output[:, :channels], x_t, timestep)
        if not self.predicts_variance:
            return Prediction(noise)
        return Prediction(noise, self.schedule.reverse_step(output[:, channels:], timestep))

    def _output(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        x_t = x_t.to(self.model.dtype)
        output: Tensor = self.model(x_t, timestep, class_labels=conditioning).sample
        return output


class UNetDenoiser(ClassConditionalDenoiser):
    """U-Net with a class embedding (diffusers ``UNet2DModel``).

    A null class is there when the embedding has a row more than ``id2label`` has names.
    """

    component = "unet"
    model_class = "UNet2DModel"
    pipeline_class = "DDPMPipeline"

    def __init__(
        self,
        model: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        config: Any = model.config
        if config.get("num_class_embeds") is None:
            raise InputError(
                "Expected a UNet2DModel with class embeddings, but its `num_class_embeds` is null. "
                "An unconditional model cannot tell classes apart."
            )
        rows = int(config.num_class_embeds)
        self._classes = len(id2label) if id2label else rows
        self._rows = rows
        super().__init__(model, scheduler, vae, id2label)

    def embedded_classes(self) -> int:
        """See :meth:`ClassConditionalDenoiser.embedded_classes`."""
        return self._classes

    @property
    def null_class(self) -> int | None:
        """The row after the last class, if the embedding has one."""
        return self._classes if self._rows > self._classes else None

    @property
    def transform(self) -> Transform:
        """Short side bicubic to the size, then the centre."""
        channels, size, _ = self.image_shape
        return CenterCrop(size, channels)

    def forward(self, x_t: Tensor, timestep: Tensor, conditioning: Tensor) -> Tensor:
        """See :meth:`Denoiser.forward`."""
        x_t = x_t.to(self.model.dtype)
        output: Tensor = self.model(x_t, timestep, class_labels=conditioning).sample
        return output[:, : x_t.shape[1]]
