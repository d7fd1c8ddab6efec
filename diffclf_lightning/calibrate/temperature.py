"""The temperature that makes probabilities of scores."""

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder
from diffclf_lightning.tasks import Classification


def fit_on_rows(run: RunFolder) -> Calibration:
    """The temperature of scores as a run stored them.

    Args:
        run: The folder of the run.

    Returns:
        What was fitted.

    Raises:
        InputError: If the run has no rows with labels.
    """
    rows = run.rows(Classification.fitted)
    labelled = rows is not None and set(Classification.fitted) <= set(rows.schema.names)
    if rows is None or not labelled or rows["label"].null_count or not len(rows):
        raise InputError(
            f"Expected RUN to hold rows with known labels, but {str(run.path)!r} has none. Name "
            "the folder of `diffclf validate` or `diffclf test`."
        )
    score = run.description()["scores"][0]
    return Calibration(Classification().fit(rows)["temperature"], score, len(rows))
