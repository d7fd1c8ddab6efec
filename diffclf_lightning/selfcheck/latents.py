"""Latents: whether images become the ``x_0`` that the model was trained on, and images again.

What the sampler ended with, before the autoencoder decoded it, is known, and has to come back when
its image is encoded: spread, mean and element by element. Where the two have other shapes (packed
by the pipeline) sorted elements are compared.
"""

from math import inf, isfinite, log10

import torch
from torch import Tensor

from diffclf_lightning.denoisers import PipelineDenoiser
from diffclf_lightning.selfcheck.findings import Figure, Finding, Verdict
from diffclf_lightning.selfcheck.samples import Samples

CLOSE, APART = (0.87, 1.15), (0.74, 1.35)
"""Quotients of the spreads that are right, and outside of which they are wrong."""
NEAR, FAR = 0.15, 0.4
"""Distances of the means over the spread that are right, and wrong."""
ALIKE, UNLIKE = 0.8, 0.5
"""Correlations that are right, and wrong."""
USUAL = (0.25, 3.0)
"""Standard deviations of latents of a folder's images outside of which they are wrong."""
ADVICE = (
    "Look at scale, shift (or mean and deviation) and packing in `encode` and `decode` of this "
    "family, and at the autoencoder's configuration."
)


@torch.no_grad()
def check_latents(denoiser: PipelineDenoiser, samples: Samples, size: int) -> Finding:
    """Compare ``x_0`` with what the sampler ended with, and images with those decoded from it.

    Of generated images it is right if spreads differ by less than 15%, means by less than 0.15
    of the spread, and the correlation is above 0.8. Of a folder's it is wrong if the latents'
    standard deviation is far from 1, and else measured.

    Args:
        denoiser: The model.
        samples: The samples.
        size: Images that are decoded at once.
    """
    x_0, ended = samples.x_0.float().cpu(), samples.latents
    for values, whose in ((ended, "what the sampler ended with"), (x_0, "encoded images")):
        if values is not None and not values.isfinite().all():
            said, advice = f"{whose}: numbers that are not finite", "Take another --dtype."
            return Finding("latents", Verdict.WRONG, said, advice, samples.source)
    mean, deviation = float(x_0.mean()), float(x_0.std())
    psnr = _psnr(denoiser, samples, size)
    again = "exact" if psnr == inf else f"{psnr:.0f} dB"
    said = f"mean {mean:.2f}, deviation {deviation:.2f}; encoded and decoded again: {again}"
    figures: dict[str, Figure] = {"mean": mean, "deviation": deviation}
    if isfinite(psnr):
        figures["psnr"] = psnr
    if ended is None:
        odd = denoiser.vae is not None and not USUAL[0] <= deviation <= USUAL[1]
        verdict = Verdict.WRONG if odd else Verdict.MEASURED
        said = f"{said}" + " (latents of trained models have one near 1)" * odd
        return Finding("latents", verdict, said, ADVICE * odd, samples.source, figures)
    if denoiser.vae is None:
        ended = ended.clamp(-1, 1)  # pixels
    if ended.numel() != x_0.numel():
        said = f"{said}; the pipeline's have {ended[0].numel()} elements, ours {x_0[0].numel()}"
        advice = "Is --image-size the size that the pipeline generates?"
        return Finding("latents", Verdict.UNDECIDED, said, advice, samples.source, figures)
    quotient = deviation / max(float(ended.std()), torch.finfo(torch.float32).tiny)
    offset = (mean - float(ended.mean())) / max(float(ended.std()), 1e-6)
    correlation = _correlation(x_0, ended)
    figures |= {"quotient": quotient, "offset": offset, "correlation": correlation}
    said = (
        f"{quotient:.2f} times the spread of what the sampler ended with, means "
        f"{abs(offset):.2f} of it apart, correlation {correlation:.2f}; {said}"
    )
    verdict = Verdict.UNDECIDED
    if not APART[0] < quotient < APART[1] or abs(offset) > FAR or correlation < UNLIKE:
        verdict = Verdict.WRONG
    elif CLOSE[0] < quotient < CLOSE[1] and abs(offset) < NEAR and correlation > ALIKE:
        verdict = Verdict.RIGHT
    advice = "" if verdict is Verdict.RIGHT else ADVICE
    return Finding("latents", verdict, said, advice, samples.source, figures)


def _psnr(denoiser: PipelineDenoiser, samples: Samples, size: int) -> float:
    """Peak signal-to-noise ratio of images encoded and decoded, in dB."""
    decoded = torch.cat([denoiser.decode(some).cpu() for some in samples.x_0.split(size)])
    error = float((decoded.float() - samples.images.float()).square().mean())
    return 10 * log10(255**2 / error) if error else inf


def _correlation(x_0: Tensor, ended: Tensor) -> float:
    """Correlation of elements, of sorted ones where the shapes differ."""
    rows, others = x_0.flatten(1), ended.flatten(1)
    if x_0.shape != ended.shape:
        rows, others = rows.sort(dim=1).values, others.sort(dim=1).values
    return float(torch.corrcoef(torch.stack([rows.flatten(), others.flatten()]))[0, 1])
