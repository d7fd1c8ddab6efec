"""The directive ``command-help``: what a command of ``diffclf`` says of itself."""

import io
import re
from contextlib import redirect_stdout, suppress
from typing import Any, ClassVar
from unittest.mock import patch

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from diffclf_lightning.cli import main

LIGHTNING = re.compile(r"^Customize every aspect of training via flags:\n(?:.*\n)*?\n(?=\S)", re.M)
"""Flags of Lightning's own, which Lightning documents."""
USAGE = re.compile(r"\Ausage: (?:.*\n)+?\n")


def help_of(arguments: list[str]) -> str:
    """What ``diffclf ARGUMENTS`` prints, less the flags of Lightning's Trainer.

    Args:
        arguments: The arguments, ``--help`` among them.
    """
    said = io.StringIO()
    wide = patch.dict("os.environ", {"COLUMNS": "88"})
    with wide, redirect_stdout(said), suppress(SystemExit):
        main(arguments)
    text = said.getvalue()
    if LIGHTNING.search(text):
        text = LIGHTNING.sub("", USAGE.sub("", text))
    return text.strip()


class CommandHelp(SphinxDirective):
    """``{command-help} test --help``."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """The text as a literal block."""
        text = help_of(self.arguments[0].split())
        if not text:
            raise self.error(f"diffclf {self.arguments[0]} says nothing")
        block = nodes.literal_block(text, text)
        block["language"] = "none"
        return [block]


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
