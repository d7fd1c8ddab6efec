import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Staged
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


def run(monkeypatch, fn, strategy, images=6, **kwargs):
    monkeypatch.setattr(progress, "tqdm", Bar)
    bars.clear()
    denoiser = GaussianDenoiser(torch.rand(5, 1, 4, 4))
    data = TensorDataset(torch.rand(images, 1, 4, 4), torch.zeros(images).long())
    classifier = DiffusionClassifier(denoiser, strategy, evaluations_per_batch=10)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[EvaluationProgress()],
    )  # fmt: skip
    getattr(trainer, fn)(classifier, DataLoader(data, batch_size=images))
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
