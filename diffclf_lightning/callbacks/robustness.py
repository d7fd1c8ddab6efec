"""EffectiveRobustness: what a run's accuracies are beyond those of baselines, at its end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console
from torch import Tensor

from diffclf_lightning.callbacks.beside import beside_results
from diffclf_lightning.callbacks.results import results_folder, tested_classifier
from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import Accuracy, ClassificationReport
from diffclf_lightning.paths import path_of
from diffclf_lightning.robustness import Comparison, Model, Pair, Settings, compare_all, get_scale
from diffclf_lightning.robustness.figure import no_figure
from diffclf_lightning.robustness.report import show, write
from diffclf_lightning.robustness.sources import DEFAULT_BASELINES, read_baselines

COMMAND = "diffclf robustness"


class EffectiveRobustness(Callback):
    """Effective robustness of the tested model (Taori et al. 2020), at the end of ``test``.

    Logs ``{set}/effective_robustness`` with ``_lower`` and ``_upper`` for each out-of-distribution
    set that the baselines have a line for, prints a table, and writes ``robustness.csv``,
    ``robustness.json`` and, with the extra ``figures``, a figure to the folder of results.

    Args:
        baselines: Shipped tables (``testbed``, ``timm``, ``digits``), CSV files of accuracies, or
            folders of finished runs, which together make one table; logged are values against the
            first that has a set.
        pairs: Pairs of test sets as ``ID:OOD`` or ``ID:OOD@BREAK``. Defaults to none: ImageNet and
            its shifts, and the digits and theirs.
        scale: Scale of both axes: ``logit``, ``probit`` or ``linear``.
        min_r_squared: A line that explains less than this share is none.
        folder: Where tables and figures go. Defaults to None: the folder of the results.
        name: What the model is called.
    """

    def __init__(
        self,
        baselines: Sequence[str] = DEFAULT_BASELINES,
        pairs: Sequence[str] = (),
        scale: str = "logit",
        min_r_squared: float = 0.5,
        folder: str | Path | None = None,
        name: str = "this run",
    ) -> None:
        self.tables = read_baselines(baselines)
        self.pairs = [Pair.parse(pair) for pair in pairs]
        self.settings = Settings(get_scale(scale), min_r_squared)
        self.folder, self.name = None if folder is None else path_of(folder), name
        self.comparisons: list[Comparison] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say before the first image that there will be no figure."""
        if stage == "test" and (why := no_figure()):
            rank_zero_warn(f"There will be no figure. {why}")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say before the first image what of the comparison cannot be made.

        Raises:
            InputError: If a pair that was given is of other classes, or no table has its sets.
        """
        self.comparisons = []
        names = [current.name for current in tested_classifier(self, pl_module).sets]
        try:
            self._compare(pl_module, dict.fromkeys(names, Accuracy(0.5)))
        except InputError as error:
            if self.pairs:
                raise
            rank_zero_warn(f"There will be no effective robustness. {error}")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare and log."""
        classifier = tested_classifier(self, pl_module)
        classifier.report()
        accuracies = {
            name: report.count
            for name, report in classifier.reports.items()
            if isinstance(report, ClassificationReport)
        }
        folder = results_folder(trainer)
        with beside_results("Comparing with baselines", folder, f"`{COMMAND} {folder}` compares."):
            try:
                self.comparisons = self._compare(classifier, accuracies)
            except InputError as error:
                rank_zero_warn(f"There is no effective robustness. {error}")
            pl_module.log_dict(self._values())

    def _values(self) -> dict[str, Tensor]:
        """What is logged."""
        values: dict[str, float] = {}
        for comparison in self.comparisons:
            row, name = comparison.rows[0], f"{comparison.pair.ood}/effective_robustness"
            if row.robustness is None or name in values:
                continue
            values[name] = row.robustness.effective
            if (interval := row.robustness.interval) is not None:
                values |= {f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}
        return {k: torch.tensor(v, dtype=torch.float32) for k, v in values.items()}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print, write and draw, on one rank, when all else of the run is done."""
        if stage != "test" or not self.comparisons or not trainer.is_global_zero:
            return
        stored = results_folder(trainer)
        again = f"`{COMMAND} {stored}` compares again."
        with beside_results("Writing the comparison with baselines", stored, again):
            show(self.comparisons, Console(), lines=False)
            if (folder := self.folder or stored) is not None:
                write(folder, self.comparisons)

    def _compare(
        self, module: LightningModule, accuracies: Mapping[str, Accuracy]
    ) -> list[Comparison]:
        sets = tested_classifier(self, module).sets
        candidates = {s.name: json.dumps(s.candidate_labels) for s in sets}
        model = Model(self.name, self.name, accuracies, candidates=candidates)
        return compare_all([model], self.tables, self.pairs, self.settings)
