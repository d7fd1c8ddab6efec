"""The page: runs, what their rows say and figures of it, put into templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from diffclf_lightning.extras import needed
from diffclf_lightning.metrics import ClassificationReport
from diffclf_lightning.report import figures
from diffclf_lightning.report.contents import RunContents, SetContents
from diffclf_lightning.report.gallery import Kind, galleries
from diffclf_lightning.report.measures import (
    Bin,
    Confusion,
    Pair,
    confused_pairs,
    confusion,
    reliability,
)

SHOWN = 24
"""Images of each kind in a gallery, at most."""
ALL_SHOWN = 120
"""Images of each kind in all galleries together, at most where there are many sets."""


@dataclass(frozen=True)
class Column:
    """One set as one run answered it.

    Args:
        run: The run.
        contents: Its rows of the set.
        report: What was measured, or None without labels.
        confusion: The confusion matrix, or None without labels or of many.
        pairs: The pairs of labels that are confused most.
        bins: Bins of the reliability diagram.
        gallery: The kinds of images.
    """

    run: RunContents
    contents: SetContents
    report: ClassificationReport | None
    confusion: Confusion | None
    pairs: list[Pair]
    bins: list[Bin]
    gallery: list[Kind]

    @property
    def pictured(self) -> bool:
        """Whether any image of the set has a thumbnail."""
        return bool(self.contents.pictured.any())

    @property
    def calibrated(self) -> bool:
        """Whether confidences are probabilities, as far as the run knows."""
        return bool(self.run.description.get("calibrated", True))

    @property
    def timed(self) -> bool:
        """Whether errors over time are known of any image that is shown."""
        return any(card.curves for kind in self.gallery for card in kind.cards)

    @property
    def races(self) -> bool:
        """Whether there are trials at all."""
        return len(self.contents.survivors) > 1

    @property
    def reliability_figure(self) -> str:
        """Accuracy against confidence."""
        return figures.reliability(self.bins, self.report.calibration_error if self.report else 0.0)

    @property
    def survivors_figure(self) -> str:
        """Classes in the race over trials."""
        return figures.survivors(self.contents.survivors)

    @property
    def histogram(self) -> str | None:
        """Of evaluations; None where all images took as many."""
        evaluations = self.contents["evaluations"]
        return figures.histogram(evaluations) if np.ptp(evaluations) else None


def column(run: RunContents, name: str, gallery: list[Kind]) -> Column:
    """One set as one run answered it.

    Args:
        run: The run.
        name: Name of the set.
        gallery: The kinds of its images.
    """
    contents = run.sets[name]
    report = contents.report()
    if report is None:
        return Column(run, contents, None, None, [], [], gallery)
    return Column(
        run,
        contents,
        report,
        confusion(contents, run.names),
        confused_pairs(contents, run.names),
        reliability(contents),
        gallery,
    )


def facts(run: RunContents) -> dict[str, str]:
    """What was run, as headings and their texts."""
    told = run.description
    configuration = _configuration(run)
    weights = "model.init_args.denoiser.init_args.pretrained_model_name_or_path"
    model = [told.get("model") or told.get("denoiser"), _inner(configuration, weights)]
    data = str(_inner(configuration, "data.class_path") or "").rpartition(".")[2]
    machines = told.get("machines", [])
    command, file = told.get("command") or "test", run.path / "config.yaml"
    measured = f"{sum(map(len, run.sets.values()))} images of {', '.join(run.sets)}"
    listed = {
        "Model": " ".join(str(part) for part in model if part),
        "Classifier": told.get("classifier"),
        "Data": ": ".join(filter(None, [data, measured])),
        "Strategy": told.get("strategy"),
        "Score": ", ".join(told.get("scores", [])),
        "Temperature": f"{told['temperature']:.4g}" if "temperature" in told else None,
        "Precision": told.get("precision"),
        "Device": "; ".join(dict.fromkeys(str(one["device"]) for one in machines)),
        "Version": "; ".join(dict.fromkeys(str(one["version"]) for one in machines)),
        "Finished": f"{run.finished:%Y-%m-%d %H:%M}" if run.finished else "not yet",
        "Repeat it": f"diffclf {command} --config {file}" if file.is_file() else None,
    }
    return {name: str(text).strip() for name, text in listed.items() if text}


def _configuration(run: RunContents) -> dict[str, Any]:
    file = run.path / "config.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, yaml.YAMLError):  # the report is of the rows, and needs it not
        content = {}
    return content if isinstance(content, dict) else {}


def _inner(content: Any, path: str) -> Any:
    """What stands in a configuration at a path of keys, or None."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def render(runs: Sequence[RunContents]) -> str:
    """The page.

    Args:
        runs: The runs.

    Returns:
        One HTML file that needs nothing else.
    """
    jinja2 = needed("jinja2", "report")
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("diffclf_lightning.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    most = max(4, min(SHOWN, ALL_SHOWN // sum(len(run.sets) for run in runs)))
    columns: dict[str, list[Column]] = {}
    for run in runs:
        for name, gallery in galleries(run, most).items():
            columns.setdefault(name, []).append(column(run, name, gallery))
    every = [each for of_set in columns.values() for each in of_set]
    counts = {
        run.name: {c.contents.name: c.report.count for c in every if c.run is run and c.report}
        for run in runs
    }
    measured = {name: by_set for name, by_set in counts.items() if by_set}
    page: str = pages.get_template("page.html.j2").render(
        runs=runs,
        columns=columns,
        facts={run.name: facts(run) for run in runs},
        accuracies=figures.accuracies(measured) if measured else None,
    )
    return page
