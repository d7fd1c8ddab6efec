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
from diffclf_lightning.callbacks import ResultsWriter
from diffclf_lightning.datamodules import Digits

SMALL = "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"


@pytest.fixture
def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (270, 330, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def normalised(classifier, picture):
    pixels = classifier.transform(picture)
    assert pixels.dtype == torch.uint8
    mean, std = (
        torch.tensor(values).reshape(-1, 1, 1)
        for values in (classifier.preprocessing.mean, classifier.preprocessing.std)
    )
    return (pixels / 255 - mean) / std


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
    seen = []
    classifier.network.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    classifier(pixels[None])
    assert seen[0].unique().item() == pytest.approx((10 / 255 - 0.3) / 0.2, abs=1e-6)
    assert classifier(pixels[None]).shape == (1, 4)
    assert torch.allclose(classifier(pixels[None]), classifier(pixels[None] / 255), atol=1e-5)


@pytest.mark.parametrize("crop", ["center", "squash", "border"])
@pytest.mark.parametrize("in_chans", [1, 3])
def test_crops_are_those_of_timm(crop, in_chans, picture):
    overlay = {"crop_mode": crop, "crop_pct": 0.9, "input_size": (3, 96, 128)}
    classifier = TimmClassifier(
        "test_resnet", False, in_chans=in_chans, model_args={"pretrained_cfg_overlay": overlay}
    )
    config = resolve_model_data_config(classifier.network)
    config["mean"], config["std"] = classifier.preprocessing.mean, classifier.preprocessing.std
    transform = create_transform(**config, is_training=False)
    image = picture.convert({1: "L", 3: "RGB"}[in_chans])
    assert torch.allclose(normalised(classifier, picture), transform(image), atol=1e-5)


@pytest.mark.parametrize("given", ["half", "single"])
def test_constants_are_float32_under_every_precision(given):
    classifier = TimmClassifier("test_resnet", False, num_classes=2)
    classifier = classifier.to(torch.bfloat16) if given == "half" else classifier
    seen = []
    classifier.network.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pixels = torch.full((1, 3, 160, 160), 124, dtype=torch.uint8)
    classifier(pixels)
    mean = torch.tensor(classifier.preprocessing.mean)
    std = torch.tensor(classifier.preprocessing.std)
    expected = (124 / 255 - mean) / std
    tolerance = {"rtol": 0.005, "atol": 0} if given == "half" else {"atol": 1e-6}
    assert torch.allclose(seen[0][0, :, 0, 0].float(), expected, **tolerance)


def test_logits_that_are_not_finite_are_named():
    classifier = TimmClassifier("test_resnet", False, num_classes=2)
    torch.nn.init.constant_(classifier.network.fc.bias, torch.nan)
    data = TensorDataset(torch.zeros(2, 3, 160, 160), torch.zeros(2).long())
    with pytest.raises(InputError, match="test_resnet gave NaN or infinity for image 0"):
        trainer().test(classifier, DataLoader(data, batch_size=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "resnet5"}, r"knows, but got 'resnet5'\. Names that are close: .*resnet50"),
        ({"model": "resnet18.nothing"}, r"weights of 'resnet18' to be one of .*resnet18\.tv_in1k"),
        ({"model": "resnet18", "checkpoint_path": "absent.pth"}, "`checkpoint_path` to be a file"),
        ({"model": "test_vit", "pretrained": False, "label_smoothing": 1.0}, "`label_smoothing`"),
        ({"model": "test_vit", "pretrained": False, "in_chans": 2}, "`in_chans` to be 1"),
        ({"model": "test_vit", "pretrained": False, "mean": [0.5]}, "`mean` to have 3 values"),
        ({"model": "test_vit", "pretrained": False, "model_args": {"no": 1}}, "`model_args`"),
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
    with pytest.raises(InputError, match="10 names for 7 classes"):
        trainer().test(classifier, datamodule=Digits(num_test=5))


def test_random_weights_are_said(recwarn):
    classifier = TimmClassifier("test_vit", False, num_classes=10, in_chans=1)
    trainer().test(classifier, datamodule=Digits(num_test=5), verbose=False)
    said = [str(one.message) for one in recwarn if "are random" in str(one.message)]
    assert len(said) == 1
    assert "test_vit" in said[0]
    assert "--ckpt_path" in said[0]


def test_sizes_that_contradict_each_other_are_refused():
    classifier = TimmClassifier(
        "vit_tiny_patch16_224", False, num_classes=10, in_chans=1, input_size=32,
        model_args={"embed_dim": 24, "depth": 1},
    )  # fmt: skip
    with pytest.raises(InputError, match="`input_size` and `in_chans`"):
        trainer().test(classifier, datamodule=Digits(num_test=5))


def test_validation_counts_and_logs_the_accuracy(seed):
    classifier = TimmClassifier("test_vit", False, num_classes=3)
    images, labels = torch.rand(6, 3, 160, 160), torch.arange(6) % 3
    data = DataLoader(TensorDataset(images, labels), batch_size=4)
    (logged,) = trainer().validate(classifier, data, verbose=False)
    with torch.no_grad():
        correct = classifier.eval()(images).argmax(dim=1) == labels
    assert logged["val/accuracy"] == pytest.approx(correct.float().mean().item())


def test_a_continued_run_evaluates_nothing_again(tmp_path, seed):
    data = TensorDataset(torch.rand(4, 3, 160, 160), torch.arange(4) % 2)
    torch.manual_seed(0)
    first = TimmClassifier("test_vit", False, num_classes=2)
    counted, reports = [], []
    for _ in range(2):
        first.on_evaluations = counted.append
        writer = ResultsWriter(tmp_path / "r")
        trainer(callbacks=[writer]).test(first, DataLoader(data, batch_size=2), verbose=False)
        reports.append(first.reports["test"])
    assert sum(counted) == 4
    assert (reports[0].correct, reports[0].total) == (reports[1].correct, reports[1].total)
    other = TimmClassifier("test_vit", False, num_classes=2)
    with pytest.raises(InputError, match="its weights was"):
        trainer(callbacks=[ResultsWriter(tmp_path / "r")]).test(other, DataLoader(data))


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
    assert out["scores"].dtype == torch.float32
    assert out["scores"].isfinite().all()
