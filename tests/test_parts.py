"""Parts of a run on the disk: durable, numbered from the largest, and none lost."""

import errno
import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_runs import gaussians, rows, run, their_means

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.results import FolderLock, RunFolder
from diffclf_lightning.results.description import CANDIDATES, LAYOUT, MACHINES
from diffclf_lightning.results.parts import Parts
from diffclf_lightning.results.tables import batches_of, writer


@pytest.fixture
def denoiser(seed):
    return gaussians()


@pytest.fixture
def data(denoiser):
    return their_means(denoiser)


def table(*keys):
    return pa.table({"set": ["s"] * len(keys), "key": list(keys), "n": range(len(keys))})


def path_of(descriptor):
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def keys_of(files):
    return [pq.read_table(file)["key"].to_pylist() for file in files]


class Killed(BaseException):
    """The end of a process, more or less."""


def cut_off(classifier, data, folder, monkeypatch, batches=2):
    """A run that ends after some batches."""
    add, done = RunFolder.add, []

    def counted(self, *args):
        if len(done) == batches:
            raise Killed
        add(self, *args)
        done.append(args)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "add", counted)
        with pytest.raises(Killed):
            run(classifier, data, folder)
    return sorted((folder / "parts").iterdir())


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_numbers_go_on_from_the_largest(tmp_path, missing):
    first = Parts(tmp_path)
    for key in "abc":
        first.add(0, table(key))
    first.files()[missing].unlink()
    again = Parts(tmp_path)
    again.begin()
    again.add(0, table("d"))
    left = [[key] for place, key in enumerate("abc") if place != missing]
    assert keys_of(again.files()) == [*left, ["d"]]


def test_parts_of_several_ranks_and_of_an_older_version_come_before_later_ones(tmp_path):
    for name in ("01764400000000000000-rank0", "01764400000000000001-rank1"):
        pq.write_table(table(name), tmp_path / f"{name}.parquet")
    parts = [Parts(tmp_path), Parts(tmp_path)]
    for one in parts:
        one.begin()
    for rank, one in enumerate(parts):
        one.add(rank, table(f"new {rank}"))
    assert keys_of(parts[0].files())[2:] == [["new 0"], ["new 1"]]


def test_a_part_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    """Its bytes, then its name, then the folder that has the name."""
    parts, did = Parts(tmp_path / "parts"), []
    parts.begin()
    fsync, replace = os.fsync, type(tmp_path).replace

    def synced(descriptor):
        did.append(path_of(descriptor))
        fsync(descriptor)

    def replaced(self, target):
        did.append("named")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(type(tmp_path), "replace", replaced)
    parts.add(0, table("a"))
    (file,) = parts.files()
    assert did[0].startswith(str(file))
    assert did[1:] == ["named", str(tmp_path / "parts")]


def test_a_damaged_part_is_named_and_its_images_are_evaluated_again(
    denoiser, data, tmp_path, monkeypatch, recwarn
):
    whole = run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path / "whole")
    first, _ = cut_off(DiffusionClassifier(denoiser, Full(3)), data, tmp_path / "cut", monkeypatch)
    content = bytearray(first.read_bytes())
    place = pq.ParquetFile(first).metadata.row_group(0).column(1).data_page_offset + 20
    content[place] ^= 0xFF  # in a page: the end of the file, which is read first, is whole
    first.write_bytes(content)
    again = DiffusionClassifier(denoiser, Full(3))
    counted = []
    again.on_evaluations = counted.append
    report = run(again, data, tmp_path / "cut")
    said = [str(one.message) for one in recwarn if first.name in str(one.message)]
    assert "again" in said[0]
    assert f"It is {first.name}.damaged now" in said[0]
    assert sum(counted) == 9 * 7  # five of twelve were stored, whole
    assert (report.correct, report.total) == (whole.correct, 12)
    assert [row["scores"] for row in sorted(rows(tmp_path / "cut"), key=_key)] == [
        row["scores"] for row in sorted(rows(tmp_path / "whole"), key=_key)
    ]
    assert [file.name for file in (tmp_path / "cut/parts").iterdir()] == [f"{first.name}.damaged"]
    assert RunFolder(tmp_path / "cut").unfinished() is None


def _key(row):
    return row["key"]


def test_only_parts_that_were_read_are_removed(denoiser, data, tmp_path, monkeypatch):
    """Another run's, which come meanwhile, stay."""
    files = cut_off(DiffusionClassifier(denoiser, Full(3)), data, tmp_path, monkeypatch)
    folder, latest = RunFolder(tmp_path), RunFolder._latest

    def slow(self, *args, **kwargs):
        yield from latest(self, *args, **kwargs)
        shutil.copy(files[0], tmp_path / "parts/0000000099-rank0.parquet")

    monkeypatch.setattr(RunFolder, "_latest", slow)
    folder.gather()
    assert len(rows(tmp_path)) == 10
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["0000000099-rank0.parquet"]
    assert folder.unfinished() is not None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_disk_that_fails_costs_one_batch(denoiser, data, tmp_path, monkeypatch, code):
    fsync, count = os.fsync, []

    def failing(descriptor):
        if "rank0" in path_of(descriptor):
            count.append(1)
            if len(count) == 3:
                raise OSError(code, os.strerror(code))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(InputError, match=os.strerror(code)):
            run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    assert sum(map(len, RunFolder(tmp_path).batches())) == 10
    assert not list(tmp_path.rglob("*.partial"))
    assert not (tmp_path / ".lock").exists()
    assert run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path).total == 12


def test_a_run_that_was_taken_over_after_its_last_batch_gathers_nothing(
    denoiser, data, tmp_path, monkeypatch
):
    """Another one reads the parts then."""
    checks = []

    def check(self):
        checks.append(self)
        if len(checks) > 3:
            raise InputError("taken over")

    monkeypatch.setattr(FolderLock, "check", check)
    with pytest.raises(InputError, match="taken over"):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    assert len(Parts(tmp_path / "parts").files()) == 3
    assert not (tmp_path / "images.parquet").exists()


def test_a_path_that_is_a_file_is_refused(denoiser, data, tmp_path):
    (tmp_path / "f").write_text("mine")
    for folder in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(InputError, match="to be a folder"):
            run(DiffusionClassifier(denoiser, Full(3)), data, folder)
    assert (tmp_path / "f").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table", None])
def test_damaged_rows_are_one_error_and_stay(denoiser, data, tmp_path, content):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    file = tmp_path / "images.parquet"
    if content is None:
        pq.write_table(pa.table({"a": [1]}), file)
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"images\.parquet"):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    assert file.read_bytes() == before
    with pytest.raises(InputError, match=r"images\.parquet"):
        list(RunFolder(tmp_path).batches())


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "7"])
def test_rows_of_which_nothing_says_what_they_are_of_are_not_mixed(
    denoiser, data, tmp_path, content, monkeypatch
):
    """Whether they are gathered or not."""
    cut_off(DiffusionClassifier(denoiser, Full(3)), data, tmp_path / "cut", monkeypatch)
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path / "whole")
    for folder in (tmp_path / "cut", tmp_path / "whole"):
        file = folder / "run.json"
        file.unlink()
        if content is not None:
            file.write_text(content)
        with pytest.raises(InputError, match=r"run\.json.*`results\.folder`"):
            run(DiffusionClassifier(denoiser, Full(3)), data, folder)


@pytest.mark.parametrize("content", ["{}", f'{{"{MACHINES}": 1}}', f'{{"{CANDIDATES}": [1]}}'])
def test_a_description_that_has_been_changed_is_not_taken_for_the_same(
    denoiser, data, tmp_path, content
):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({**json.loads(content), "layout": LAYOUT}))
    with pytest.raises(InputError, match=r"`results\.folder`"):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)


@pytest.mark.parametrize(
    ("name", "values"), [("key", range(12)), ("label", ["a"] * 12), ("label", None)]
)
def test_rows_of_other_columns_are_one_error_and_stay(denoiser, data, tmp_path, name, values):
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    file = tmp_path / "images.parquet"
    rest = pq.read_table(file).drop_columns([name])
    changed = rest if values is None else rest.append_column(name, pa.array(values))
    pq.write_table(changed, file)
    with pytest.raises(InputError, match=name):
        run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    assert pq.read_table(file) == changed


def test_what_killed_runs_left_is_cleared_away(denoiser, data, tmp_path):
    (tmp_path / "parts").mkdir()
    left = ["run.json.7.partial", ".seen-ab", "parts/0000000001-rank0.parquet.7.partial"]
    for name in left:
        (tmp_path / name).touch()
    run(DiffusionClassifier(denoiser, Full(3)), data, tmp_path)
    found = {file.name for file in tmp_path.iterdir()}
    assert found == {"images.parquet", "run.json", "summary.json"}


def test_a_bit_that_is_not_what_it_was_is_noticed_wherever_it_is(tmp_path):
    """Of all bytes, among them those that say what is where and how columns are called."""
    rows = table("a", "b", "c")
    file = tmp_path / "part.parquet"
    with writer(file, rows.schema) as opened:
        opened.write_table(rows)
    whole, noticed = file.read_bytes(), 0
    for place, byte in enumerate(whole):
        file.write_bytes(whole[:place] + bytes([byte ^ 1]) + whole[place + 1 :])
        try:
            assert pa.concat_tables(batches_of(file)) == rows
        except InputError:
            noticed += 1
    assert noticed > len(whole) / 2
