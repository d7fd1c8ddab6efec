"""Batches of a user's own loaders: mappings and sequences with whatever else they carry."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.answers import as_batch, batch_size, select
from diffclf_lightning.denoisers import GaussianDenoiser

LEVELS = torch.tensor([-1.0, 0.0, 1.0])
LABELS = torch.arange(3).repeat(4)
IMAGES = ((LEVELS + 1) / 2)[LABELS].reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


class Rich(Dataset):
    """Samples as mappings, with metadata of all kinds, some before the image."""

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        return {
            "weights": torch.ones(7),
            "camera": {"name": "x", "matrix": torch.eye(3), "history": [1, 2]},
            "tags": ["a", "b"],
            "image": IMAGES[index],
            "label": int(LABELS[index]),
            "taken": f"day {index}",
        }


def with_constants(samples):
    """A collate function that adds what is no sample's own."""
    batch = torch.utils.data.default_collate(samples)
    return {"class_weights": torch.ones(3), "version": 2, "names": ["ant", "bee"], **batch}


LOADERS = {
    "mapping": DataLoader(Rich(), batch_size=5),
    "mapping with constants": DataLoader(Rich(), batch_size=5, collate_fn=with_constants),
    "triple": DataLoader(TensorDataset(IMAGES, LABELS, torch.rand(12, 3)), batch_size=5),
    "five": DataLoader(TensorDataset(IMAGES, LABELS, *[torch.rand(12)] * 3), batch_size=5),
    "pair": DataLoader(TensorDataset(IMAGES, LABELS), batch_size=5),
}


@pytest.fixture
def classifier():
    means = LEVELS.reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    return DiffusionClassifier(GaussianDenoiser(means, 0.1), Full(2))


@pytest.fixture
def trainer():
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


@pytest.mark.parametrize("kind", LOADERS)
def test_batches_with_further_entries_are_tested_and_predicted(classifier, trainer, kind):
    trainer.test(classifier, LOADERS[kind], verbose=False)
    assert (classifier.reports["test"].total, classifier.reports["test"].accuracy) == (12, 1)
    batches = trainer.predict(classifier, LOADERS[kind])
    assert torch.equal(torch.cat([b["prediction"] for b in batches]), LABELS)


@pytest.mark.parametrize("wrap", [tuple, list])
def test_images_alone_are_predicted(classifier, trainer, wrap):
    loader = DataLoader(IMAGES, batch_size=5, collate_fn=lambda s: wrap([torch.stack(s)]))
    batches = trainer.predict(classifier, loader)
    assert torch.equal(torch.cat([b["prediction"] for b in batches]), LABELS)


def test_what_is_no_image_or_label_of_a_sequence_is_left_out():
    assert set(as_batch((IMAGES, LABELS, "more", {"x": 1}))) == {"image", "label"}
    assert set(as_batch([IMAGES])) == {"image"}


def test_rows_are_chosen_by_the_number_of_images():
    batch = {"weights": torch.ones(3), "names": ["a"], "image": IMAGES, "label": LABELS}
    assert batch_size(batch) == 12
    chosen = select(batch, [1, 5])
    assert torch.equal(chosen["label"], LABELS[[1, 5]])
    assert torch.equal(chosen["weights"], batch["weights"])
