"""Conditioning: whether the network is told the prompts that images are of.

Errors are those of the network's own target, which training minimised. Those of the noise nearly
leave out the noisiest times of a flow, where prompts tell most: they are the target's times
``(1 - t)^2``. And for EDM they are the target's over ``sigma^2``: the least noisy times alone.
"""

import torch

from diffclf_lightning.denoisers import Conditioning, PipelineDenoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    Full,
    NestedGrid,
    NoiseBank,
    PassSize,
    TrialSource,
    evaluate,
    get_loss,
)
from diffclf_lightning.metrics.intervals import clopper_pearson
from diffclf_lightning.selfcheck.findings import Figure, Finding, Verdict
from diffclf_lightning.selfcheck.samples import Samples

ALPHA = 0.05
"""One minus the confidence of the interval."""
SURE, ROUNDING = 2, 1e-5
"""Standard errors by which the error is lower told the right prompt, or else it is not; and what
rounding alone makes of a relative difference."""
LOSS = "l2_target"


def check_conditioning(
    denoiser: PipelineDenoiser, samples: Samples, trials: int, size: int, seed: int
) -> Finding:
    """Classify images of known prompts among these prompts.

    With chance one over the number of prompts and the exact 95% interval of the accuracy, it is
    right if the interval lies above chance; wrong if it does not, either reaches less than half the
    way from chance to 1 or lies below chance, and the error is not lower told the right prompt than
    told others, by two standard errors over images. A weak model, or one with a prompt that wins
    on every image, errs less told the truth.

    Args:
        denoiser: The model.
        samples: The samples.
        trials: Trials of each prompt.
        size: Evaluations of one forward pass.
        seed: Seed of the noise.
    """
    if samples.labels is None:
        said = "not judged: the folders of the images are not named by --prompts"
        return Finding("conditioning", Verdict.MEASURED, said, images=samples.source)
    labels, count = samples.labels.cpu(), len(samples.prompts.names)
    strategy = Full(trials)
    source = TrialSource(NestedGrid(), NoiseBank(seed), strategy.stages, denoiser.sample_shape)
    table = evaluate(
        denoiser,
        samples.x_0,
        samples.prompts.told,
        source(samples.x_0),
        strategy.bind(count, source.ends),
        [get_loss(LOSS)],
        reference=_nothing(denoiser),
        names=samples.prompts.names,
        evaluations_per_batch=PassSize(size),
    ).cpu()
    errors = table.dense(LOSS).mean(dim=2)
    correct = int((errors.argmin(dim=1) == labels).sum())
    own = errors.gather(1, labels[:, None])[:, 0]
    others = (errors.sum(dim=1) - own) / (count - 1)
    gains = {"other prompts": (others - own) / own.mean()}
    if table.reference is not None:
        nothing = table.reference.dense(LOSS).mean(dim=2)[:, 0]
        gains["no prompt"] = (nothing - own) / own.mean()
    chance, interval = 1 / count, clopper_pearson(correct, len(labels), ALPHA)
    said = (
        f"{correct} of {len(labels)} images are classified as their prompt, "
        f"{correct / len(labels):.0%} (95% interval {interval.lower:.0%} to {interval.upper:.0%}, "
        f"chance {chance:.0%}); error told {_said_of(gains)}"
    )
    figures: dict[str, Figure] = {"correct": correct, "images": len(labels), "chance": chance}
    figures |= {f"gains over {name}": gain.tolist() for name, gain in gains.items()}
    verdict, advice = Verdict.UNDECIDED, "Take more images (--images) or trials (--trials)."
    if interval.lower > chance:
        verdict, advice = Verdict.RIGHT, ""
    elif interval.upper < max(chance, (1 + chance) / 2) and not _lower(gains["other prompts"]):
        verdict = Verdict.WRONG
        advice = (
            "Look at what `condition` makes of prompts (all the same? of another one?) and at how "
            "`forward` hands it to the network: embeddings, mask, pooled, ids."
        )
    return Finding("conditioning", verdict, said, advice, samples.source, figures)


def _nothing(denoiser: PipelineDenoiser) -> Conditioning | None:
    try:
        return denoiser.unconditional()
    except InputError:
        return None


def _lower(gain: torch.Tensor) -> bool:
    """Whether the error told the right prompt is surely below that told others."""
    return float(gain.mean()) > max(SURE * float(_standard_error(gain)), ROUNDING)


def _standard_error(gain: torch.Tensor) -> torch.Tensor:
    error: torch.Tensor = gain.std() / len(gain) ** 0.5
    return error


def _said_of(gains: dict[str, torch.Tensor]) -> str:
    """Mean and standard error of how much more the error is, by what the network is told."""
    return ", ".join(
        f"{name} {gain.mean():+.1%} ({_standard_error(gain):.1%})" for name, gain in gains.items()
    )
