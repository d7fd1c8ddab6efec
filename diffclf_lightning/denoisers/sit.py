"""SiT (Ma et al. 2024) and REPA (Yu et al. 2025): class-conditional flows of latents.

Their weights come in a layout of their own; ``diffclf convert`` makes pipeline folders of them.
"""

from collections.abc import Mapping

from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import nn

from diffclf_lightning.denoisers.class_conditional import DiTDenoiser
from diffclf_lightning.denoisers.schedules import FlowMatching, Schedule


class SiTPipeline(DiffusionPipeline):
    """The form of a folder with SiT; it draws no images.

    Args:
        transformer: ``SiTTransformer2DModel``.
        scheduler: A diffusers scheduler of flow matching.
        vae: ``AutoencoderKL``, or None for a model of pixels.
        id2label: Class names by class id.
    """

    def __init__(
        self,
        transformer: nn.Module,
        scheduler: SchedulerMixin,
        vae: nn.Module | None = None,
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler, vae=vae)
        self.id2label = id2label


class REPAPipeline(SiTPipeline):
    """The form of a folder with REPA; see :class:`SiTPipeline`."""


class SiTDenoiser(DiTDenoiser):
    """Scalable interpolant transformer on the linear path, whose time 1 is data.

    The network is told 1 - sigma as it is, in [0, 1], and outputs ``x_0 - noise``.

    Args:
        model: ``OriginalDiT``.
        scheduler: A diffusers scheduler of flow matching; its shift is the sampler's.
        vae: Its ``AutoencoderKL``, or None for a model of pixels.
        id2label: Class names by class id. Defaults to None: numbers.
    """

    pipeline_class = SiTPipeline
    sign = -1
    reversed_time = True

    @classmethod
    def own_schedule(cls, scheduler: SchedulerMixin) -> Schedule:
        return FlowMatching(scheduler, 1.0, cls.sign, cls.reversed_time)


class REPADenoiser(SiTDenoiser):
    """The network of SiT in the direction of REPA, whose time 1 is noise.

    It is told sigma as it is, in [0, 1], and outputs ``noise - x_0``. See :class:`SiTDenoiser` for
    the arguments.
    """

    pipeline_class = REPAPipeline
    sign = 1
    reversed_time = False
