"""Networks of timm and torchvision against direct calls, and what is said of wrong names."""

import numpy as np
import pytest
import timm
import torch
from lightning.pytorch import Trainer
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from diffclf_lightning import InputError
from diffclf_lightning.baselines import TimmClassifier, TorchvisionClassifier
from diffclf_lightning.baselines import timm as timm_module
from diffclf_lightning.datamodules import Digits

SMALL = "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"


@pytest.fixture
def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (270, 330, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def normalised(classifier, picture):
    pixels = classifier.transform(picture)
    assert pixels.dtype == torch.uint8
    return (pixels / 255 - classifier.mean) / classifier.std


@pytest.mark.parametrize(
    "name", ["resnet18.tv_in1k", "test_vit.r160_in1k", "test_efficientnet.r160_in1k"]
)
def test_images_and_logits_are_those_of_timm(name, picture):
    classifier = TimmClassifier(name, pretrained=False).eval()
    network = classifier.network
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    expected = transform(picture)
    assert torch.allclose(normalised(classifier, picture), expected, atol=1e-5)
    with torch.no_grad():
        logits = classifier(classifier.transform(picture)[None])
        assert torch.allclose(logits, network(expected[None]), atol=1e-4)
    assert network.pretrained_cfg["tag"] == name.split(".")[1]


def test_images_and_logits_are_those_of_torchvision(picture, tmp_path):
    network = models.shufflenet_v2_x0_5().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    classifier = TorchvisionClassifier(SMALL, str(tmp_path / "weights.pth")).eval()
    expected = models.get_weight(SMALL).transforms()(picture)
    assert torch.allclose(normalised(classifier, picture), expected, atol=1e-5)
    with torch.no_grad():
        logits = classifier(classifier.transform(picture)[None])
        assert torch.allclose(logits, network(expected[None]), atol=1e-4)


def test_weights_of_a_file_are_those_of_the_file(tmp_path):
    network = timm.create_model("test_vit", num_classes=7)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    classifier = TimmClassifier("test_vit", True, str(tmp_path / "weights.pth"), num_classes=7)
    for name, value in classifier.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_grey_images_and_other_sizes(seed):
    classifier = TimmClassifier(
        "test_vit", False, num_classes=4, in_chans=1, input_size=32, mean=[0.3], std=[0.2],
        model_args={"img_size": 32},
    )  # fmt: skip
    pixels = classifier.transform(Image.new("RGB", (40, 50), (10, 10, 10)))
    assert pixels.shape == (1, 32, 32)
    assert pixels.unique().tolist() == [10]
    assert classifier.mean.tolist() == [[[pytest.approx(0.3)]]]
    assert classifier(pixels[None]).shape == (1, 4)
    assert torch.allclose(classifier(pixels[None]), classifier(pixels[None] / 255), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "resnet5"}, r"knows, but got 'resnet5'\. Names that are close: .*resnet50"),
        ({"model": "resnet18.nothing"}, r"weights of 'resnet18' to be one of .*resnet18\.tv_in1k"),
        ({"model": "resnet18", "checkpoint_path": "absent.pth"}, "`checkpoint_path` to be a file"),
        ({"model": "test_vit", "pretrained": False, "label_smoothing": 1.0}, "`label_smoothing`"),
    ],
)
def test_wrong_arguments_of_timm_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        TimmClassifier(**arguments)


def test_weights_that_cannot_be_fetched_are_named(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to the hub\nmore")

    monkeypatch.setattr(timm_module.timm, "create_model", refuse)
    with pytest.raises(
        InputError, match=r"'resnet18\.tv_in1k' on the hub.*no route.*pretrained=False"
    ):
        TimmClassifier("resnet18.tv_in1k")


@pytest.mark.parametrize("kind", [TimmClassifier, TorchvisionClassifier])
def test_weights_of_another_network_are_named(kind, tmp_path):
    torch.save({"layer": torch.ones(1)}, tmp_path / "other.pth")
    name = "test_vit" if kind is TimmClassifier else SMALL
    with pytest.raises(InputError, match=r"other\.pth.*RuntimeError"):
        kind(name, checkpoint_path=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    "name", ["vit_b_16", "ViT_B_16_Weights.V9", "RAFT_Large_Weights.C_T_V1", "Nothing_Weights.V1"]
)
def test_wrong_weights_of_torchvision_are_named(name):
    with pytest.raises(InputError, match=f"`weights`.*{name}"):
        TorchvisionClassifier(name)


def trainer(**kwargs):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", enable_checkpointing=False, **quiet, **kwargs)


def test_a_network_of_other_classes_is_refused():
    classifier = TimmClassifier("test_vit", False, num_classes=7, in_chans=1)
    with pytest.raises(InputError, match=r"network of 10 classes.*but test_vit gives 7"):
        trainer().test(classifier, datamodule=Digits(num_test=5))


def test_images_of_another_shape_are_refused():
    classifier = TimmClassifier("test_vit", False, num_classes=2)
    data = TensorDataset(torch.rand(2, 3, 8, 8), torch.zeros(2).long())
    with pytest.raises(InputError, match=r"\(batch, 3, 160, 160\), but got \(2, 3, 8, 8\)"):
        trainer().test(classifier, DataLoader(data, batch_size=2))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_half_precision_runs(precision, seed):
    classifier = TimmClassifier("test_vit", False, num_classes=3)
    data = TensorDataset(torch.randint(256, (2, 3, 160, 160), dtype=torch.uint8), torch.arange(2))
    (out,) = trainer(precision=precision).predict(classifier, DataLoader(data, batch_size=2))
    assert out.outcome.scores.dtype == torch.float32
    assert out.outcome.scores.isfinite().all()
