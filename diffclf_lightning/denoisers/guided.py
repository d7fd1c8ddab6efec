"""Networks into which guidance was distilled, and which are told its scale."""

from typing import Any

from torch import Tensor

from diffclf_lightning.denoisers.distilled import GUIDANCE
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser


class GuidanceDistilled(TextConditionalDenoiser):
    """A network that may be told the scale of guidance, where its configuration says so.

    Args:
        guidance: The scale of guidance that a model into which guidance was distilled is told.
            At 1, the default, it predicts what it would without guidance; images are drawn with
            more.
        image_size: Side of the images. Defaults to None: 1024.
        **options: As :class:`TextConditionalDenoiser` takes them.
    """

    options = frozenset({"guidance"})

    def __init__(
        self, *, guidance: float = 1.0, image_size: int | None = None, **options: Any
    ) -> None:
        super().__init__(image_size=image_size, **options)
        self.guidance = guidance

    @property
    def chosen_options(self) -> dict[str, Any]:
        return {**super().chosen_options, "guidance": self.guidance}

    @property
    def distilled(self) -> tuple[str, ...]:
        return (GUIDANCE,) if self.config.guidance_embeds else ()

    def told_guidance(self, timestep: Tensor) -> Tensor | None:
        """The scale of guidance for each ``timestep``, None for a network that is not told it."""
        if not self.config.guidance_embeds:
            return None
        return timestep.new_full(timestep.shape, self.guidance)
