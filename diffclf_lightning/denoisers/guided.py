"""Networks into which guidance was distilled, and which are told its scale."""

from typing import Any

from torch import Tensor

from diffclf_lightning.denoisers.distilled import GUIDANCE
from diffclf_lightning.denoisers.text_conditional import TextConditionalDenoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.ranges import check_number


class GuidanceDistilled(TextConditionalDenoiser):
    """A network that may be told the scale of guidance, where its configuration says so.

    Args:
        guidance: The scale of guidance that a model into which guidance was distilled is told.
            Defaults to None: 1, at which it predicts what it would without guidance; images are
            drawn with more.
        image_size: Side of the images. Defaults to None: 1024.
        **options: As :class:`~diffclf_lightning.denoisers.TextConditionalDenoiser` takes them.

    Raises:
        InputError: If ``guidance`` is below 0, or given to a network that is not told it.
    """

    options = frozenset({"guidance"})

    def __init__(
        self, *, guidance: float | None = None, image_size: int | None = None, **options: Any
    ) -> None:
        if guidance is not None:
            check_number("guidance", guidance, least=0)
        super().__init__(image_size=image_size, **options)
        if guidance is not None and not self.config.guidance_embeds:
            raise InputError(
                "Expected no argument `guidance` for a network that is not told the scale of "
                f"guidance, but got {guidance}. Leave it out."
            )
        self.guidance = 1.0 if guidance is None else guidance

    @property
    def chosen_options(self) -> dict[str, Any]:
        told = {"guidance": self.guidance} if self.config.guidance_embeds else {}
        return {**super().chosen_options, **told}

    @property
    def distilled(self) -> tuple[str, ...]:
        return (GUIDANCE,) if self.config.guidance_embeds else ()

    def told_guidance(self, timestep: Tensor) -> Tensor | None:
        """The scale of guidance for each ``timestep``, None for a network that is not told it."""
        if not self.config.guidance_embeds:
            return None
        return timestep.new_full(timestep.shape, self.guidance)
