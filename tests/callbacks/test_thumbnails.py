"""Thumbnails that a run stores beside its rows."""

import pyarrow.parquet as pq
import pytest
import torch
from made import picture
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full, InputError
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.callbacks.thumbnails import COLUMN, SIDE, encoded
from diffclf_lightning.denoisers import GaussianDenoiser


@pytest.fixture
def classifier(seed):
    return DiffusionClassifier(GaussianDenoiser(torch.rand(3, 1, 6, 6)), Full(2))


@pytest.fixture
def data(classifier):
    images = torch.randint(256, (20, 1, 6, 6), dtype=torch.uint8)
    return TensorDataset(images, torch.arange(20) % 3)


def stored(classifier, data, folder, batch_size=3, **arguments):
    loader = DataLoader(data, batch_size=batch_size)
    trainer = quiet_trainer(callbacks=[ResultsWriter(folder, **arguments)])
    trainer.test(classifier, loader, verbose=False)
    rows = pq.read_table(folder / "images.parquet").to_pylist()
    return {int(row["key"]): row.get("thumbnail") for row in rows}


def test_small_images_are_stored_as_they_are(classifier, data, tmp_path):
    images = stored(classifier, data, tmp_path)
    assert sorted(images) == list(range(20))
    for key, file in images.items():
        assert (picture(file) == data.tensors[0][key, 0, :, :, None].numpy()).all()


@pytest.mark.parametrize(
    ("most", "kept"), [(0, []), (1, [0]), (4, [0, 5, 10, 15]), (99, range(20))]
)
def test_thumbnails_are_spread_over_the_set(classifier, data, tmp_path, most, kept):
    images = stored(classifier, data, tmp_path, thumbnails=most)
    assert [key for key, file in sorted(images.items()) if file is not None] == list(kept)


def test_a_run_goes_on_with_another_number(classifier, data, tmp_path):
    first = TensorDataset(*(values[:8] for values in data.tensors))
    before = stored(classifier, first, tmp_path)
    images = stored(classifier, data, tmp_path, thumbnails=0)
    assert {key for key, file in images.items() if file is not None} == set(before) == set(range(8))
    assert len(images) == 20


def test_rows_of_an_earlier_version_have_none(classifier, data, tmp_path):
    first = TensorDataset(*(values[:8] for values in data.tensors))
    stored(classifier, first, tmp_path)
    file = tmp_path / "images.parquet"
    pq.write_table(pq.read_table(file).drop_columns([COLUMN.name]), file)
    images = stored(classifier, data, tmp_path)
    assert {key for key, file in images.items() if file is None} == set(range(8))
    assert len(images) == 20


@pytest.mark.parametrize(("height", "width"), [(300, 150), (64, 64), (97, 96)])
def test_large_images_are_scaled_down_in_shape(height, width, seed):
    image = torch.linspace(0, 1, width).expand(3, height, width)
    pixels = picture(encoded(image))
    assert max(pixels.shape[:2]) == min(max(height, width), SIDE)
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(height / width, rel=0.02)
    shown = torch.from_numpy(pixels.copy()).float().mean(dim=(0, 2)) / 255
    expected = torch.linspace(0, 1, len(shown))
    assert (shown - expected).abs().max() < 0.05


def test_what_is_no_picture_has_no_thumbnail():
    assert encoded(torch.rand(5, 8, 8)) is None
    assert encoded(torch.rand(8, 8)) is None


def test_a_negative_number_is_refused():
    with pytest.raises(InputError, match="`thumbnails` of at least 0, but got -1"):
        ResultsWriter(thumbnails=-1)
