"""What ``diffclf selfcheck`` says of models that are broken on purpose.

    python benchmarks/broken_models.py [--seed 1]

Embedded models of pixels, and the weights of digits-text behind an autoencoder that scales pixels,
so that diffusers' own pipeline generates images with them. A Markdown table on standard output: the
verdict of the check that a break is for, with the figure that decides it.
"""

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from diffclf_lightning import AutoDenoiser
from diffclf_lightning.denoisers import Denoiser, LatentSpace, StableDiffusion
from diffclf_lightning.denoisers.latents import SPACES
from diffclf_lightning.evaluation import VTarget
from diffclf_lightning.selfcheck import Finding, selfcheck

WORDS = ["zero", "three", "five", "eight"]
SCENES = ["a three", "a seven", "a six and a two", "a eight"]
CHECKS = ("latents", "prediction", "time", "conditioning")


class ScaledPixels(ModelMixin, ConfigMixin):
    """An autoencoder in diffusers' form: latents are pixels, scaled and shifted."""

    @register_to_config
    def __init__(
        self,
        scaling_factor: float = 0.18215,
        shift_factor: float = 0.5,
        block_out_channels: tuple[int, ...] = (1,),
        latent_channels: int = 1,
        in_channels: int = 1,
        sample_size: int = 8,
    ) -> None:
        super().__init__()
        self.decoder = torch.nn.Linear(1, 1)

    def encode(self, pixels: torch.Tensor) -> Any:
        """Latents whose scale and shift a denoiser has to undo."""
        latents = pixels / self.config.scaling_factor + self.config.shift_factor
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=latents))

    def decode(self, latents: torch.Tensor, return_dict: bool = True, **_: Any) -> Any:
        """Pixels again."""
        pixels = (latents - self.config.shift_factor) * self.config.scaling_factor
        return SimpleNamespace(sample=pixels) if return_dict else (pixels,)


SPACES["ScaledPixels"] = LatentSpace


def with_latents() -> StableDiffusion:
    """The weights of digits-text as a latent model, which diffusers' pipeline runs."""
    parts = AutoDenoiser.from_pretrained("diffclf/digits-text").to_components()
    # Without a shift, which this pipeline does not know.
    return StableDiffusion(**{**parts, "vae": ScaledPixels(shift_factor=0.0)}).eval()


def _told(change: Callable[..., Any]) -> Callable[[Denoiser], None]:
    """Breaks what the network is told or says: ``change(forward, x_t, timestep, conditioning)``."""

    def broken(denoiser: Denoiser) -> None:
        forward = denoiser.forward
        denoiser.forward = lambda *told: change(forward, *told)

    return broken


def _rows(order: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Denoiser], None]:
    """Breaks which candidate each row of conditioning is of."""

    def broken(denoiser: Denoiser) -> None:
        condition = denoiser.condition

        def changed(conditions: Any) -> Any:
            told = condition(conditions)
            return told.rows(order(torch.arange(told.num_rows, device=denoiser.device)))

        denoiser.condition = changed

    return broken


def _unscaled(denoiser: Denoiser) -> None:
    encode, factor = denoiser.encode, 0.18215
    denoiser.encode = lambda images: encode(images) / factor


def _velocity(denoiser: Denoiser) -> None:
    denoiser.schedule.target = VTarget()


def _shifted(time: torch.Tensor) -> torch.Tensor:
    """The time of a sampler with shift 3, of 1,000 steps."""
    share = time / 1000
    return (3000 * share / (1 + 2 * share)).long()


BREAKS: dict[str, tuple[str | None, Callable[[Denoiser], None]]] = {
    "sound": (None, lambda _: None),
    "latents unscaled": ("latents", _unscaled),
    "output negated": ("prediction", _told(lambda f, x, t, told: -f(x, t, told))),
    "taken for velocity": ("prediction", _velocity),
    "time a tenth": ("time", _told(lambda f, x, t, told: f(x, t // 10, told))),
    "time in [0, 1)": ("time", _told(lambda f, x, t, told: f(x, t / 1000, told))),
    "time reversed": ("time", _told(lambda f, x, t, told: f(x, 999 - t, told))),
    "time shifted": ("time", _told(lambda f, x, t, told: f(x, _shifted(t), told))),
    "conditioning constant": ("conditioning", _rows(torch.zeros_like)),
    "conditioning of another": ("conditioning", _rows(lambda rows: rows.roll(1))),
}
"""By name, the check that has to find it, and what breaks a denoiser so."""
MODELS: dict[str, tuple[Callable[[], Denoiser], list[str] | None]] = {
    "digits-text, with latents": (with_latents, WORDS),
    "digits-text": (lambda: AutoDenoiser.from_pretrained("diffclf/digits-text"), WORDS),
    "digits-dit": (lambda: AutoDenoiser.from_pretrained("diffclf/digits-dit"), None),
    "glyphs": (lambda: AutoDenoiser.from_pretrained("diffclf/glyphs"), None),
    "scenes": (lambda: AutoDenoiser.from_pretrained("diffclf/scenes"), SCENES),
}


def said_of(finding: Finding) -> str:
    """The verdict, and the figure that decides it."""
    figures: dict[str, Any] = dict(finding.figures)
    if finding.check not in CHECKS or not figures:
        return "not judged"
    figure = {
        "latents": lambda: f"{figures['quotient']:.2f}",
        "prediction": lambda: f"{next(iter(figures.values())):.2f}",
        "time": lambda: f"{figures['excess']:.2f}",
        "conditioning": lambda: f"{figures['correct']} of {figures['images']}",
    }
    return f"{finding.verdict.value} {figure[finding.check]()}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"| broken | check | {' | '.join(options.models)} |")
    print(f"|{' --- |' * (2 + len(options.models))}")
    for name, (check, breaks) in BREAKS.items():
        cells: dict[str, list[str]] = {}
        for model in options.models:
            make, prompts = MODELS[model]
            denoiser = make()
            breaks(denoiser)
            for finding in selfcheck(denoiser, prompts, batch_size=64, seed=options.seed):
                cells.setdefault(finding.check, []).append(said_of(finding))
        for line in CHECKS if check is None else [check]:
            print(f"| {name} | {line} | {' | '.join(cells[line])} |", flush=True)


if __name__ == "__main__":
    main()
