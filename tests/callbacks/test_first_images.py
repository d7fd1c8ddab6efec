"""The figure of errors shows the same whoever evaluated its images, and when."""

from types import SimpleNamespace

import pytest
import torch
from running import quiet_trainer
from stored_runs import gaussians
from torch.utils.data import DataLoader, Subset, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import ErrorFigure, ResultsWriter, figures
from diffclf_lightning.callbacks.first_images import COLUMNS, FirstImages


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn, a list a figure."""
    every = []
    draw = figures.draw_errors

    def remember(shown, names=None):
        every.append(
            [
                (image, *(columns[name][place] for name in COLUMNS))
                for image, columns, place in shown
            ]
        )
        return draw(shown, names)

    monkeypatch.setattr(figures, "draw_errors", remember)
    return every


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) or torch.allclose(a, b, equal_nan=True, rtol=0, atol=0)
        for mine, its in zip(one, other, strict=True)
        for a, b in zip(mine, its, strict=True)
    )


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(drawn, tmp_path, seed):
    denoiser = gaussians()
    labels = torch.arange(12) % 3
    images = ((denoiser.means.detach()[labels] + torch.randn(12, 1, 4, 4) / 3).clamp(-1, 1) + 1) / 2
    data = TensorDataset(images, labels)

    def run(dataset, folder, *callbacks):
        trainer = quiet_trainer(callbacks=[*callbacks, ResultsWriter(tmp_path / folder)])
        loader = DataLoader(dataset, batch_size=5)
        trainer.test(DiffusionClassifier(denoiser, Full(3)), loader, verbose=False)

    run(data, "whole", ErrorFigure(4))
    (whole,) = drawn
    assert [int(label) for *_, label in whole] == labels[:4].tolist()
    assert all(torch.equal(shown[0], image) for shown, image in zip(whole, images, strict=False))
    for stored in (range(2), range(12)):
        drawn.clear()
        folder = f"resumed-{len(stored)}"
        run(Subset(data, stored), folder)
        run(data, folder, ErrorFigure(4))
        assert same(drawn[-1], whole), stored
        assert (tmp_path / folder / "errors-test.png").is_file()


def test_images_of_several_ranks_come_in_the_order_of_the_set(monkeypatch):
    """Rank ``r`` of three has the images ``r``, ``r + 3``, ..."""
    every = []
    for rank in range(3):
        indices = list(range(rank, 11, 3))
        first = FirstImages(4, 3)
        for batch in (indices[:2], indices[2:]):
            taken = [(row, str(index)) for row, index in enumerate(batch)]
            current = SimpleNamespace(name="set", taken=taken)
            first.add({"image": torch.tensor(batch).reshape(-1, 1, 1, 1)}, None, current)
        every.append(first._shown)
    monkeypatch.setattr("diffclf_lightning.callbacks.first_images.of_all_ranks", lambda _: every)
    shown = FirstImages(4, 3).of_all_ranks()["set"]
    assert [int(one.image) for one in shown] == [0, 1, 2, 3]
    assert [one.key for one in shown] == ["0", "1", "2", "3"]
