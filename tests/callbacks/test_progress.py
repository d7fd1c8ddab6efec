import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Racing, Staged
from diffclf_lightning.callbacks import EvaluationProgress, progress
from diffclf_lightning.denoisers import GaussianDenoiser


class Bar:
    """Records what a bar of tqdm would be told."""

    def __init__(self, total, **kwargs):
        self.total, self.done, self.texts = total, [], []
        bars.append(self)

    def update(self, count):
        self.done.append(count)

    def set_description_str(self, text, refresh):
        self.texts.append(text)

    set_postfix_str = set_description_str

    def close(self):
        self.closed = True


bars: list[Bar] = []


def run(monkeypatch, fn, strategy, images=6, batch=6, sets=1):
    monkeypatch.setattr(progress, "tqdm", Bar)
    bars.clear()
    denoiser = GaussianDenoiser(torch.rand(5, 1, 4, 4))
    labels = torch.zeros(images).long()
    loaders = {  # of which the later ones are greyer, and harder
        f"set {n}": DataLoader(
            TensorDataset(torch.rand(images, 1, 4, 4) / (1 + 3 * n), labels), batch_size=batch
        )
        for n in range(sets)
    }
    classifier = DiffusionClassifier(denoiser, strategy, evaluations_per_batch=10)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[EvaluationProgress()],
    )  # fmt: skip
    getattr(trainer, fn)(classifier, loaders if sets > 1 else loaders["set 0"])
    (bar,) = bars
    return bar, strategy.evaluations(5) * images


def test_bar_moves_inside_a_batch(monkeypatch, seed):
    bar, evaluations = run(monkeypatch, "test", Staged((2, 6), (2, 1)))
    assert bar.total == sum(bar.done) == evaluations
    assert len(bar.done) >= evaluations / 10
    assert max(bar.done) <= 10
    assert bar.texts[0] == "test"
    assert bar.texts[-1].startswith("accuracy ")
    assert bar.closed


def test_bar_of_predict(monkeypatch, seed):
    bar, evaluations = run(monkeypatch, "predict", Staged((2, 6), (2, 1)))
    assert bar.total == sum(bar.done) == evaluations


def test_the_bar_follows_a_race(monkeypatch, seed):
    """What is to do is what images took so far, those of the same set where there are some."""
    seen = []
    ended = EvaluationProgress.on_test_batch_end

    def recorded(self, *args, **kwargs):
        ended(self, *args, **kwargs)
        seen.append((sum(bars[0].done), bars[0].total))

    monkeypatch.setattr(EvaluationProgress, "on_test_batch_end", recorded)
    race = Racing(level=0.4, max_trials=100)
    bar, most = run(monkeypatch, "test", race, images=60, batch=20, sets=2)
    done, totals = zip(*seen, strict=True)
    assert len(seen) == 6
    for batches, (took, total) in enumerate(seen[:3], start=1):
        assert total == pytest.approx(took + took / batches * (6 - batches), abs=1)
    for batches, (took, total) in enumerate(seen[3:], start=1):
        assert total == pytest.approx(took + (took - done[2]) / batches * (3 - batches), abs=1)
    assert done[2] != done[5] - done[2]
    assert bar.total == totals[-1] == sum(bar.done) < most


def test_the_bar_says_at_most_until_an_estimate_is_there(monkeypatch, seed):
    for fn in ("test", "predict"):
        bar, _ = run(monkeypatch, fn, Racing(max_trials=9), images=6, batch=3)
        assert bar.texts[0] == "at most"
        assert bar.texts.count("at most") == 1
        assert bar.texts[-1].startswith("accuracy " if fn == "test" else "")
    bar, _ = run(monkeypatch, "test", Staged((2, 6), (2, 1)))
    assert "at most" not in bar.texts
