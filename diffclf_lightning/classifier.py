"""DiffusionClassifier: any conditional diffusion model as a classifier, on Lightning."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.compile import to_uncompiled
from torch import Tensor

from diffclf_lightning.answers import Answer
from diffclf_lightning.calibration import Calibration, at_calibrated_level, settled_temperature
from diffclf_lightning.candidates import Candidates, Condition, model_classes
from diffclf_lightning.compiling import (
    Compile,
    compile_network,
    compile_with,
    is_compiled,
    unwrapped,
)
from diffclf_lightning.denoisers import Conditioning, Denoiser
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import (
    ErrorFunction,
    Full,
    Loss,
    NoiseBank,
    PassSize,
    Score,
    Strategy,
    TimeGrid,
    TrialSource,
    evaluate,
    losses_and_scores,
)
from diffclf_lightning.fitted_with import FittedWith
from diffclf_lightning.frozen import fill_in, leave_out
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.images import Transform
from diffclf_lightning.prompts import PromptEnsemble, Prompts
from diffclf_lightning.shortlists import Choice, Shortlist
from diffclf_lightning.tasks import Task
from diffclf_lightning.weights import checksum, identity

CALIBRATION = "calibration"
"""Entry of a checkpoint."""


@dataclass(frozen=True)
class Prepared:
    """What the classifier has ready for a set."""

    candidates: Candidates
    conditioning: Conditioning
    reference: Conditioning | None
    labels: Tensor
    strategy: Strategy
    source: TrialSource
    scores: Sequence[Score]
    shortlist: Shortlist | None


class DiffusionClassifier(ImageClassifier):
    r"""Classifies an image by the conditioning under which its noise is predicted best.

    :math:`\arg\min_c E_{t, \epsilon}[\ell(\epsilon, \epsilon_\theta(x_t, t, c))]`, all candidates
    on the same trials, pruned by a strategy (Li et al., ICCV 2023, Algorithms 1 and 2).

    Takes batches of ``(image, label)``, or mappings with ``image`` and ``label``: images of
    ``denoiser.image_shape``, uint8 in [0, 255] or floating point in [0, 1]; labels from 0.

    Args:
        denoiser: The diffusion model.
        strategy: How many trials each candidate gets. Defaults to None: 250 for all.
        loss: Compares what is known with what the model says: ``l2``, ``l1`` or ``huber`` of the
            noise (``l2_x_0``, ``l2_velocity``, ``l2_target``, ... of others), ``bound`` and
            ``l2+bound`` (of a model that predicts its variance), a :class:`Loss` or a function.
        other_losses: Further losses of the same forward passes, each with an answer of its own.
        score: Makes a number of a candidate's errors, and decides. Defaults to None: mean ``loss``.
        candidates: What to choose among, or prompts that make it from the class names. Defaults to
            None: ``template``, or the classes of a class-conditional model.
        template: Prompt template with ``{}`` for the class name, or several: each a candidate.
        classnames: Class names in the order of labels. Defaults to None: the data module's.
        grid: Which times the trials use, in which order. Defaults to None: the one that the
            strategy is made for, :class:`GoldenGrid` for a race and :class:`NestedGrid` for others.
        seed: Seed of the noise.
        noise_per_image: Whether every image has noise of its own.
        temperature: Factor on scores in the posterior. Defaults to None: ``calibration``'s, or 1.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote: the temperature,
            and where it has one the level of a race. Defaults to None: what came with the model.
        evaluations_per_batch: Evaluations in one pass, halved where they do not fit in memory.
            Defaults to None: found by trial, and no more than the images of a batch fill.
        validation_strategy: Strategy of validation, in ``fit`` too. Defaults to None: 8 trials.
        task: What sets ask. Defaults to None: one label an image.
        classes_by_position: Whether label ``i`` of the data is class ``i`` of a class-conditional
            model whatever their names. Defaults to False: classes are matched by name.
        shortlist: Ranks the candidates of each image, to evaluate the first. Defaults to None: all.
        compile: Whether the network is compiled (:func:`torch.compile`), or its options, as
            ``{mode: max-autotune}``; ``{regional: true}`` compiles its repeated blocks alone. A
            denoiser or classifier that was given to :func:`torch.compile` has its network compiled
            too. All passes then have one shape.

    Raises:
        InputError: If the arguments contradict each other.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        strategy: Strategy | None = None,
        loss: str | Loss | ErrorFunction = "l2",
        other_losses: Sequence[str | Loss | ErrorFunction] = (),
        score: Score | None = None,
        candidates: Candidates | Prompts | None = None,
        template: str | list[str] | None = None,
        classnames: list[str] | None = None,
        grid: TimeGrid | None = None,
        seed: int = 0,
        noise_per_image: bool = False,
        temperature: float | None = None,
        calibration: str | Path | None = None,
        evaluations_per_batch: int | None = None,
        validation_strategy: Strategy | None = None,
        task: Task | None = None,
        classes_by_position: bool = False,
        shortlist: Shortlist | None = None,
        compile: Compile = False,
    ) -> None:
        super().__init__(task)
        self.pass_size = PassSize(evaluations_per_batch)
        if candidates is not None and template is not None:
            raise InputError("Expected either `candidates` or `template`, but got both. Drop one.")
        self.denoiser: Denoiser
        self.denoiser, context = unwrapped(denoiser)  # type: ignore[assignment]
        if isinstance(self.denoiser, Denoiser):  # training makes some when it knows the data
            compile_network(self.denoiser.network, compile)
            compile_with(self.denoiser.network, context)
        self.grid, self.noise = grid, NoiseBank(seed, noise_per_image)
        self._kept: tuple[Any, TrialSource] | None = None
        self.strategy = at_calibrated_level(strategy or Full(250), calibration, grid, self.noise)
        self.validation_strategy = validation_strategy or Full(trials=8)
        self.losses, self.scores = losses_and_scores(loss, other_losses, score, self.denoiser)
        self.candidates = candidates if template is None else PromptEnsemble(template)
        self.classnames = classnames
        self.classes_by_position, self.shortlist = classes_by_position, shortlist
        self._temperature = temperature, calibration
        self.settle_temperature()
        self.fitted_with = FittedWith(calibration, self.scores[0], grid)

    def settle_temperature(self) -> None:
        """Take the temperature that was given, or else that of the weights as they are now."""
        own, score = self.denoiser.calibration, self.scores[0].name
        self.temperature, self.calibrated = settled_temperature(*self._temperature, own, score)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        own = self.denoiser.calibration
        checkpoint[CALIBRATION] = own and asdict(own)
        leave_out(checkpoint, self.denoiser)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        fill_in(checkpoint, self.denoiser)
        own = checkpoint.get(CALIBRATION)
        self.denoiser.calibration = own and Calibration(**own)
        self.settle_temperature()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network in place, with the arguments of :func:`torch.compile`."""
        self.denoiser.compile(*args, **kwargs)

    @property
    def transform(self) -> Transform:
        return self.denoiser.transform

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.denoiser.image_shape

    def settled_arguments(self) -> dict[str, Any]:
        temperature = self.temperature if self.calibrated else None
        settled = {"denoiser": self.denoiser, "calibration": None, "temperature": temperature}
        return {**settled, "strategy": self.strategy}

    def setup(self, stage: str) -> None:
        self.settle_task(getattr(self.trainer, "datamodule", None))
        if self._compiler_ctx is not None:  # the trainer was given torch.compile(classifier)
            context = self._compiler_ctx["dynamo_ctx"]
            to_uncompiled(self)
            compile_with(self.denoiser.network, context)
        if not self.task.brings_candidates:
            self._check_candidates()
        super().setup(stage)
        used = self.strategy if stage in ("test", "predict") else self.validation_strategy
        self.task.check_strategy(used, self.shortlist)
        if not self.task.brings_candidates:
            used.bind(len(self.all_candidates), used.stages)

    def candidates_of(self, names: Sequence[str] | None) -> Candidates:
        if isinstance(self.candidates, Prompts):
            return self.candidates.candidates(names)
        if self.candidates is not None:
            return self.candidates
        if self.denoiser.num_classes is None:
            if names is None:
                self._check_candidates()
            return Candidates(names or (), range(len(names or ())))  # names are whole prompts
        return model_classes(
            names, self.denoiser.num_classes, self.denoiser.classnames, self.classes_by_position
        )

    def _check_candidates(self) -> None:
        if self.candidates is None and self.denoiser.num_classes is None:
            raise InputError(
                f"Expected argument `template` or `candidates`, since "
                f"{type(self.denoiser).__name__} has no classes of its own. Give for instance "
                "template='a photo of a {}.'."
            )

    def check_conditions(self, conditions: Sequence[Condition]) -> None:
        self.denoiser.check(conditions)

    def names_of(self, candidates: Candidates) -> Sequence[str] | None:
        if self.candidates is None and self.denoiser.num_classes is not None:
            return self.denoiser.classnames
        prompts = candidates.conditions
        single = list(candidates.labels) == list(range(len(prompts)))
        return [str(prompt) for prompt in prompts] if single else None

    @property
    def _used_strategy(self) -> Strategy:
        return self.validation_strategy if self._validating else self.strategy

    @property
    def adaptive(self) -> bool:  # type: ignore[override]
        return self._used_strategy.adaptive

    def _source(self, strategy: Strategy) -> TrialSource:
        """The last one is kept, since samples may bring candidates batch by batch."""
        grid = self.grid or strategy.grid
        made_of = grid, self.noise, strategy.stages, self.denoiser.sample_shape
        if self._kept is None or self._kept[0] != made_of:
            self._kept = made_of, TrialSource(*made_of)
        return self._kept[1]

    def describe(self) -> dict[str, Any]:
        strategy = self._used_strategy
        times = self._source(strategy).times
        timesteps = self.denoiser.at(times)
        candidates = None if self.task.brings_candidates else self.all_candidates
        return {
            "denoiser": type(self.denoiser).__name__,
            **identity(self.denoiser),
            "candidates": None if candidates is None else list(candidates.conditions),
            "labels": None if candidates is None else list(candidates.labels),
            "strategy": repr(strategy),
            "shortlist": None if self.shortlist is None else self.shortlist.describe(),
            "grid": repr(self.grid or strategy.grid),
            "noise": repr(self.noise),
            "losses": [one.name for one in self.losses],
            "scores": [one.name for one in self.scores],
            "score": repr(self.scores[0]),
            "sample_shape": list(self.denoiser.sample_shape),
            "schedule": self.denoiser.schedule.describe(),
            "trials": {
                "time": [str(time) for time in times],
                "alpha": timesteps.alpha.tolist(),
                "sigma": timesteps.sigma.tolist(),
            },
            **super().describe(),
        }

    def prepare(self, candidates: Candidates) -> tuple[Prepared, int]:
        self.fitted_with.check(lambda: checksum(self.denoiser))
        strategy = self._used_strategy
        source = self._source(strategy)
        scores = [score.bind(candidates.names) for score in self.scores]
        for score in scores:
            score.check(self.denoiser.at(source.times))
        self.task.check_strategy(strategy, self.shortlist)
        strategy = strategy.bind(len(candidates), source.ends)
        with torch.no_grad():
            conditioning = self.denoiser.condition(candidates.conditions)
            compares = any(score.needs_reference for score in self.scores)
            reference = self.denoiser.unconditional() if compares else None
        labels = torch.tensor(candidates.labels, device=self.device)
        shortlist, racing, spent = self.shortlist, len(candidates), 0
        if shortlist is not None:
            choice = Choice(self.denoiser, candidates, conditioning, self.noise, self.losses[0])
            shortlist = shortlist.bind(choice)
            racing, spent = shortlist.kept_of(racing), shortlist.evaluations(racing)
        prepared = Prepared(
            candidates, conditioning, reference, labels, strategy, source, scores, shortlist
        )
        beside = 0 if reference is None else strategy.ends[-1]
        return prepared, spent + strategy.evaluations(racing) + beside

    @torch.no_grad()
    def answer(self, images: Tensor, prepared: Prepared, allowed: Tensor | None = None) -> Answer:
        self.warm_up(images, prepared)
        x_0, ranked = self.denoiser.encode(images), None
        if prepared.shortlist is not None:
            ranked = prepared.shortlist(images, x_0, allowed, self.pass_size.size)
            allowed = ranked.kept
            if self.on_evaluations is not None:
                self.on_evaluations(int(ranked.evaluations.sum()))
        self.pass_size.begin(_largest_pass(images, prepared, allowed))
        table = evaluate(
            self.denoiser,
            x_0,
            prepared.conditioning,
            prepared.source(images, self._together(allowed)),
            prepared.strategy,
            self.losses,
            prepared.scores[0],
            labels=prepared.labels,
            allowed=allowed,
            reference=prepared.reference,
            names=prepared.candidates.names,
            evaluations_per_batch=self.pass_size,
            on_progress=self.on_evaluations,
        )
        keep, filling = self.keep_errors, self.pass_size.filling
        answer = Answer.from_table(table, prepared.scores, keep_errors=keep, shortlist=ranked)
        return replace(answer, filling=filling)

    def _together(self, allowed: Tensor | None) -> list[int] | None:
        """Numbers of consecutive images that meet the same noise whoever has noise of its own."""
        if allowed is None or not self.task.compares_images or not self.noise.per_image:
            return None
        _, sizes = allowed.unique_consecutive(dim=0, return_counts=True)
        return [int(size) for size in sizes]

    @torch.no_grad()
    def warm_up(self, images: Tensor, prepared: Prepared) -> None:
        """Find the number of evaluations in a forward pass."""
        self.pass_size.whole = is_compiled(self.denoiser.network)
        limit = _largest_pass(images, prepared)
        if self.pass_size.wanting(limit):
            x_0, times = self.denoiser.encode(images), prepared.source.times
            self.pass_size.find(self.denoiser, x_0, prepared.conditioning, times, limit)


def _largest_pass(images: Tensor, prepared: Prepared, allowed: Tensor | None = None) -> int:
    """Evaluations of a pass that these images fill."""
    candidates = len(prepared.labels)
    if allowed is not None:
        candidates = -(-int(allowed.sum()) // len(images))
    return prepared.strategy.largest_pass(len(images), candidates)
