"""Rows and summary agree: a set that is not what it was is refused, or replaced by argument."""

import json

import pyarrow.parquet as pq
import pytest
from lightning.pytorch import Trainer
from stored_runs import gaussians, rows, their_means
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.results import RunFolder


@pytest.fixture
def denoiser(seed):
    return gaussians()


@pytest.fixture
def data(denoiser):
    return their_means(denoiser)


class Named(Dataset):
    """Samples with keys of their own."""

    def __init__(self, data, names):
        self.data, self.names = data, names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, place):
        image, label = self.data[place]
        return {"image": image, "label": label, "key": self.names[place]}


class Streamed(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return iter([self.data[place] for place in range(len(self.data))])


def outcome(denoiser, data, folder, overwrite=False, trials=3, limit=1.0):
    """The summary, the report, and the number of evaluations of one run."""
    classifier, counted = DiffusionClassifier(denoiser, Full(trials)), []
    classifier.on_evaluations = counted.append
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, limit_test_batches=limit,
        callbacks=[ResultsWriter(folder, overwrite=overwrite)],
    )  # fmt: skip
    trainer.test(classifier, DataLoader(data, batch_size=5), verbose=False)
    summary = json.loads((folder / "summary.json").read_text())["sets"]["test"]
    assert summary["total"] == classifier.reports["test"].total == len(rows(folder))
    assert summary["correct"] == sum(r["label"] == r["prediction"] for r in rows(folder))
    return summary["total"], sum(counted)


def test_a_smaller_set_is_refused_before_its_first_image(denoiser, data, tmp_path):
    outcome(denoiser, data, tmp_path)
    before = (tmp_path / "summary.json").read_text()
    smaller = Subset(data, range(7))
    with pytest.raises(InputError, match=r"has 7 samples and the folder 12.*`results\.overwrite`"):
        outcome(denoiser, smaller, tmp_path)
    assert len(rows(tmp_path)) == 12
    assert (tmp_path / "summary.json").read_text() == before
    assert outcome(denoiser, smaller, tmp_path, overwrite=True) == (7, 0)


def test_a_set_that_has_grown_goes_on(denoiser, data, tmp_path):
    outcome(denoiser, Subset(data, range(7)), tmp_path)
    assert outcome(denoiser, data, tmp_path) == (12, 5 * 9)


@pytest.mark.parametrize("limit", [1.0, 3])
def test_other_files_in_the_same_folder_are_refused(denoiser, data, tmp_path, limit):
    """As many, under other names; also where the batches of a limit are all that there are."""
    names = [f"{place}.png" for place in range(12)]
    outcome(denoiser, Named(data, names), tmp_path)
    renamed = [*names[:8], "a.png", "b.png", "c.png", "d.png"]
    with pytest.raises(InputError, match=r"no samples for 4 of its rows \('10\.png', .*overwrite"):
        outcome(denoiser, Named(data, renamed), tmp_path, limit=limit)
    assert len(list(RunFolder(tmp_path).batches([]))) > 0
    # What was evaluated for it is stored.
    assert outcome(denoiser, Named(data, renamed), tmp_path, overwrite=True) == (12, 0)
    assert {row["key"] for row in rows(tmp_path)} == set(renamed)


def test_other_images_under_the_same_names_are_replaced_by_argument(denoiser, data, tmp_path):
    names = [f"{place}.png" for place in range(12)]
    outcome(denoiser, Named(data, names), tmp_path)
    exchanged = [names[1], names[0], *names[2:]]
    with pytest.raises(InputError, match=r"other pixels or another label for image '1\.png'"):
        outcome(denoiser, Named(data, exchanged), tmp_path)
    assert outcome(denoiser, Named(data, exchanged), tmp_path, overwrite=True) == (12, 2 * 9)
    assert outcome(denoiser, Named(data, exchanged), tmp_path) == (12, 0)


def test_rows_of_a_run_of_some_batches_count_with_earlier_ones(denoiser, data, tmp_path):
    assert outcome(denoiser, data, tmp_path, limit=1) == (5, 5 * 9)
    assert outcome(denoiser, data, tmp_path) == (12, 7 * 9)
    assert outcome(denoiser, data, tmp_path, limit=1) == (12, 0)


def test_a_limit_of_batches_lets_no_rows_of_other_samples_count(denoiser, data, tmp_path):
    """Whether all batches come in spite of it, or rows would be more than the set has samples."""
    names = [f"{place}.png" for place in range(12)]
    renamed = [*names[:8], "a.png", "b.png", "c.png", "d.png"]
    outcome(denoiser, Named(data, names), tmp_path)
    with pytest.raises(InputError, match="no samples for 4 of its rows"):
        outcome(denoiser, Named(data, renamed), tmp_path, limit=100)
    assert outcome(denoiser, Named(data, renamed), tmp_path, overwrite=True, limit=100) == (12, 0)

    others = [f"other-{name}" for name in names]
    with pytest.raises(InputError, match=r"12 samples, and rows of 17 would.*of all batches"):
        outcome(denoiser, Named(data, others), tmp_path, limit=1)
    assert outcome(denoiser, Named(data, others), tmp_path, overwrite=True) == (12, 7 * 9)


@pytest.mark.parametrize("ended", [True, False])
def test_a_set_whose_run_did_not_end_is_not_in_the_summary(denoiser, data, tmp_path, ended):
    """Its rows are there, and more than the summary of an earlier run counted."""

    class Failing(Named):
        def __getitem__(self, place):
            if place == 11:
                raise OSError("the disk is gone")
            return super().__getitem__(place)

    def test(name, dataset):
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False,
            callbacks=[ResultsWriter(tmp_path)],
        )  # fmt: skip
        classifier = DiffusionClassifier(denoiser, Full(3))
        trainer.test(classifier, {name: DataLoader(dataset, batch_size=5)}, verbose=False)
        return json.loads((tmp_path / "summary.json").read_text())["sets"]

    names = [f"{place}.png" for place in range(12)]
    if ended:
        test("own", Named(data, names[:7]))
    with pytest.raises(OSError, match="disk is gone"):
        test("own", Failing(data, names))
    with pytest.warns(UserWarning, match="set 'own' in .* are of a run that did not end"):
        summary = test("other", Named(data, names[:4]))
    assert {name: one["total"] for name, one in summary.items()} == {"other": 4}
    summary = test("own", Named(data, names))
    assert {name: one["total"] for name, one in summary.items()} == {"other": 4, "own": 12}
    assert len(rows(tmp_path)) == 16


def test_predictions_of_samples_that_are_gone_are_refused_or_removed(denoiser, data, tmp_path):
    def predict(names, overwrite=False):
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False,
            callbacks=[ResultsWriter(tmp_path, overwrite=overwrite)],
        )  # fmt: skip
        loader = DataLoader(Named(data, names), batch_size=5)
        trainer.predict(DiffusionClassifier(denoiser, Full(3)), loader)

    names = [f"{place}.png" for place in range(12)]
    renamed = [*names[:8], "a.png", "b.png", "c.png", "d.png"]
    predict(names)
    with pytest.raises(InputError, match="no samples for 4 of its rows"):
        predict(renamed)
    for now in (renamed, names[:7]):
        predict(now, overwrite=True)
        assert sorted(row["key"] for row in rows(tmp_path)) == sorted(now)


def test_a_stream_counts_once_whatever_ranks_it_came_from_before(denoiser, data, tmp_path):
    """Rows of two ranks, gone on with by one: names of the order alone mean nothing then."""
    stream = Streamed(data)
    outcome(denoiser, stream, tmp_path)
    table = pq.read_table(tmp_path / "images.parquet")
    renamed = [f"unordered-{place % 2}-{place // 2}" for place in range(12)]
    place = table.schema.get_field_index("key")
    pq.write_table(table.set_column(place, "key", [renamed]), tmp_path / "images.parquet")
    assert outcome(denoiser, stream, tmp_path) == (12, 12 * 9)


def predicted(denoiser, data, folder, overwrite=False):
    """Keys of the rows after ``predict``, which makes no report."""
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[ResultsWriter(folder, overwrite=overwrite)],
    )  # fmt: skip
    loader = DataLoader(data, batch_size=5)
    trainer.predict(DiffusionClassifier(denoiser, Full(3)), loader, return_predictions=False)
    return sorted(row["key"] for row in rows(folder))


def test_rows_of_predictions_are_those_of_the_set_too(denoiser, data, tmp_path):
    names = [f"{place:02d}.png" for place in range(12)]
    assert predicted(denoiser, Named(data, names), tmp_path) == names
    renamed = [*names[:10], "a.png", "b.png"]
    with pytest.raises(InputError, match=r"no samples for 2 of its rows \('10\.png', .*overwrite"):
        predicted(denoiser, Named(data, renamed), tmp_path)
    assert predicted(denoiser, Named(data, renamed), tmp_path, overwrite=True) == renamed


def test_another_configuration_is_replaced_by_argument(denoiser, data, tmp_path, recwarn):
    outcome(denoiser, data, tmp_path)
    with pytest.raises(InputError, match=r"`results\.overwrite`"):
        outcome(denoiser, data, tmp_path, trials=4)
    assert outcome(denoiser, data, tmp_path, trials=4, overwrite=True) == (12, 12 * 12)
    assert any("is replaced" in str(warning.message) for warning in recwarn)
    # The same command goes on, and replaces nothing.
    assert outcome(denoiser, data, tmp_path, trials=4, overwrite=True) == (12, 0)


def test_what_was_made_of_results_that_are_replaced_is_named(denoiser, data, tmp_path):
    outcome(denoiser, data, tmp_path)
    for name in ("calibration.json", "score-l1.json", "report.html", "notes.txt"):
        (tmp_path / name).write_text("{}")
    named = r"calibration\.json, score-l1\.json, report\.html, which stay"
    with pytest.warns(UserWarning, match=named):
        outcome(denoiser, data, tmp_path, trials=4, overwrite=True)
    assert (tmp_path / "calibration.json").exists()


@pytest.mark.parametrize("damage", ["images.parquet", "run.json"])
def test_damaged_files_are_replaced_by_argument(denoiser, data, tmp_path, damage):
    outcome(denoiser, data, tmp_path)
    (tmp_path / damage).write_text("{")
    assert outcome(denoiser, data, tmp_path, overwrite=True) == (12, 12 * 9)


def test_a_summary_that_would_not_be_that_of_the_rows_is_not_written(
    denoiser, data, tmp_path, monkeypatch
):
    gather = RunFolder.gather

    def losing(self, *args):
        gather(self, *args)
        pq.write_table(pq.read_table(self.images).slice(1), self.images)

    monkeypatch.setattr(RunFolder, "gather", losing)
    with pytest.raises(InputError, match=r"Expected 12 rows of set 'test'.*but got 11"):
        outcome(denoiser, data, tmp_path)
    assert not (tmp_path / "summary.json").exists()
