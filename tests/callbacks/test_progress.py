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


def run(monkeypatch, fn, strategy, images=6, batch=6):
    monkeypatch.setattr(progress, "tqdm", Bar)
    bars.clear()
    denoiser = GaussianDenoiser(torch.rand(5, 1, 4, 4))
    data = TensorDataset(torch.rand(images, 1, 4, 4), torch.zeros(images).long())
    classifier = DiffusionClassifier(denoiser, strategy, evaluations_per_batch=10)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[EvaluationProgress()],
    )  # fmt: skip
    getattr(trainer, fn)(classifier, DataLoader(data, batch_size=batch))
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
    """After each batch what is to do is what images took so far; at the end all is done."""
    totals = []
    ended = EvaluationProgress.on_test_batch_end

    def recorded(self, *args, **kwargs):
        ended(self, *args, **kwargs)
        totals.append(bars[0].total)

    monkeypatch.setattr(EvaluationProgress, "on_test_batch_end", recorded)
    bar, most = run(monkeypatch, "test", Racing(level=0.4, max_trials=100), images=60, batch=20)
    assert bar.total == sum(bar.done) < most / 2
    assert all(total < most / 2 for total in totals)
    assert len(totals) == 3
