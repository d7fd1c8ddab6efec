"""Denoisers conditioned on a class: DiT, and U-Nets with class embeddings.

Both come as diffusers pipeline folders or hub ids, with a VAE or, in pixel space, without.
"""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor, nn

from diffclf_lightning.candidates import Condition
from diffclf_lightning.denoisers.conditioning import Conditioning
from diffclf_lightning.denoisers.pipeline import PipelineDenoiser
from diffclf_lightning.denoisers.schedules import Schedule, schedule_of
from diffclf_lightning.denoisers.transforms import ADMCrop
from diffclf_lightning.denoisers.variance import WithVariance
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Noised, Prediction


class ClassConditionalDenoiser(WithVariance, PipelineDenoiser):
    """A network that takes class ids.

    Args:
        model: The diffusers network.
        scheduler: The diffusers scheduler that it was trained with.
        vae: Its ``AutoencoderKL``, or None for a model of pixels.
        id2label: Class names by class id. Defaults to None: numbers.
    """

    model: Any
    num_classes: int
    null_class: int | None
    """Class id of "no class", where the network was trained with one."""

    def __init__(
        self,
        model: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(self.own_schedule(scheduler), vae)
        self.model = model
        self.num_classes, self.null_class = self.embedded_classes(len(id2label or ()))
        names = id2label or {i: str(i) for i in range(self.num_classes)}
        self.id2label = dict(sorted((int(i), name) for i, name in names.items()))
        if any(name != str(i) for i, name in self.id2label.items()):
            self.classnames = [self.id2label.get(i, str(i)) for i in range(self.num_classes)]
        for module in self.model.modules():
            if hasattr(module, "class_embedder"):
                # diffusers drops labels in each block of a DiT by itself in training; here they are
                # dropped once, for the whole network, by whoever trains it.
                module.class_embedder.dropout_prob = 0.0

    @classmethod
    def own_schedule(cls, scheduler: SchedulerMixin) -> Schedule:
        """What the network is told of times, by its scheduler; an InputError refuses another."""
        return schedule_of(scheduler)

    @classmethod
    def from_components(cls, components: Mapping[str, Any], **options: Any) -> Self:
        return cls(*components.values(), **options)

    def to_components(self) -> dict[str, Any]:
        names = {str(i): name for i, name in self.id2label.items()}
        own = (self.model, self.schedule.scheduler, self.vae, names)
        return {name.rstrip("?"): part for name, part in zip(self.components, own, strict=True)}

    @property
    def network(self) -> nn.Module:
        network: nn.Module = self.model
        return network

    @abstractmethod
    def embedded_classes(self, named: int) -> tuple[int, int | None]:
        """Number of classes that the network's embedding was made for, and the null class.

        ``named`` is the number of classes that have names.
        """

    @abstractmethod
    def class_embeddings(self) -> list[nn.Embedding]:
        """The tables of the network with a row a class."""

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        size = self.model.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.model.config.in_channels, height, width

    def condition(self, conditions: Sequence[Condition]) -> Conditioning:
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
        return self._class_labels(conditions)

    def unconditional(self) -> Conditioning:
        if self.null_class is None:
            raise InputError(
                'Expected a model with an embedding for "no class", but it has none. Set '
                "`label_dropout` to 0, or give the network one class more."
            )
        return self._class_labels([self.null_class])

    def _class_labels(self, ids: Sequence[Condition]) -> Conditioning:
        labels = torch.tensor(list(ids), dtype=torch.int64, device=self.device)
        return Conditioning({"class_labels": labels})

    def predict_mixed(
        self, noised: Noised, conditioning: Conditioning, weights: Tensor
    ) -> Prediction:
        """See :meth:`Denoiser.predict_mixed`; the network's own embeddings of classes are mixed."""
        ids = conditioning["class_labels"].to(weights.device)

        def mixed(table: nn.Embedding, _: Any, embedded: Tensor) -> Tensor:
            with torch.autocast(weights.device.type, enabled=False):
                return (weights @ table.weight[ids].float()).to(embedded.dtype)

        hooks = [table.register_forward_hook(mixed) for table in self.class_embeddings()]
        try:
            return self.predict(noised, self._class_labels([0] * len(weights)))
        finally:
            for hook in hooks:
                hook.remove()

    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.model(x_t.to(self.model.dtype), timestep, **conditioning).sample
        return output


class DiTDenoiser(ClassConditionalDenoiser):
    """Diffusion transformer (Peebles and Xie, 2023), ``facebook/DiT-XL-2-256`` for instance.

    Its network is diffusers' ``DiTTransformer2DModel``, or the published one, ``OriginalDiT``.
    """

    pipeline_class = diffusers.DiTPipeline
    components = ("transformer", "scheduler", "vae?", "id2label?")
    crop = ADMCrop

    @classmethod
    def from_components(cls, components: Mapping[str, Any], **options: Any) -> Self:
        denoiser = super().from_components(components, **options)
        first, *others = (table.weight for table in denoiser.class_embeddings())
        if others and all(torch.equal(first, other) for other in others):
            warnings.warn(
                "All blocks of this DiT embed classes alike, as published weights do. diffusers "
                "tells them other times than they were trained with (docs/converting.md): "
                "`diffclf convert dit` makes the published network of a pipeline.",
                stacklevel=2,
            )
        return denoiser

    def embedded_classes(self, named: int) -> tuple[int, int | None]:
        """See :meth:`ClassConditionalDenoiser.embedded_classes`; diffusers adds the null class."""
        count = int(self.model.config.num_embeds_ada_norm)
        return count, count if self.model.config.get("null_class", True) else None

    def class_embeddings(self) -> list[nn.Embedding]:
        """See :meth:`ClassConditionalDenoiser.class_embeddings`.

        In diffusers' network each block has its own.
        """
        modules = self.model.modules()
        return [m.embedding_table for m in modules if hasattr(m, "embedding_table")]


class UNetDenoiser(ClassConditionalDenoiser):
    """U-Net with a class embedding (diffusers ``UNet2DModel``).

    A null class is there when the embedding has a row more than ``id2label`` has names.
    """

    pipeline_class = diffusers.DDPMPipeline
    components = ("unet", "scheduler", "vae?", "id2label?")

    def embedded_classes(self, named: int) -> tuple[int, int | None]:
        rows = self.model.config.get("num_class_embeds")
        if rows is None:
            raise InputError(
                "Expected a UNet2DModel with class embeddings, but its `num_class_embeds` is null. "
                "An unconditional model cannot tell classes apart."
            )
        count = named or int(rows)
        return count, count if rows > count else None

    def class_embeddings(self) -> list[nn.Embedding]:
        """See :meth:`ClassConditionalDenoiser.class_embeddings`."""
        return [self.model.class_embedding]
