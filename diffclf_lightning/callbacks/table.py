"""ReportTable: the end of a run as a table that a person can read."""

from collections.abc import Mapping

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diffclf_lightning.callbacks.beside import beside_results
from diffclf_lightning.callbacks.results import results_folder
from diffclf_lightning.image_classifier import ImageClassifier
from diffclf_lightning.metrics import Report

FEW = 0.05
"""Share of evaluations that may run in passes less than half full, and nothing is said."""


class ReportTable(Callback):
    """Prints the reports of all sets, and where the results are."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print on one rank; validation within ``fit`` is left to the progress bar."""
        if trainer.state.fn == TrainerFn.FITTING or not trainer.is_global_zero:
            return
        console, folder = Console(), results_folder(trainer)
        with beside_results("Printing the table", folder, f"`diffclf compare {folder}` prints it."):
            if isinstance(pl_module, ImageClassifier) and pl_module.reports:
                console.print(report_table(pl_module.reports))
                for name, value in pl_module.fitted.items() if trainer.validating else ():
                    console.print(f"{name}: {value:.4g}", highlight=False, markup=False)
            if folder is not None:
                console.print(f"Results: {folder}", soft_wrap=True, highlight=False, markup=False)

    on_predict_end = on_validation_end = on_test_end


def report_table(reports: Mapping[str, Report]) -> Table:
    """Reports by set as a table, one row a set, and below it one for each other score."""
    rows = {name: report.cells() for name, report in reports.items()}
    headings = dict.fromkeys(
        heading for cells in rows.values() for row in cells for heading in row if heading
    )
    notes = list(dict.fromkeys(note for report in reports.values() for note in report.notes))
    for name, report in reports.items():
        if report.skipped:
            notes.append(f"{name}: {report.skipped} images could not be read and are left out")
        if (report.underfilled_share or 0) > FEW:
            share = f"{name}: {report.underfilled_share:.0%} of evaluations ran in passes less than"
            notes.append(f"{share} half full; a larger --data.batch_size fills them")
    table = Table(
        box=SIMPLE_HEAD,
        caption=Text("\n".join(notes)),
        caption_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("\nset", overflow="fold", min_width=8)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, cells in rows.items():
        for place, row in enumerate(cells):
            title = f"  {row.get('', '')}" if place else name
            table.add_row(Text(title), *(row.get(heading, "") for heading in headings))
    return table
