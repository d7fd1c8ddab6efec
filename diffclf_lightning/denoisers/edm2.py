"""EDM2 (Karras et al. 2024): class-conditional models of ImageNet, in pixels or latents.

Their weights come in a layout of their own; ``diffclf convert`` makes pipeline folders of them.
"""

import hashlib
from collections.abc import Mapping

from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from safetensors import safe_open
from torch import Tensor, nn

from diffclf_lightning.denoisers.class_conditional import ClassConditionalDenoiser
from diffclf_lightning.denoisers.edm2_network import uncertainty
from diffclf_lightning.denoisers.schedules import EDM, Schedule
from diffclf_lightning.denoisers.transforms import ADMCrop
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Timesteps, TimeWeight
from diffclf_lightning.evaluation.noised import broadcast
from diffclf_lightning.paths import path_of

SIGMA_DATA = 0.5
"""Standard deviation of data, latents included."""


class EDM2Pipeline(DiffusionPipeline):
    """The form of a folder with EDM2; it draws no images.

    Args:
        unet: ``EDM2UNet``.
        scheduler: ``EDMEulerScheduler``, whose range of noise is that of the times.
        vae: ``AutoencoderKL`` with the mean and deviation of its latents, or None for pixels.
        id2label: Class names by class id.
    """

    def __init__(
        self,
        unet: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae)
        self.id2label = id2label


class EDM2Denoiser(ClassConditionalDenoiser):
    r"""A network :math:`F` whose output, preconditioned, is the clean sample (Karras et al. 2022).

    :math:`D(x; \sigma) = c_{skip} x + c_{out} F(c_{in} x; \ln(\sigma) / 4)` with
    :math:`c_{skip} = \sigma_d^2 / (\sigma^2 + \sigma_d^2)`,
    :math:`c_{out} = \sigma \sigma_d / \sqrt{\sigma^2 + \sigma_d^2}`,
    :math:`c_{in} = 1 / \sqrt{\sigma^2 + \sigma_d^2}` and :math:`\sigma_d = 0.5`, in float32. There
    is no null class: guidance there is by another network.
    """

    pipeline_class = EDM2Pipeline
    components = ("unet", "scheduler", "vae?", "id2label?")
    crop = ADMCrop

    @classmethod
    def own_schedule(cls, scheduler: SchedulerMixin) -> Schedule:
        config = scheduler.config
        return EDM(config.sigma_min, config.sigma_max, config.rho, scheduler)

    def embedded_classes(self, named: int) -> tuple[int, int | None]:
        return int(self.model.config.num_class_embeds), None

    def class_embeddings(self) -> list[nn.Embedding]:
        """See :meth:`ClassConditionalDenoiser.class_embeddings`."""
        return [self.model.emb_label]

    def output(self, x_t: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        variance = broadcast((8 * timestep.float()).exp(), x_t)
        total = variance + SIGMA_DATA**2
        raw = super().output(x_t.float() * total.rsqrt(), timestep, conditioning).float()
        return SIGMA_DATA**2 / total * x_t + SIGMA_DATA * (variance / total).sqrt() * raw


class EDM2Weight(TimeWeight):
    r"""The weight of errors of ``x_0`` in the training of a model (Karras et al. 2024, eq. 21).

    :math:`\lambda(\sigma) / e^{u(\sigma)}` with :math:`\lambda = (\sigma^2 + \sigma_d^2) /
    (\sigma \sigma_d)^2` and the uncertainty ``u`` that the model learned beside its network: all
    scales of noise count alike. For ``WeightedError`` of ``l2_x_0``.

    Args:
        folder: Folder that ``diffclf convert edm2`` wrote.

    Raises:
        InputError: If it is no such folder, or its model came without ``u``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        where = path_of(folder)
        learned: dict[str, Tensor] = {}
        for file in sorted(where.glob("unet/*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                names = [name for name in opened.keys() if name.startswith("logvar_")]  # noqa: SIM118
                learned |= {name: opened.get_tensor(name).float() for name in names}
        if not learned:
            raise InputError(
                "Expected argument `folder` to be one that `diffclf convert edm2` wrote of a model "
                f"with its uncertainty, but got {folder!r}. Take another weight, or convert again."
            )
        self._learned = learned
        digest = hashlib.sha256()
        for name, tensor in sorted(learned.items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        self._digest = digest.hexdigest()[:8]

    def __repr__(self) -> str:
        """A short name of its numbers: a score is named after them, wherever the folder lies."""
        return f"{type(self).__name__}({self._digest})"

    def __call__(self, timesteps: Timesteps) -> Tensor:
        square, data = timesteps.sigma.square(), SIGMA_DATA**2
        learned = {name: tensor.to(square.device) for name, tensor in self._learned.items()}
        u = uncertainty(
            timesteps.sigma.log() / 4,
            learned["logvar_fourier.freqs"],
            learned["logvar_fourier.phases"],
            learned["logvar_linear.weight"],
        )
        return (square + data) / (square * data) * (-u).exp()
