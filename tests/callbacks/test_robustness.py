"""EffectiveRobustness: what it logs at the end of a test."""

import pytest
import torch
from lightning.pytorch import Trainer
from scipy.special import expit, logit
from scipy.stats import linregress
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.callbacks import EffectiveRobustness, ResultsWriter
from diffclf_lightning.denoisers import GaussianDenoiser

LINE = [(0.4, 0.3), (0.6, 0.5), (0.7, 0.62), (0.8, 0.7), (0.9, 0.85)]


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("model,id,ood\n" + "".join(f"m{x},{x},{y}\n" for x, y in LINE))
    return str(file)


@pytest.fixture
def loaders(seed):
    denoiser = GaussianDenoiser(torch.tensor([-0.3, 0.0, 0.3]).reshape(3, 1, 1, 1), 0.3)
    labels = torch.arange(3).repeat(40)
    x = denoiser.means.detach()[labels]
    sets = {
        name: TensorDataset(((x + s * torch.randn_like(x)).clamp(-1, 1) + 1) / 2, labels)
        for name, s in (("id", 0.2), ("ood", 0.4))
    }
    return denoiser, {name: DataLoader(data, batch_size=50) for name, data in sets.items()}


def run(loaders, *callbacks):
    denoiser, sets = loaders
    classifier = DiffusionClassifier(denoiser, Full(10))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=list(callbacks)
    )
    logged = trainer.test(classifier, sets, verbose=False)
    return classifier.reports, {k: v for values in logged for k, v in values.items()}


def test_values_are_logged_beside_the_accuracies(table, loaders, tmp_path):
    callback = EffectiveRobustness([table], ["id:ood"], folder=tmp_path / "out")
    reports, logged = run(loaders, callback)
    line = linregress(*map(logit, zip(*LINE, strict=True)))
    predicted = expit(line.intercept + line.slope * logit(reports["id"].accuracy))
    expected = reports["ood"].accuracy - predicted
    assert logged["ood/effective_robustness"] == pytest.approx(expected, abs=1e-6)
    low, high = (logged[f"ood/effective_robustness_{end}"] for end in ("lower", "upper"))
    assert low < expected < high
    assert logged["ood/accuracy"] == pytest.approx(reports["ood"].accuracy)
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "robustness.csv", "robustness.json", "robustness-mine.png",
    }  # fmt: skip


def test_sets_of_other_classes_are_refused(table, loaders):
    denoiser, sets = loaders
    sets["ood"].dataset.candidate_labels = [0, 1, 2]
    evaluated = []
    denoiser.predict = evaluated.append
    with pytest.raises(InputError, match="other classes"):
        run((denoiser, sets), EffectiveRobustness([table], ["id:ood"]))
    with pytest.raises(InputError, match="both sets of a pair"):
        run((denoiser, sets), EffectiveRobustness([table], ["id:other"]))
    assert not evaluated


def test_a_run_that_cannot_be_compared_at_its_end_keeps_its_results(tmp_path, loaders):
    """All baselines have one accuracy: known before, but no reason to lose a run."""
    file = tmp_path / "one.csv"
    file.write_text("model,digits,noise\nm,0.5,0.4\nn,0.5,0.5\n")
    denoiser, sets = loaders
    named = {"digits": sets["id"], "noise": sets["ood"]}
    callback = EffectiveRobustness([str(file)], folder=tmp_path / "out")
    with pytest.warns(UserWarning, match="There is no effective robustness"):
        reports, _ = run((denoiser, named), callback, ResultsWriter(tmp_path / "r"))
    assert not (tmp_path / "out").exists()
    assert set(reports) == {"digits", "noise"}
    assert (tmp_path / "r/summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baselines": ["absent"]}, "'absent'"),
        ({"pairs": ["id"]}, "ID:OOD@BREAK"),
        ({"scale": "log"}, "`scale`"),
        ({"min_r_squared": 2}, "`min_r_squared`"),
    ],
)
def test_wrong_arguments_are_named_before_the_run(arguments, message):
    with pytest.raises(InputError, match=message):
        EffectiveRobustness(**arguments)
