"""Commands on folders of runs that are not what they were: one line each, nothing half written."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from stored_runs import run, their_means

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.denoisers import GaussianDenoiser

COMMANDS = {
    "report": ["report", "r"],
    "score": ["score", "r", "--score=MeanError", "--score.loss=l2"],
    "calibrate": ["calibrate", "r"],
    "compare": ["compare", "r"],
    "costs": ["costs", "r"],
    "robustness": ["robustness", "r"],
    "figures": ["figures", "r"],
}
OF_ROWS = ("report", "score", "calibrate", "compare", "costs")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A finished run of twelve images with stored errors."""
    folder = tmp_path_factory.mktemp("base") / "r"
    means = torch.tensor([-0.6, 0.0, 0.6]).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    denoiser = GaussianDenoiser(means, std=0.1)
    run(DiffusionClassifier(denoiser, Full(3)), their_means(denoiser), folder, errors=True)
    return folder


@pytest.fixture
def odd(base, tmp_path):
    """A copy of it, beside which commands run."""
    return shutil.copytree(base, tmp_path / "r")


def change(file, **entries):
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **entries}))


def with_column(folder, name, values):
    file = folder / "images.parquet"
    table = pq.read_table(file)
    kind = table.schema.field(name).type
    column = pa.array([values] * len(table), kind) if not callable(values) else values(table)
    pq.write_table(table.set_column(table.schema.names.index(name), name, column), file)


def without(folder, *names):
    file = folder / "images.parquet"
    pq.write_table(pq.read_table(file).drop_columns(list(names)), file)


def emptied(folder):
    file = folder / "images.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)


def ragged(table):
    return pa.array([[1.0] * (1 + i % 3) for i in range(len(table))], pa.list_(pa.float32()))


def texts(table):
    return pa.array(["a"] * len(table))


SUMMARY, ROWS, DESCRIPTION = "r/summary.json", "r/images.parquet", "r/run.json"
STATES = {
    "a summary that is empty": (
        lambda r: (r / "summary.json").write_text(""),
        dict.fromkeys(["score", "compare", "costs", "robustness"], SUMMARY),
    ),
    "a summary that is a list": (
        lambda r: (r / "summary.json").write_text("[1]"),
        dict.fromkeys(["score", "compare", "costs", "robustness"], SUMMARY),
    ),
    "a set of the summary that is a list": (
        lambda r: change(r / "summary.json", sets={"test": [1]}),
        dict.fromkeys(["score", "compare", "costs", "robustness"], SUMMARY),
    ),
    "a set of the summary that lacks entries": (
        lambda r: change(r / "summary.json", sets={"test": {"correct": 1, "total": 12}}),
        dict.fromkeys(["compare", "costs"], f"{SUMMARY}', set 'test'"),
    ),
    "impossible counts": (
        lambda r: change(r / "summary.json", sets={"test": {"correct": 13, "total": 12}}),
        dict.fromkeys(["compare", "costs"], f"{SUMMARY}', set 'test'"),
    ),
    "an unfinished run": (
        lambda r: (r / "summary.json").unlink(),
        {"report": None, "score": None, "calibrate": None, "compare": "not finished"},
    ),
    "no run.json": (
        lambda r: (r / "run.json").unlink(),
        dict.fromkeys(["score", "calibrate", "figures"], DESCRIPTION),
    ),
    "a run.json without entries": (
        lambda r: (r / "run.json").write_text('{"layout": 2}'),
        dict.fromkeys(["score", "calibrate", "figures"], DESCRIPTION),
    ),
    "no rows": (
        lambda r: pq.write_table(
            pq.read_table(r / "images.parquet").slice(0, 0), r / "images.parquet"
        ),
        {"report": "'r' has none", "score": "'r' has none", "calibrate": "'r' has none"},
    ),
    "damaged rows": (
        lambda r: (r / "images.parquet").write_bytes(b"hello"),
        dict.fromkeys([*OF_ROWS, "robustness"], ROWS),
    ),
    "rows without a column of every run": (
        lambda r: without(r, "digest", "seconds"),
        dict.fromkeys(OF_ROWS, f"{ROWS}' to hold rows"),
    ),
    "rows without scores": (
        lambda r: without(r, "scores"),
        {"report": "have no scores", "calibrate": "'r' has none", "score": None},
    ),
    "rows without labels": (
        lambda r: with_column(r, "label", None),
        {"report": None, "score": "'r' has none", "calibrate": "'r' has none"},
    ),
    "labels of nothing": (
        lambda r: with_column(r, "label", 77),
        {"score": "77", "calibrate": "77", "figures": "77"},
    ),
    "scores of other lengths": (
        lambda r: with_column(r, "scores", ragged),
        {"report": "'scores'", "calibrate": "'scores'"},
    ),
    "scores that are text": (
        lambda r: with_column(r, "scores", texts),
        {"report": "'scores'", "calibrate": "'scores'"},
    ),
    "scores that are no numbers": (
        lambda r: with_column(r, "scores", [float("nan")] * 3),
        {"report": None, "calibrate": "at least one image"},
    ),
    "fewer errors than trials": (
        lambda r: with_column(r, "errors", [("l2", [1.0])]),
        {"report": "stored errors 'l2'", "score": "stored errors 'l2'"},
    ),
    "one class": (
        lambda r: with_column(r, "label", 1),
        dict.fromkeys(OF_ROWS),
    ),
    "damaged thumbnails": (lambda r: with_column(r, "thumbnail", b"xx"), {"report": None}),
}
"""How a folder is changed, and by command what its error says; None where there is none."""


@pytest.mark.parametrize("state", STATES)
def test_a_folder_that_is_not_what_it_was(state, odd, diffclf):
    alter, expected = STATES[state]
    alter(odd)
    before = {file.name for file in odd.rglob("*")}
    for command, said in expected.items():
        ended = diffclf(*COMMANDS[command], code=0 if said is None else 2)
        assert not list(odd.rglob("*.partial")), command
        if said is not None:
            assert said in ended.stderr, (command, ended.stderr)
            assert ended.stderr.startswith("diffclf: error: Expected") or "set 'test'" in said
            assert ended.stderr.count("\n") == 1, command
    if None not in expected.values():
        assert {file.name for file in odd.rglob("*")} == before


OUTPUTS = {
    "report": ("x.html", ["report", "r", "--output"]),
    "compare": ("x.csv", ["compare", "r", "--output"]),
    "costs": ("x.md", ["costs", "r", "--output"]),
    "classify": ("x.png", ["classify", "a.png", "--names=a,b", "--save-figure"]),
    "figures": ("", ["figures", "r", "--output"]),
    "robustness": ("", ["robustness", "r", "--output"]),
}


@pytest.mark.parametrize("command", OUTPUTS)
def test_outputs_that_cannot_be_written_are_refused_before_the_work(
    command, odd, diffclf, monkeypatch
):
    name, arguments = OUTPUTS[command]
    folder = odd.parent
    (folder / "a.png").touch()
    (folder / "file").touch()
    (folder / f"d{name}").mkdir()
    wrong = [f"file/{name or 'x'}", f"{'x' * 300}{name}"]
    wrong.append(f"d{name}" if name else "file")
    wrong += [".", "/"] if name else []
    if command in ("compare", "costs", "classify"):
        wrong.append("x.xyz")
    flag = arguments[-1]
    before = sorted(folder.rglob("*"))
    for output in wrong:
        said = diffclf(*arguments[:-1], f"{flag}={output}", code=2).stderr
        assert f"Expected {flag} to" in said, (output, said)
        assert said.count("\n") == 1
    monkeypatch.setattr("os.access", lambda *_: False)
    said = diffclf(*arguments[:-1], f"{flag}={name or 'new'}", code=2).stderr
    assert "not yours to write to" in said
    assert sorted(folder.rglob("*")) == before


def test_folders_of_outputs_are_made(odd, diffclf):
    for command in ("report", "compare", "costs"):
        name, arguments = OUTPUTS[command]
        diffclf(*arguments[:-1], f"--output=new/{command}/{name}")
        assert (odd.parent / "new" / command / name).stat().st_size
