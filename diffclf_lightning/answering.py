"""Answering: what a classifier can do on its own, with images alone and without a Trainer."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from diffclf_lightning.answers import Answer
from diffclf_lightning.candidates import Candidates, Condition
from diffclf_lightning.errors import InputError
from diffclf_lightning.guesses import AnyImage, Guess, batches, listed, pixels_of
from diffclf_lightning.images import Transform
from diffclf_lightning.tasks import Asked, Classification, Task


class Answering(LightningModule):
    """Base of the classifiers: images to answers among candidates.

    Args:
        task: What sets ask. Defaults to None: one label an image (:class:`Classification`).

    Attributes:
        on_evaluations: Called with the number of evaluations of every forward pass.
        keep_errors: Whether results carry the error of every trial.
    """

    temperature: float = 1.0
    """Factor on scores in probabilities."""
    calibrated: bool = True
    """Whether that was fitted, so that probabilities mean something."""
    adaptive: bool = False
    """Whether images may take fewer evaluations than :meth:`prepare` says."""
    classnames: Sequence[str] | None = None
    """Class names in the order of labels, where they were given."""
    _candidates: Candidates
    label_names: Sequence[str] | None = None
    """Class names in the order of labels; known after ``setup``, None where there are none."""

    def __init__(self, task: Task | None = None) -> None:
        super().__init__()
        self._given_task = task
        self.task: Task = task or Classification()
        self.on_evaluations: Callable[[int], None] | None = None
        self.keep_errors = False

    @property
    @abstractmethod
    def transform(self) -> Transform:
        """From a PIL image to the pixels that the model takes, uint8."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of these pixels."""

    @abstractmethod
    def candidates_of(self, names: Sequence[str] | None) -> Candidates:
        """What there is to choose among.

        Args:
            names: Class names in the order of labels, or None where there are none.

        Raises:
            InputError: If names are needed, or do not fit.
        """

    def names_of(self, candidates: Candidates) -> Sequence[str] | None:
        """Names of the labels of candidates for which none were given, or None."""
        return None

    @property
    def all_candidates(self) -> Candidates:
        """What there is to choose among, before a set restricts it; known after ``setup``."""
        return self._candidates

    def check_conditions(self, conditions: Sequence[Condition]) -> None:
        """Refuse conditions that the model cannot take, before the first image.

        Args:
            conditions: Those of samples that bring candidates of their own.

        Raises:
            InputError: If it cannot take one, as a caption that is too long.
        """

    @abstractmethod
    def prepare(self, candidates: Candidates) -> tuple[Any, int]:
        """Prepare to choose among candidates.

        Args:
            candidates: The candidates.

        Returns:
            Whatever ``answer`` needs, and the number of evaluations an image, at most.
        """

    @abstractmethod
    def answer(self, images: Tensor, prepared: Any, allowed: Tensor | None = None) -> Answer:
        """Score the candidates of some images.

        Args:
            images: The images.
            prepared: From ``prepare``.
            allowed: Candidates of each image, bool, shape ``(images, candidates)``. Defaults to
                None: all.

        Returns:
            The answer for every image.
        """

    def choices(self, names: Sequence[str] | None) -> tuple[Candidates, Sequence[str] | None]:
        """Candidates, and the names of their labels where these have names.

        Args:
            names: Class names in the order of labels, or None where there are none.

        Raises:
            InputError: If names are needed, or do not fit.
        """
        candidates = self.candidates_of(names)
        num_labels = max(candidates.labels) + 1
        if len(set(candidates.labels)) < 2:
            raise InputError("Expected candidates for at least two labels, but got one label.")
        if names is not None and len(names) != num_labels:
            raise InputError(
                f"Expected as many `classnames` as labels, but got {len(names)} names for "
                f"{num_labels} labels. Give one name a label, in the order of labels."
            )
        known = self.names_of(candidates) if names is None else names
        return candidates.called(known), known

    def asked(self, metric: str = "accuracy") -> Asked:
        """What a run chooses among, and how its scores are read.

        Args:
            metric: Name of the metric that is published for the data.
        """
        return Asked(
            self.all_candidates, self.label_names, self.temperature, self.calibrated, metric
        )

    def check_ready(self) -> None:
        """Say if there is no network yet.

        Raises:
            InputError: If there is none.
        """

    @torch.no_grad()
    def classify(
        self,
        images: AnyImage | Sequence[AnyImage],
        names: Sequence[str] | None = None,
        *,
        batch_size: int = 64,
    ) -> Any:
        """Answer without a Trainer, on the device of the weights.

        Args:
            images: An image, or several: PIL images, paths, arrays or tensors.
            names: What to choose among: class names for the template of the classifier, or some of
                the classes that the model knows; whole prompts for a text-to-image model without a
                template. Defaults to None: ``classnames``, or all that the model knows.
            batch_size: Images that are answered at once.

        Returns:
            A :class:`Guess`, or a list of them for several images.

        Raises:
            InputError: If an image cannot be read, or names do not fit.
        """
        self.check_ready()
        if names is not None and len(set(names)) < len(names):
            raise InputError(f"Expected argument `names` to be different ones, but got {names}.")
        taken, single = listed(images)
        pixels = [pixels_of(image, self.transform, self.image_shape) for image in taken]
        candidates, known = self.choices(names or self._own_names)
        labels = known or [str(i) for i in range(max(candidates.labels) + 1)]
        guesses: list[Guess] = []
        for task, answer in self._answers(batches(pixels, batch_size), candidates, known):
            columns = {**task.columns(answer, {}), "evaluations": answer.evaluations}
            size = len(answer.evaluations)
            guesses += [Guess.of(columns, row, labels, self.calibrated) for row in range(size)]
        return guesses[0] if single else guesses

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of the labels, natural logarithms, shape ``(images, labels)``.

        Args:
            images: uint8 or floating point in [0, 1], shape ``(images, *image_shape)``.
        """
        self.check_ready()
        ((task, answer),) = self._answers([images], *self.choices(self._own_names))
        return task.log_probabilities(answer).to(images.device)

    @property
    def _own_names(self) -> Sequence[str] | None:
        return self.classnames or self.label_names

    def _answers(
        self, batched: Sequence[Tensor], candidates: Candidates, names: Sequence[str] | None
    ) -> Iterator[tuple[Classification, Answer]]:
        """The task, and the answer for each batch."""
        if not isinstance(self.task, Classification):
            raise InputError(
                "Expected argument `task` to be Classification to answer without a Trainer, but "
                f"got {type(self.task).__name__}. Run Trainer.test or Trainer.predict."
            )
        task = self.task.bind(Asked(candidates, names, self.temperature, self.calibrated))
        training = self.training
        self.eval()
        try:
            prepared, _ = self.prepare(candidates)
            for images in batched:
                yield task, self.answer(images.to(self.device), prepared).cpu()
        finally:
            self.train(training)
