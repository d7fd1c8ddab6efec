"""The learning rate ends with the training, however its end is given."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from diffclf_lightning import InputError, optimization
from diffclf_lightning.optimization import WarmupCosine, make_optimizers


class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.rates = []

    def training_step(self, batch, batch_idx):
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return (self.weight * batch).sum()

    def configure_optimizers(self):
        return make_optimizers(
            self, lambda p: torch.optim.SGD(p, lr=2.0), lambda o: WarmupCosine(o, 0.25), 0
        )


def rates(**ends):
    model = Line()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **ends,
    )  # fmt: skip
    trainer.fit(model, DataLoader(torch.ones(8), batch_size=2))
    return torch.tensor(model.rates)


@pytest.mark.parametrize("ends", [{"max_steps": 40, "max_epochs": -1}, {"max_epochs": 10}])
def test_it_rises_and_falls_to_zero_over_the_steps(ends):
    found = rates(**ends)
    assert len(found) == 40
    top = found.argmax()
    assert found[top] == pytest.approx(2.0, abs=0.02)
    assert 8 <= top <= 10
    assert (found[: top + 1].diff() > 0).all()
    assert (found[top:].diff() < 0).all()
    assert found[0] == pytest.approx(2 / 10, rel=0.01)
    assert found[-1] < 0.01


def test_it_ends_with_the_time(monkeypatch):
    """The clock is looked at every 20 steps; after five looks the time is over."""
    shares = iter(torch.linspace(0, 1, 6).tolist() + [1.0] * 1000)
    monkeypatch.setattr(optimization, "_share", lambda timer: next(shares))
    found = rates(max_steps=200, max_epochs=-1, max_time={"seconds": 100})
    assert len(found) == 200
    assert (found[120:] < 1e-6).all()
    assert found[25] > 1.5


def test_training_without_an_end_is_named():
    with pytest.raises(InputError, match="`max_time`"):
        rates(max_epochs=-1)


def test_a_state_holds_no_trainer():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    assert "_trainer" not in WarmupCosine(optimizer).state_dict()
    with pytest.raises(InputError, match="`warmup`"):
        WarmupCosine(optimizer, 1.0)
