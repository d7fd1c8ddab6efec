"""What finished runs measured on their sets, one line a run and set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from diffclf_lightning.errors import InputError
from diffclf_lightning.metrics import ClassificationReport, MatchingReport
from diffclf_lightning.results import RunFolder, family


@dataclass(frozen=True)
class Measured:
    """A run on a set.

    Args:
        set: Name of the set.
        run: What the run is called.
        family: The kind of its model.
        report: What was measured.
        device: What it was measured on; several where it was continued on another.
        precision: The Trainer's.
        version: Of this package.
    """

    set: str
    run: str
    family: str
    report: ClassificationReport | MatchingReport
    device: str
    precision: str
    version: str

    @property
    def conditions(self) -> tuple[str, str, str]:
        """What seconds depend on beside the model: device, precision and version."""
        return self.device, self.precision, self.version

    def record(self) -> dict[str, Any]:
        """Plain values of a row of a CSV file; shares are fractions, times in seconds."""
        report = self.report
        named = {"set": self.set, "run": self.run, "family": self.family}
        conditions = {"device": self.device, "precision": self.precision, "version": self.version}
        if isinstance(report, MatchingReport):
            return {**named, **report.scalars(), "skipped": report.skipped, **conditions}
        return {
            **named,
            "accuracy": report.accuracy,
            "accuracy_lower": report.interval.lower,
            "accuracy_upper": report.interval.upper,
            "correct": report.correct,
            "total": report.total,
            "mean_per_class_accuracy": report.mean_per_class_accuracy,
            "negative_log_likelihood": report.negative_log_likelihood,
            "evaluations_per_image": report.evaluations_per_image,
            "seconds_per_image": report.seconds_per_image,
            "skipped": report.skipped,
            "metric": report.metric,
            **conditions,
        }


def read_measured(runs: Mapping[str, RunFolder]) -> list[Measured]:
    """What runs measured, by set, and within a set in the order of the runs.

    Args:
        runs: Finished runs by name.

    Returns:
        A line for each run and set that has numbers of correct images.

    Raises:
        InputError: If a summary is damaged.
    """
    lines: list[Measured] = []
    for name, run in runs.items():
        description = run.description()
        machines = description.get("machines", [])
        conditions = {
            "device": _joined(_device(one) for one in machines),
            "precision": str(description.get("precision", "")),
            "version": _joined(str(one["version"]) for one in machines),
        }
        for set_name, content in run.summary()["sets"].items():
            if content.get("total"):
                kind = MatchingReport if "scores" in content else ClassificationReport
                with _named(run, set_name):
                    report = kind.from_summary(content)
                lines.append(Measured(set_name, name, family(description), report, **conditions))
    sets = list(dict.fromkeys(line.set for line in lines))
    return sorted(lines, key=lambda line: sets.index(line.set))


@contextmanager
def _named(run: RunFolder, set_name: str) -> Iterator[None]:
    """Within, what is wrong with a stored report is said with its file and its set."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{str(run.summary_file)!r}, set {set_name!r}: {error}") from error


def _device(machine: Mapping[str, Any]) -> str:
    count = int(machine["devices"])
    return f"{count} x {machine['device']}" if count > 1 else str(machine["device"])


def _joined(values: Any) -> str:
    return "; ".join(dict.fromkeys(values))
