"""ReportTable: the end of a run as a table that a person can read."""

from collections.abc import Mapping

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.metrics import Count, Report

COLUMNS = (
    "accuracy %\n(interval)",
    "\ncorrect",
    "per\nclass %",
    "\nNLL",
    "evals\n/image",
    "seconds\n/image",
)


class ReportTable(Callback):
    """Prints the reports of all sets, and where the results are."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print on one rank."""
        if not trainer.is_global_zero:
            return
        console = Console()
        if isinstance(pl_module, ImageClassifier) and pl_module.reports:
            console.print(report_table(pl_module.reports))
        self._name_folder(trainer, console)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the predictions are."""
        if trainer.is_global_zero:
            self._name_folder(trainer, Console())

    def _name_folder(self, trainer: Trainer, console: Console) -> None:
        folder = results_folder(trainer)
        if folder is not None:
            console.print(f"Results: {folder}", soft_wrap=True, highlight=False, markup=False)


def report_table(reports: Mapping[str, Report]) -> Table:
    """Reports as a table, one row a set, and below it one for each other loss.

    Args:
        reports: Report of each set.

    Returns:
        The table.
    """
    notes = "interval: 99.5% Clopper-Pearson; NLL: negative log-likelihood"
    if any(report.metric == "mean_per_class_accuracy" for report in reports.values()):
        notes += "\n*: the metric that is published for the set"
    for name, report in reports.items():
        if report.skipped:
            notes += f"\n{name}: {report.skipped} images could not be read and are left out"
    table = Table(
        box=SIMPLE_HEAD,
        caption=notes,
        caption_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("\nset", overflow="fold", min_width=8)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for name, report in reports.items():
        star = "*" if report.metric == "mean_per_class_accuracy" else ""
        table.add_row(
            name,
            *_counted(report),
            f"{100 * report.mean_per_class_accuracy:.1f}{star}",
            f"{report.negative_log_likelihood:.3f}",
            f"{report.evaluations_per_image:.0f}",
            f"{report.seconds_per_image:.2g}",
        )
        for loss, count in report.other_losses.items():
            table.add_row(f"  {loss}", *_counted(count))
    return table


def _counted(count: Count) -> tuple[str, str]:
    lower, upper = 100 * count.interval.lower, 100 * count.interval.upper
    accuracy = f"{100 * count.accuracy:.1f} ({lower:.1f}-{upper:.1f})"
    return accuracy, f"{count.correct}/{count.total}"
