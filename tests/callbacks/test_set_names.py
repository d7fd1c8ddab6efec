"""Sets and samples may be called anything, to the end of a run and in what reads it."""

import json

import pytest
import torch
from running import quiet_trainer
from stored_runs import rows
from torch.utils.data import DataLoader

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.callbacks import (
    EffectiveRobustness,
    ErrorFigure,
    ReportTable,
    ResultsWriter,
)
from diffclf_lightning.denoisers import GaussianDenoiser

NAMES = ["digits", "rotation_10", "", "a" * 300 + "/b", "[/red]", "\udcff", 7]


@pytest.fixture
def classifier():
    means = torch.tensor([-0.6, 0.0, 0.6]).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    return DiffusionClassifier(GaussianDenoiser(means, std=0.1), Full(3))


def images(classifier, name):
    denoiser = classifier.denoiser
    pixels = (denoiser.means.detach() + 1) / 2
    samples = [{"image": pixels[i], "label": i, "key": f"{name}\udcff{i}"} for i in range(3)]
    return DataLoader(samples, batch_size=2)


def evaluate(classifier, folder, names, *extras):
    trainer = quiet_trainer(callbacks=[*extras, ResultsWriter(folder)])
    trainer.test(classifier, {name: images(classifier, name) for name in names}, verbose=False)


def test_sets_of_any_name_are_stored_drawn_and_printed(classifier, tmp_path, recwarn, diffclf):
    folder = tmp_path / "r"
    evaluate(classifier, folder, NAMES, ErrorFigure(1), EffectiveRobustness(), ReportTable())
    content = json.loads((folder / "summary.json").read_text())["sets"]
    texts = [str(name).encode(errors="backslashreplace").decode() for name in NAMES]
    assert list(content) == texts
    assert [one["correct"] for one in content.values()] == [3] * len(NAMES)
    assert {row["set"] for row in rows(folder)} == set(texts)
    assert len({(row["set"], row["key"]) for row in rows(folder)}) == 3 * len(NAMES)
    assert len(list(folder.glob("errors-*.png"))) == len(NAMES)
    assert not [w for w in recwarn if "failed" in str(w.message)]
    evaluate(classifier, folder, NAMES)  # which evaluates nothing
    assert len(rows(folder)) == 3 * len(NAMES)
    for command in ("compare", "costs", "robustness"):
        ended = diffclf(command, folder)
        assert ended.returncode == 0, (command, ended.stderr)


def test_names_that_read_the_same_are_refused(classifier, tmp_path):
    with pytest.raises(InputError, match="different names, but got 1, '1'"):
        evaluate(classifier, tmp_path, [1, "1"])
