"""The checks in their order: what one rests on is looked at before it."""

import warnings
from collections.abc import Callable, Sequence

import torch

from diffclf_lightning.candidates import Condition
from diffclf_lightning.classnames import class_ids
from diffclf_lightning.denoisers import PipelineDenoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.selfcheck.conditioning import check_conditioning
from diffclf_lightning.selfcheck.facts import describe, time_passes
from diffclf_lightning.selfcheck.findings import Finding, Verdict
from diffclf_lightning.selfcheck.latents import check_latents
from diffclf_lightning.selfcheck.prediction import check_prediction
from diffclf_lightning.selfcheck.probe import probes
from diffclf_lightning.selfcheck.samples import Prompts, Samples, generated, of_folder
from diffclf_lightning.selfcheck.times import check_times

PROMPTS = (
    "a photo of a dog",
    "a photo of a red car in a street",
    "a bowl of fruit on a wooden table",
    "a mountain lake under a clear sky",
)
"""Prompts that any model of photographs knows."""
UNKNOWN_WORDS = r".*words that the model's \w+ does not know"
"""What a model of other words than these warns of."""
CLASSES = 4
"""Classes that are taken of a class-conditional model, evenly over its ids."""
TIMED = 8
"""Samples at most whose times are looked at."""


def selfcheck(
    denoiser: PipelineDenoiser,
    prompts: Sequence[str] | None = None,
    images: int = 4,
    steps: int = 25,
    guidance: float = 1.0,
    trials: int = 16,
    folder: str | None = None,
    batch_size: int = 4,
    seed: int = 0,
) -> list[Finding]:
    """Check a model by images that it generates, and by those of a folder.

    Args:
        denoiser: The model, in evaluation mode.
        prompts: Prompts, or class names of a class-conditional model, at least two. Defaults to
            None: four plain ones, or four of its classes.
        images: Images that are generated of each.
        steps: Denoising steps of an image.
        guidance: Scale of classifier-free guidance. With 1 images are of the model's own
            distribution, for which it has to be right; others are not quite.
        trials: Trials of each prompt in the classification.
        folder: Folder of images of the user's own, at most as many as are generated. Defaults to
            None: none.
        batch_size: Images, or evaluations, at once.
        seed: Seed of images and noise.

    Returns:
        What the model is, what each check says of generated images and of the folder's, and how
        fast the model is. What rests on a check that is wrong is not judged.

    Raises:
        InputError: If an argument is wrong, or there are no images: the model cannot generate any,
            and there is no folder.
    """
    for name, value in (("images", images), ("trials", trials), ("batch-size", batch_size)):
        if value < 1:
            raise InputError(f"Expected --{name} to be at least 1, but got {value}.")
    if not 0 <= seed < 2**63:
        raise InputError(f"Expected --seed from 0 to 2**63 - 1, but got {seed}.")
    chosen = prompts_of(denoiser, prompts)
    findings, every = [describe(denoiser)], []
    try:
        every.append(generated(denoiser, chosen, images, steps, guidance, batch_size, seed))
    except InputError as error:
        if folder is None:
            raise InputError(f"{error} Or give images of your own: --folder.") from error
        said = f"none were generated: {error}"
        findings.append(Finding("images", Verdict.MEASURED, said, images="generated"))
    if folder is not None:
        every.append(of_folder(denoiser, chosen, folder, images * len(chosen.names)))
    for samples in every:
        findings.append(samples.describe())
        findings += _of_samples(denoiser, samples, trials, batch_size, seed)
    return [*findings, time_passes(denoiser, chosen)]


def prompts_of(denoiser: PipelineDenoiser, given: Sequence[str] | None) -> Prompts:
    """The prompts, or classes, that a model is asked for.

    Args:
        denoiser: The model.
        given: Prompts or class names. Defaults to None: see :func:`selfcheck`.

    Raises:
        InputError: If there are fewer than two, two are the same, or a class is unknown; or none
            are given, and the model does not know the words of a photo's.
    """
    names = list(given or PROMPTS)
    if len(set(names)) < max(2, len(names)) or "" in names:
        raise InputError(
            f"Expected --prompts to be at least two, all different and none empty, but got {names}."
        )
    if denoiser.num_classes is None:
        try:
            with warnings.catch_warnings():
                if given is None:
                    warnings.filterwarnings("error", UNKNOWN_WORDS)
                denoiser.check(names)
                return _told(denoiser, names, names)
        except UserWarning as error:
            raise InputError(
                "Expected --prompts, since the model does not know the words of a photo's, but got "
                "none. Give at least two that it knows."
            ) from error
    known = list(denoiser.classnames or map(str, range(denoiser.num_classes)))
    if given is None:
        count = min(CLASSES, len(known))
        ids = [place * len(known) // count for place in range(count)]
    else:
        ids = class_ids(names, known, instead="take some of its own in --prompts")
    return _told(denoiser, [known[i] for i in ids], ids)


@torch.no_grad()
def _told(
    denoiser: PipelineDenoiser, names: Sequence[str], conditions: Sequence[Condition]
) -> Prompts:
    return Prompts(names, conditions, denoiser.condition(conditions))


def _of_samples(
    denoiser: PipelineDenoiser, samples: Samples, trials: int, size: int, seed: int
) -> list[Finding]:
    """Check after check; what rests on one that is wrong is not judged."""
    source = samples.source
    checks: dict[str, Callable[[], Finding]] = {
        "latents": lambda: check_latents(denoiser, samples, size),
        "prediction": lambda: check_prediction(probes(denoiser, samples, size, seed), source),
        "time": lambda: check_times(
            probes(denoiser, samples, size, seed, TIMED), source, guided=samples.guided
        ),
        "conditioning": lambda: check_conditioning(denoiser, samples, trials, size, seed),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        wrong = [finding.check for finding in findings if finding.verdict is Verdict.WRONG]
        if wrong:
            said = f"not judged while {wrong[0]} is wrong"
            findings.append(Finding(name, Verdict.UNDECIDED, said, images=source))
        else:
            findings.append(check())
    return findings
