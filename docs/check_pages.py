"""Runs what the pages tell their readers to run: ``python docs/check_pages.py [PAGE...]``.

A page is run from top to bottom, in this process and in an empty folder of its own.

- ``python``: executed; names go on from block to block.
- ``sh``: each line is a command. Those of ``diffclf`` run; of ``pip`` and ``make`` it is checked
  that the extra or the target exists. Indented blocks that begin with such a command are the same.
- ``text``: what the block before has to have printed. ``...`` stands for anything.
- ``none``: neither run nor compared.
- A block of any other kind, or of these, whose first line is a comment with the name of a file
  (``# mine.yaml``) is written to that file.
- A block whose first line is a comment ``# needs ...`` (weights, data, a GPU) is not run: Python is
  compiled, and arguments of ``diffclf`` are parsed.

Comments that readers do not see say more of the next block: ``<!-- check: add ARGUMENTS -->`` gives
its runs (``fit``, ``validate``, ``test``, ``predict``) more arguments, so that they are short; with
``<!-- check: fails -->`` it has to end in an error, which is what the text after it is compared
with. ``<!-- check: run``, then lines of Python, prepares what readers have already.

Of commands within the text it is checked that their configuration exists.
"""

import gc
import io
import os
import re
import shlex
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
HELPERS = ROOT / "tests" / "datamodules"
"""Modules that write images for the code that readers do not see."""
COMMENT = re.compile(r"<!-- check: (add|fails|run)\s?(.*?)\s*-->", re.DOTALL)
FILE = re.compile(r"# ([\w-]+(?:\.\w+)+)\s*\n")
NEEDS = re.compile(r"# needs \w+")
PROGRAMS = ("diffclf", "make", "pip")


class PageError(Exception):
    """What is wrong with a page."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Args:
        kind: ``python``, ``sh``, ``text``, ``none``, or another language.
        text: What it holds.
        line: Where it begins.
        added: Arguments for its commands.
        fails: Whether it has to end in an error.
    """

    kind: str
    text: str
    line: int
    added: Sequence[str] = ()
    fails: bool = False

    @property
    def waits(self) -> bool:
        """Whether it needs what is not at hand."""
        return NEEDS.match(self.text) is not None


def blocks_of(text: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    said: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block" and (found := COMMENT.search(token.content)):
            if found[1] == "run":
                yield Block("python", found[2], line)
            else:
                said[found[1]] = found[2]
        elif token.type in ("fence", "code_block"):
            kind = token.info.split()[0] if token.info.split() else "none"
            if token.type == "code_block" and token.content.split()[0] in PROGRAMS:
                kind = "sh"
            if kind.startswith("{"):  # a directive, which the build reads
                continue
            added = shlex.split(said.get("add", ""))
            yield Block(kind, token.content, line, added, "fails" in said)
            said = {}


def commands_of(block: Block) -> Iterator[list[str]]:
    """The commands of a block, as lists of words."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


@dataclass
class Page:
    """A page that is being run.

    Args:
        path: The page.
        scope: Names that its code has made.
    """

    path: Path
    scope: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str = ""
    ran: int = 0

    def run(self) -> None:
        """Run all blocks."""
        text = self.path.read_text(encoding="utf-8")
        check_configs(self.path, text)
        for block in blocks_of(text):
            try:
                self._take(block)
            except (PageError, SyntaxError) as error:
                raise PageError(f"{self.path}:{block.line}: {error}") from error

    def _take(self, block: Block) -> None:
        if file := FILE.match(block.text):
            Path(file[1]).write_text(block.text, encoding="utf-8")
        elif block.kind == "text":
            self._compare(block.text)
        elif block.kind == "python":
            code = compile(block.text, str(self.path), "exec")
            if not block.waits:
                self._capture(block, lambda: exec(code, self.scope))
        elif block.kind == "sh":
            commands = list(commands_of(block))
            self._capture(block, lambda: [self._command(words, block) for words in commands])
        elif block.kind != "none":
            raise PageError(f"no rule for a block of {block.kind!r}; name a file in its first line")

    def _capture(self, block: Block, action: Any) -> None:
        out, err = io.StringIO(), io.StringIO()
        problem = ""
        with redirect_stdout(out), redirect_stderr(err):
            try:
                action()
            except SystemExit as stop:
                problem = f"exit status {stop.code}" if stop.code else ""
            except PageError:
                raise
            except Exception as error:
                if not block.fails:
                    err.write(traceback.format_exc())
                problem = f"{type(error).__name__}: {error}"
        if bool(problem) != block.fails:
            raise PageError(f"{problem or 'no error'}\n{out.getvalue()}{err.getvalue()}")
        self.printed = f"{err.getvalue()}{problem}" if block.fails else out.getvalue()
        self.ran += 1

    def _command(self, words: Sequence[str], block: Block) -> None:
        program, *arguments = words
        if words[:3] == ["python", "-m", "diffclf_lightning"]:
            program, arguments = "diffclf", list(words[3:])
        if program == "diffclf":
            run_diffclf(arguments, block)
        elif program == "pip":
            check_extras(arguments)
        elif program == "make":
            check_targets(arguments)
        elif not block.waits:
            raise PageError(f"no rule for the command {program!r}")

    def _compare(self, text: str) -> None:
        pattern = r"\s+".join(map(re.escape, text.split())).replace(re.escape("..."), ".*")
        if not re.search(pattern, self.printed, flags=re.DOTALL):
            raise PageError(f"the page shows\n{text}\nbut it is\n{self.printed}")


def run_diffclf(arguments: Sequence[str], block: Block) -> None:
    """Run a command of ``diffclf``, or parse its arguments alone."""
    from diffclf_lightning.cli import COMMANDS, LIGHTNING, main

    command, *given = arguments
    added = block.added if command in LIGHTNING else ()
    if not block.waits:
        main([command, *given, *added])
    elif command in LIGHTNING:
        main([command, *(word for word in given if word != "--dry-run"), "--print_config"])
    elif command not in COMMANDS:
        raise PageError(f"diffclf has no command {command!r}")


def check_configs(path: Path, text: str) -> None:
    """Check that the configurations exist that a page names within its text."""
    from diffclf_lightning.configurations import shipped_configs

    for command in re.findall(r"`(diffclf \w+ [^`]*)`", text):
        for name in re.findall(r"--config ([a-z][\w/]*)(?![\w/.])", command):
            if name not in shipped_configs():
                raise PageError(f"{path}: no configuration {name!r} is shipped: {command}")


def check_extras(arguments: Sequence[str]) -> None:
    """Check the extras that ``pip install`` names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments:
        for extra in re.findall(r"\[([\w,-]+)\]", word):
            for name in extra.split(","):
                if name not in project["optional-dependencies"]:
                    raise PageError(f"pyproject.toml has no extra {name!r}")


def check_targets(arguments: Sequence[str]) -> None:
    """Check the targets that ``make`` is given."""
    makefile = (ROOT / "Makefile").read_text()
    for word in arguments:
        if "=" not in word and not re.search(rf"^{re.escape(word)}:", makefile, flags=re.MULTILINE):
            raise PageError(f"the Makefile has no target {word!r}")


def run_page(path: Path) -> int:
    """Run a page in a folder of its own.

    Args:
        path: The page.

    Returns:
        Number of blocks that ran.

    Raises:
        PageError: If it does not run as it stands.
    """
    page, before = Page(path.resolve()), set(sys.modules)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        sys.path.insert(0, folder)
        try:
            page.run()
        finally:
            sys.path.remove(folder)
            for name in set(sys.modules) - before:
                if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
                    del sys.modules[name]
    gc.collect()
    return page.ran


def pages() -> list[Path]:
    """The README and the pages of the documentation, but those that the build makes or runs."""
    folder = ROOT / "docs"
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*.md")))
    left_out = {"_build", "api", "notebooks"}
    return [ROOT / "README.md", *(folder / page for page in found if page.parts[0] not in left_out)]


def tried(path: Path) -> tuple[str, bool]:
    """What is said of a page, and whether it runs."""
    start = time.process_time()
    try:
        ran = run_page(path)
    except PageError as error:
        return f"{error}", False
    name = path.resolve().relative_to(ROOT)
    return f"{name}: {ran} blocks, {time.process_time() - start:.0f} s", True


def prepare() -> None:
    """Prepare a process that runs pages."""
    os.environ["COLUMNS"] = "100"
    sys.path.append(str(HELPERS))


def main(given: Sequence[str]) -> int:
    """Run some pages, or all, two at once.

    Returns:
        Number of pages that do not run.
    """
    with ProcessPoolExecutor(2, initializer=prepare) as pool:
        results = pool.map(tried, [Path(name) for name in given] or pages())
        wrong = 0
        for said, right in results:
            wrong += not right
            print(said, flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
