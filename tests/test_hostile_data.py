"""Data, tables and configurations of strangers: nothing of them is run or written elsewhere."""

import json

import hostile
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_clip
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from stored_runs import gaussians, run, their_means

from diffclf_lightning import DiffusionClassifier, InputError
from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.baselines.open_clip import OpenClipZeroShot
from diffclf_lightning.calibration import Calibration
from diffclf_lightning.cli import main
from diffclf_lightning.datamodules import CIFAR10, FGVCAircraft, ImageFolder
from diffclf_lightning.datamodules.composition import _rows
from diffclf_lightning.report.gallery import _is_coarse
from diffclf_lightning.shortlists.label_tree import LabelTree

KINDS = (hostile.pickled, hostile.saved, hostile.saved_before)


@pytest.fixture
def marker(tmp_path):
    """What a hostile file would make; that it is not there is checked at the end."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("kind", [*KINDS, hostile.scripted])
@pytest.mark.parametrize("command", ["test", "fit"])
def test_checkpoints_of_the_command_line(command, kind, marker, diffclf, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(kind(marker))
    config = {"test": "digits", "fit": "digits_train"}[command]
    ended = diffclf(command, "--config", config, "--ckpt_path", "a.ckpt", code=2)
    assert ended.stderr.splitlines()[-1].startswith("diffclf: error: Expected a checkpoint")


def test_checkpoints_of_addresses(marker, diffclf, tmp_path, monkeypatch):
    """Which Lightning would unpickle."""
    asked = []

    def fetched(*place, map_location=None, weights_only=None):
        asked.append((place[-1], weights_only))
        raise InputError("Expected to get here, but got no further.")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetched)
    monkeypatch.setattr(TorchCheckpointIO, "load_checkpoint", fetched)
    address = "http://127.0.0.1/a.ckpt"
    diffclf("test", "--config", "digits", "--ckpt_path", address, code=2)
    with pytest.raises(InputError):
        DiffusionClassifier.load_from_checkpoint(address)
    assert asked == [(address, True)] * 2


def test_tags_of_yaml(marker, diffclf, tmp_path):
    evil = f"!!python/object/apply:os.mkdir [{marker}]"
    (tmp_path / "a.yaml").write_text(f"model: {evil}\n")
    diffclf("test", "--config", "a.yaml", code=2)
    diffclf("test", "--config", "digits", "--model", "a.yaml", code=2)
    diffclf("test", "--config", "digits", "--model.seed", evil, code=2)
    (line,) = diffclf("sweep", "a.yaml", code=2).stderr.splitlines()
    assert "could not determine a constructor for the tag" in line
    with pytest.raises(InputError):
        LabelTree.of(tmp_path / "a.yaml")


def test_numpy_files(marker, tmp_path, monkeypatch):
    """Arrays of objects are pickles."""
    file = tmp_path / "weights.npz"
    np.savez(file, **{"embedding/kernel": np.array([hostile.Evil(marker)], dtype=object)})
    with pytest.raises(InputError):
        TimmClassifier("test_vit", checkpoint_path=str(file))
    (tmp_path / "tiny-clip.json").write_text(json.dumps(tiny_clip.MODELS["vit"]["model_cfg"]))
    tiny_clip.open_clip.add_model_config(tmp_path / "tiny-clip.json")
    with pytest.raises(InputError):
        OpenClipZeroShot("tiny-clip", pretrained=str(file))


@pytest.mark.parametrize("kind", KINDS)
def test_calibrations(kind, marker, tmp_path):
    (tmp_path / "calibration.json").write_bytes(kind(marker))
    with pytest.raises(InputError):
        Calibration.load(tmp_path)


class Pickled(pa.ExtensionType):
    """A type of which Parquet holds a pickle; pyarrow before 14.0.1 read it."""

    content = b""

    def __init__(self):
        super().__init__(pa.int64(), "arrow.py_extension_type")

    def __arrow_ext_serialize__(self):
        return self.content

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, content):
        return cls()


def test_types_and_metadata_of_parquet(marker, tmp_path, monkeypatch):
    monkeypatch.setattr(Pickled, "content", hostile.pickled(marker))
    typed = pa.ExtensionArray.from_storage(Pickled(), pa.array([1]))
    bytes_ = pa.array([{"bytes": b""}])
    table = pa.table({"image_0": bytes_, "image_1": bytes_, "caption_0": typed})
    told = table.replace_schema_metadata({b"pandas": hostile.pickled(marker)})
    pq.write_table(told, tmp_path / "a.parquet")
    assert _rows(tmp_path / "a.parquet")[0]["caption_0"] == 1
    (tmp_path / "b.parquet").write_bytes(hostile.pickled(marker))
    with pytest.raises(InputError):
        _rows(tmp_path / "b.parquet")


def test_types_of_stored_rows(marker, tmp_path, monkeypatch):
    monkeypatch.setattr(Pickled, "content", hostile.pickled(marker))
    model = DiffusionClassifier(gaussians())
    run(model, their_means(model.denoiser), tmp_path / "run")
    file = tmp_path / "run/images.parquet"
    table = pq.read_table(file)
    typed = pa.ExtensionArray.from_storage(Pickled(), pa.array([1] * len(table)))
    pq.write_table(table.append_column("more", typed), file)
    main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "a.html")])
    assert (tmp_path / "a.html").is_file()


def test_cifar_is_unpickled_only_if_it_is_the_published_one(marker, tmp_path):
    """Torchvision compares the MD5 of every file, unpacked ones too, before it reads the first."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (folder / name).write_bytes(hostile.pickled(marker))
    with pytest.raises(InputError, match="CIFAR-10"):
        CIFAR10(tmp_path).test_sets()


@pytest.mark.parametrize("member", ["../ran", "{}", "link"])
def test_archives_stay_in_their_folder(member, marker, tmp_path):
    """One that lies where torchvision would put it, which is taken without a checksum."""
    root = tmp_path / "data"
    root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    link = str(outside) if member == "link" else None
    hostile.archive(root / "fgvc-aircraft-2013b.tar.gz", member.format(marker), link)
    with pytest.raises(InputError, match="FGVC-Aircraft"):
        FGVCAircraft(root, download=True).prepare_data()
    assert not any(outside.iterdir())


def test_images_that_say_they_are_of_gigabytes(diffclf, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.png").write_bytes(hostile.bomb())
    data = ImageFolder(tmp_path / "data")
    (images,) = data.test_sets().values()
    with pytest.raises(InputError, match=r"a\.png.*DecompressionBomb"):
        images[0]
    file = tmp_path / "data/cat/a.png"
    ended = diffclf("classify", file, "--denoiser", "diffclf/digits-dit", code=2)
    assert "DecompressionBomb" in ended.stderr
    assert not _is_coarse(hostile.bomb())
    assert not _is_coarse(b"no image")
