"""Calibration: what was fitted on the stored rows of a run, for later runs to take."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diffclf_lightning.calibration_entries import check_entries
from diffclf_lightning.errors import InputError
from diffclf_lightning.evaluation import Racing, Strategy, TimeGrid
from diffclf_lightning.files import write_whole
from diffclf_lightning.paths import path_of
from diffclf_lightning.ranges import check_number

FILE = "calibration.json"
HOTTEST = 1e12
"""Highest temperature. Those that are fitted end at 1e8; products with higher ones overflow."""


@dataclass(frozen=True)
class Calibration:
    """Fitted values.

    Args:
        temperature: Factor on scores in probabilities, or None where no labels were known.
        score: Name of the score that it belongs to.
        images: Number of images that it was fitted on.
        level: Level of a race, or None.
        race: The race that it belongs to, as :func:`race_of` says it.
        shortlist: The shortlist that ``bias`` and ``keep`` belong to, as it is written, or None.
        bias: Mean score of each candidate by that shortlist, by name.
        keep: Number of candidates to keep, or None.
        density: Density over time of an :class:`InformativeGrid`, or None.
        loss: The loss that ``weights`` belong to, or whose mean ``part_bias`` belongs to; or None.
        weights: Weights over time of :class:`LearnedWeights`, or None.
        biased: Name of the score that ``part_bias`` belongs to, or None.
        part_bias: Bias of each candidate in equal parts of [0, 1), by name, of
            :class:`WithoutBias`, or None.
        model: Checksum of the weights that errors were of, as ``run.json`` has it, or None.
    """

    temperature: float | None
    score: str
    images: int
    level: float | None = None
    race: str | None = None
    shortlist: str | None = None
    bias: Mapping[str, float] | None = None
    keep: int | None = None
    density: tuple[float, ...] | None = None
    loss: str | None = None
    weights: tuple[float, ...] | None = None
    biased: str | None = None
    part_bias: Mapping[str, Sequence[float]] | None = None
    model: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read what ``diffclf calibrate`` wrote.

        Args:
            path: The file, or the folder of a run that holds it.

        Returns:
            The calibration.

        Raises:
            InputError: If there is none, or an entry is not what it should be.
        """
        file = path_of(path)
        file = file / FILE if file.is_dir() else file
        try:
            content = json.loads(file.read_text())
            loaded = cls(**content)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"Expected argument `calibration` to be a folder with {FILE}, or such a file, but "
                f"got {str(path)!r} ({type(error).__name__}: {error}). Make one with `diffclf "
                "calibrate RUN`."
            ) from error
        check_entries(content, file)
        return loaded

    def save(self, folder: Path) -> Path:
        """Write it into the folder of a run.

        Args:
            folder: The folder.

        Returns:
            The file.
        """
        file = folder / FILE
        write_whole(file, json.dumps(asdict(self), indent=2) + "\n")
        return file


def settled_temperature(
    temperature: float | None, calibration: str | Path | None, own: Calibration | None, score: str
) -> tuple[float, bool]:
    """The factor on scores in probabilities.

    Args:
        temperature: The given one, or None.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote, or None.
        own: What came with the model, or None; taken if it belongs to the score.
        score: Name of the score that decides.

    Returns:
        The temperature, and whether it was given or fitted; 1 and False without any.

    Raises:
        InputError: If both are given, one is out of range, or belongs to another score.
    """
    if temperature is not None and calibration is not None:
        raise InputError("Expected either `calibration` or `temperature`, but got both. Drop one.")
    if temperature is not None:
        check_number("temperature", temperature, above=0, most=HOTTEST)
        return temperature, True
    fitted = own if own is not None and own.score == score else None
    if calibration is not None:
        fitted = Calibration.load(calibration)
        if fitted.score != score:
            raise InputError(
                f"Expected argument `calibration` to belong to score {score!r}, but it was fitted "
                f"for {fitted.score!r}. Calibrate a run of this score."
            )
    if fitted is None or fitted.temperature is None:
        return 1.0, False
    check_number("temperature", fitted.temperature, above=0, most=HOTTEST)
    return fitted.temperature, True


def race_of(race: Racing, grid: object, noise: object) -> str:
    """All that the error rate of a race depends on, beside model and images.

    Args:
        race: The race.
        grid: Order of the times, or how it is written.
        noise: Source of the noise, or how it is written.
    """
    return f"{race!r}, {grid}, {noise}"


def at_calibrated_level(
    strategy: Strategy, calibration: str | Path | None, grid: TimeGrid | None, noise: object
) -> Strategy:
    """The strategy, a race at the level that was fitted for it.

    Args:
        strategy: The strategy.
        calibration: Folder of a run, or file, that ``diffclf calibrate`` wrote, or None.
        grid: Order of the times, or None for that of the strategy.
        noise: Source of the noise.

    Raises:
        InputError: If it is no strategy, the level was fitted for another race, or the race has
            one of its own.
    """
    if not isinstance(strategy, Strategy):
        raise InputError(
            "Expected argument `strategy` to be a Strategy, as Racing() or Full(250), but got "
            f"{strategy!r}."
        )
    if calibration is None or not isinstance(strategy, Racing):
        return strategy
    fitted = Calibration.load(calibration)
    if fitted.level is None:
        return strategy
    if strategy.level not in (Racing().level, fitted.level):
        raise InputError(
            f"Expected no argument `level` of Racing beside a `calibration` that has one "
            f"({fitted.level:g}), but got {strategy.level:g}. Drop one."
        )
    race = strategy.at(fitted.level)
    own = race_of(race, grid or race.grid, noise)
    if own != fitted.race:
        raise InputError(
            f"Expected argument `calibration` to have the level of this race, {own}, but it was "
            f"fitted for {fitted.race}. Race as there, or calibrate a run as this one."
        )
    return race
