"""The checker of the documentation refuses pages that do not run as they stand."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "docs" / "check_pages.py"
FENCE = "```"


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("check_pages", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ran(checker, tmp_path):
    """Runs a page of some blocks, each a pair of kind and text, or a comment alone."""

    def run(*blocks):
        page = tmp_path / "page.md"
        fenced = [b if isinstance(b, str) else f"{FENCE}{b[0]}\n{b[1]}\n{FENCE}" for b in blocks]
        page.write_text("\n\n".join(["# A page", *fenced]))
        return checker.run_page(page)

    return run


def test_names_files_and_output_go_from_block_to_block(ran, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    count = ran(
        "<!-- check: run\nfirst = 40\n-->",
        ("python", "# own.py\nTWO = 2"),
        ("python", "from own import TWO\nprint('sum', first + TWO)\nprint('end')"),
        ("text", "sum   42\n..."),
        ("sh", "diffclf --version  # which?"),
        ("text", "diffclf-lightning ..."),
        "<!-- check: fails -->",
        ("sh", "diffclf tets"),
        ("text", "diffclf: error: Expected a command ... The nearest is `diffclf test`."),
        "    make test\n    pip install 'diffclf-lightning[report]'",
        ("none", "free text"),
    )
    assert count == 5


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([("python", "1 / 0")], "ZeroDivisionError"),
        ([("python", "print(1)"), ("text", "2")], "the page shows"),
        ([("sh", "diffclf tets")], "exit status 2"),
        (["<!-- check: fails -->", ("python", "1")], "no error"),
        ([("sh", "git status")], "no rule for the command 'git'"),
        ([("sh", "make tset")], "no target 'tset'"),
        ([("sh", "pip install 'diffclf-lightning[reprot]'")], "no extra 'reprot'"),
        ([("yaml", "a: 1")], "no rule for a block of 'yaml'"),
        (["Run `diffclf test --config digit` now."], "no configuration 'digit'"),
        ([("python", "# needs a GPU\nif")], "invalid syntax"),
        ([("sh", "# needs weights\ndiffclf test --config digits --data.nunber=1")], "nunber"),
        ([("sh", "# needs weights\ndiffclf tets")], "no command 'tets'"),
    ],
)
def test_what_does_not_run_is_said(ran, checker, blocks, message):
    with pytest.raises(checker.PageError, match=message.replace("'", ".")):
        ran(*blocks)


def test_what_needs_something_is_not_run(ran):
    assert ran(("python", "# needs weights\nraise SystemExit(3)")) == 0


def test_all_pages_are_found(checker):
    found = {path.name for path in checker.pages()}
    assert {"README.md", "quickstart.md", "model-family.md"} <= found
    assert len(found) > 15
