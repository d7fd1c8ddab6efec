"""``diffclf calibrate``: fit on the stored rows of a run whatever they permit."""

import argparse
from collections.abc import Sequence

from rich.console import Console

from diffclf_lightning.calibration import Calibration
from diffclf_lightning.errors import InputError
from diffclf_lightning.results import RunFolder
from diffclf_lightning.tasks import Classification

DESCRIPTION = """\
Fit the temperature that makes probabilities of scores, on the stored rows of a run with known
labels (diffclf validate stores some), and write it to RUN/calibration.json. A later run takes it by
--model.calibration RUN. The images must not be those that are to be tested.
"""


def main(args: Sequence[str], console: Console | None = None) -> None:
    """Run the command.

    Args:
        args: Its arguments.
        console: Where the result is printed.

    Raises:
        InputError: If the folder holds no rows with labels.
    """
    parser = argparse.ArgumentParser(prog="diffclf calibrate", description=DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="folder of a run")
    run = RunFolder(parser.parse_args(args).run)
    rows, description = run.rows(Classification.fitted), run.description()
    labelled = rows is not None and set(Classification.fitted) <= set(rows.schema.names)
    if rows is None or not labelled or rows["label"].null_count or not len(rows):
        raise InputError(
            f"Expected RUN to hold rows with known labels, but {str(run.path)!r} has none. Name "
            "the folder of `diffclf validate` or `diffclf test`."
        )
    score = description["scores"][0]
    temperature = Classification().fit(rows)["temperature"]
    file = Calibration(temperature, score, len(rows)).save(run.path)
    console = console or Console()
    said = f"Temperature {temperature:.4g} of score {score}, fitted on {len(rows)} images: {file}"
    console.print(said, soft_wrap=True, highlight=False, markup=False)
