"""Bad and odd inputs, each with what must come of it.

``python tests/reliability/inputs.py`` runs them all; tests/reliability/test_corpus.py a part.
"""

from importlib import import_module

from corpus.case import Case
from corpus.judge import Verdict, run

SUBJECTS = (
    "command_line",
    "configurations",
    "data",
    "image_files",
    "public_sets",
    "tables",
    "models",
    "folders",
    "python_calls",
)


def cases(*subjects: str) -> dict[str, list[Case]]:
    """Cases by subject.

    Args:
        *subjects: The subjects. Defaults to all.
    """
    return {name: import_module(f"corpus.{name}").CASES for name in subjects or SUBJECTS}


__all__ = ["SUBJECTS", "Case", "Verdict", "cases", "run"]
