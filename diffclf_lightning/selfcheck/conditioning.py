"""Conditioning: whether the network is told the prompts that images are of."""

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


def check_conditioning(
    denoiser: PipelineDenoiser, samples: Samples, trials: int, size: int, seed: int
) -> Finding:
    """Classify images of known prompts among these prompts.

    With chance one over the number of prompts and the exact 95% interval of the accuracy, it is
    right if the interval lies above chance; wrong if it does not and either reaches less than half
    the way from chance to 1 or lies below chance.

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
        [get_loss("l2")],
        reference=_nothing(denoiser),
        names=samples.prompts.names,
        evaluations_per_batch=PassSize(size),
    ).cpu()
    errors = table.dense("l2").mean(dim=2)
    correct = int((errors.argmin(dim=1) == labels).sum())
    own = errors.gather(1, labels[:, None])[:, 0]
    others = (errors.sum(dim=1) - own) / (count - 1)
    gains = {"other prompts": others / own - 1}
    if table.reference is not None:
        gains["no prompt"] = table.reference.dense("l2").mean(dim=2)[:, 0] / own - 1
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
    elif interval.upper < max(chance, (1 + chance) / 2):
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


def _said_of(gains: dict[str, torch.Tensor]) -> str:
    """Mean and standard error of how much more the error is, by what the network is told."""
    return ", ".join(
        f"{name} {gain.mean():+.1%} ({gain.std() / len(gain) ** 0.5:.1%})"
        for name, gain in gains.items()
    )
