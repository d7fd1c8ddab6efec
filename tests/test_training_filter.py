"""``diffclf training-filter``: shares of sets whose sizes and scores are known."""

import csv
import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from diffclf_lightning import InputError
from diffclf_lightning.datamodules import Digits, ImageCaptions, ImageFolder
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.training_filter import heads as heads_module
from diffclf_lightning.training_filter.embedding import OpenClipEmbedder
from diffclf_lightning.training_filter.heads import Head, load_head
from diffclf_lightning.training_filter.shares import Filter, shares

SIZES = [(512, 600), (600, 512), (511, 900), (900, 511), (512, 512), (40, 30), (2000, 600)]
GREY = [250, 10, 250, 10, 10, 250, 250]


class Brightness:
    """An embedder of one dimension: the grey level of the first pixel, from 0 to 1."""

    def transform(self, image):
        return torch.tensor(image.getpixel((0, 0))[0] / 255).reshape(1)

    def embed(self, pixels):
        return pixels


@pytest.fixture
def folder(tmp_path):
    for place, (size, grey) in enumerate(zip(SIZES, GREY, strict=True)):
        file = tmp_path / f"data/class{place % 2}/{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (grey,) * 3).save(file)
    return tmp_path / "data"


def linear_head(weight, bias):
    return Head({"weight": torch.tensor([[weight]]), "bias": torch.tensor([bias])})


def test_shares_of_known_sizes_and_scores(folder):
    aesthetic = linear_head(10.0, 0.0)  # 9.8 and 0.4
    unsafe = linear_head(-20.0, 10.0)  # next to 0 for bright images, to 1 for dark ones
    conditions = Filter(aesthetic=aesthetic, unsafe=unsafe)
    found = {s.condition: s for s in shares(ImageFolder(folder), conditions, Brightness())}
    large = [min(size) >= 512 for size in SIZES]
    bright = [grey > 128 for grey in GREY]
    expected = {
        "short side >= 512": sum(large),
        "aesthetic >= 4.5": sum(bright),
        "unsafe <= 0.1": sum(bright),
        "all of these": sum(a and b for a, b in zip(large, bright, strict=True)),
    }
    assert {text: share.passed for text, share in found.items()} == expected
    assert {share.images for share in found.values()} == {len(SIZES)}
    interval = clopper_pearson(expected["all of these"], len(SIZES))
    assert found["all of these"].record()["lower"] == interval.lower
    assert found["all of these"].record()["upper"] == interval.upper


def test_thresholds_are_met_by_what_is_equal_to_them():
    side, embedding = torch.tensor([99, 100, 101]), torch.tensor([[1.0], [2.0], [3.0]])
    conditions = Filter(100, 2.0, 0.5, linear_head(1.0, 0.0), linear_head(1.0, -2.0))
    passed = [which.tolist() for which in conditions.passes(side, embedding).values()]
    assert passed == [[False, True, True], [False, True, True], [True, True, False]]


def test_images_that_cannot_be_read_do_not_count(folder):
    (folder / "class0/0.png").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="left out"):
        found = shares(ImageFolder(folder, on_corrupt="skip"), Filter())
    assert [(share.passed, share.images) for share in found] == [(3, 6)] * 2


def test_each_image_of_an_example_counts(tmp_path):
    """Of examples of images and captions, whose numbers of images differ."""
    lines, place = [], 0
    for number, images in enumerate((2, 1, 3)):
        files = [f"{place + i}.png" for i in range(images)]
        for file in files:
            Image.new("RGB", SIZES[place], (GREY[place],) * 3).save(tmp_path / file)
            place += 1
        lines.append(json.dumps({"images": files, "captions": ["a", "b"], "key": str(number)}))
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    conditions = Filter(aesthetic=linear_head(10.0, 0.0))
    found = shares(ImageCaptions(tmp_path / "own.jsonl", batch_size=2), conditions, Brightness())
    counted = {share.condition: (share.passed, share.images) for share in found}
    bright = [grey > 128 for grey in GREY[:6]]
    large = [min(size) >= 512 for size in SIZES[:6]]
    assert counted == {
        "short side >= 512": (sum(large), 6),
        "aesthetic >= 4.5": (sum(bright), 6),
        "all of these": (sum(a and b for a, b in zip(large, bright, strict=True)), 6),
    }
    (tmp_path / "0.png").write_bytes(b"damaged")  # the example goes, its other image too
    data = ImageCaptions(tmp_path / "own.jsonl", batch_size=2, on_corrupt="skip")
    with pytest.warns(UserWarning, match="left out"):
        assert {share.images for share in shares(data, Filter())} == {4}


@pytest.mark.parametrize(
    ("numbers", "activation"),
    [((0, 2), "relu"), ((0, 2), "none"), ((0, 1), None), ((0, 3), "relu"), ((1, 2), "none")],
)
@pytest.mark.parametrize("before", ["", "layers."])
def test_a_head_is_its_matrix_product(tmp_path, seed, numbers, activation, before):
    first, second = torch.randn(5, 7), torch.randn(1, 5)
    bias, embedding = torch.randn(5), torch.randn(9, 7)
    state = {
        f"{before}{numbers[0]}.weight": first, f"{before}{numbers[0]}.bias": bias,
        f"{before}{numbers[1]}.weight": second,
    }  # fmt: skip
    save_file(state, tmp_path / "head.safetensors")
    torch.save(state, tmp_path / "head.pth")
    inner = embedding.numpy() @ first.numpy().T + bias.numpy()
    expected = (np.maximum(inner, 0) if activation == "relu" else inner) @ second.numpy()[0]
    for name in ("head.safetensors", "head.pth"):
        head = load_head(str(tmp_path / name), "unsafe", activation)
        assert head.inputs == 7
        assert head(embedding).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_network_with_dropout_alone_is_itself(tmp_path, seed):
    """Of the layout of LAION's improved aesthetic predictor, in evaluation."""

    class Predictor(torch.nn.Module):
        def __init__(self):
            super().__init__()
            linear, dropout = torch.nn.Linear, torch.nn.Dropout
            self.layers = torch.nn.Sequential(
                linear(7, 6), dropout(0.2), linear(6, 5), dropout(0.2), linear(5, 4), dropout(0.1),
                linear(4, 3), linear(3, 1),
            )  # fmt: skip

    network, embedding = Predictor().eval(), torch.randn(9, 7)
    torch.save(network.state_dict(), tmp_path / "head.pth")
    head = load_head(str(tmp_path / "head.pth"), "aesthetic", "none")
    expected = network.layers(embedding)[:, 0].detach()
    assert head(embedding).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    wrong = load_head(str(tmp_path / "head.pth"), "aesthetic", "relu")
    assert not torch.allclose(wrong(embedding), expected, atol=1e-2)


def test_what_stood_in_a_gap_has_to_be_said(tmp_path):
    gap = {"0.weight": torch.ones(3, 2), "2.weight": torch.ones(1, 3)}
    save_file(gap, tmp_path / "gap.safetensors")
    with pytest.raises(InputError, match=r"--unsafe-activation.*layers 0 and 2.*gap\.safetensors"):
        load_head(str(tmp_path / "gap.safetensors"), "unsafe")
    with pytest.raises(InputError, match="Expected activation, since"):
        Head(gap)
    with pytest.raises(InputError, match="none or relu, but got 'tanh'"):
        Head(gap, "tanh")
    with pytest.raises(InputError, match="Expected no activation relu"):
        Head({"weight": torch.ones(1, 2)}, "relu")


def test_a_normalisation_is_folded_into_the_first_layer(seed):
    """As the page on it says: the mean and the deviation of inputs go into weight and bias."""
    weight, bias, mean, deviation = torch.randn(1, 4), torch.randn(1), torch.randn(4), torch.rand(4)
    embedding = torch.randn(6, 4)
    folded = Head({"0.weight": weight / deviation, "0.bias": bias - weight @ (mean / deviation)})
    expected = ((embedding - mean) / deviation) @ weight[0] + bias
    assert torch.allclose(folded(embedding), expected, atol=1e-4)


def test_a_head_of_the_hub_is_fetched_by_its_name(tmp_path, monkeypatch):
    save_file({"weight": torch.ones(1, 3)}, tmp_path / "head.safetensors")
    asked = []

    def fetch(*names):
        asked.append(names)
        return str(tmp_path / "head.safetensors")

    monkeypatch.setattr(heads_module, "hf_hub_download", fetch)
    head = load_head("owner/name/in/head.safetensors", "unsafe")
    assert asked == [("owner/name", "in/head.safetensors")]
    assert head(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [6.0]


def test_heads_that_are_none_are_said(tmp_path):
    class Runs:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"weight": Runs()}, tmp_path / "code.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    (tmp_path / "text.safetensors").write_text("text")
    for name in ("code.pth", "list.pth", "text.safetensors", "nowhere.pth"):
        with pytest.raises(InputError, match=f"--unsafe-head to be a file.*{name}"):
            load_head(str(tmp_path / name), "unsafe")
    for state, said in (
        ({"layer.weight": torch.ones(1, 2)}, "linear layers.*layer.weight"),
        ({"0.bias": torch.ones(1)}, "linear layers"),
        ({}, "nothing"),
        ({"weight": torch.ones(2, 2)}, "last layer makes 2"),
        ({"0.weight": torch.ones(3, 2), "1.weight": torch.ones(1, 2)}, "layer 1 of a head"),
        ({"weight": torch.ones(1, 2), "bias": torch.ones(2)}, "layer 0 of a head"),
    ):
        with pytest.raises(InputError, match=said):
            Head(state)
    with pytest.raises(InputError, match=r"3 dimensions.*takes 1"):
        Filter(aesthetic=linear_head(1.0, 0.0)).passes(torch.ones(2), torch.ones(2, 3))
    with pytest.raises(InputError, match="--max-unsafe"):
        Filter(max_unsafe=1.5)
    with pytest.raises(InputError, match="an embedder"):
        shares(Digits(), Filter(aesthetic=linear_head(1.0, 0.0)))


def test_command_says_that_no_digit_is_large(diffclf, tmp_path):
    out = diffclf("training-filter", "--data=Digits", "--data.num_test=20", "--output=f.csv").stdout
    assert "0/20" in out
    assert "aesthetic score: not looked at" in out
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["condition"] for row in rows] == ["short side >= 512", "all of these"]
    assert {row["share"] for row in rows} == {"0.0"}
    out = diffclf("training-filter", "--data=Digits", "--data.num_test=20", "--min-side=8").stdout
    assert "20/20" in out


TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A tiny model that open_clip knows, and a file of its weights."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "configs/tiny.json")
    network = open_clip.create_model("tiny")
    torch.save(network.state_dict(), tmp_path / "tiny.pt")
    return network.eval(), str(tmp_path / "tiny.pt")


def test_command_with_heads_is_open_clip_called_directly(folder, tiny, diffclf, tmp_path, seed):
    network, weights = tiny
    for file, (width, height) in zip(sorted(folder.rglob("*.png")), SIZES, strict=True):
        pixels = torch.randint(256, (height // 8, width // 8, 3), dtype=torch.uint8).numpy()
        Image.fromarray(pixels).resize((width, height)).save(file)
    preprocess = open_clip.image_transform(32, is_train=False)
    pixels = torch.stack(
        [preprocess(Image.open(file).convert("RGB")) for file in sorted(folder.rglob("*.png"))]
    )
    with torch.no_grad():
        embedded = network.encode_image(pixels)
    embedded = embedded / embedded.norm(dim=1, keepdim=True)
    weight = torch.randn(1, 16)
    scores = embedded @ weight[0]
    save_file({"weight": weight}, tmp_path / "head.safetensors")
    middle = float(scores.sort().values[3:5].mean())  # three are above
    diffclf(
        "training-filter", "--data=ImageFolder", f"--data.root={folder}", "--model=tiny",
        f"--pretrained={weights}", "--aesthetic-head=head.safetensors",
        "--unsafe-head=head.safetensors", f"--min-aesthetic={middle}", "--device=cpu",
        f"--max-unsafe={torch.tensor(middle).sigmoid().item()}", "--output=f.csv",
    )  # fmt: skip
    with (tmp_path / "f.csv").open() as file:
        passed = [int(row["passed"]) for row in csv.DictReader(file)]
    high = scores > middle
    large = [min(Image.open(f).size) >= 512 for f in sorted(folder.rglob("*.png"))]
    assert passed == [sum(large), 3, 4, 0]
    assert int(high.sum()) == 3


def test_arguments_of_nothing_are_said(diffclf, tmp_path):
    save_file({"weight": torch.ones(1, 3)}, tmp_path / "head.safetensors")
    head = ["--data=Digits", "--aesthetic-head=head.safetensors"]
    for args, said in (
        ([*head, "--device=cuda:99"], "--device to be there"),
        ([*head, "--device=somewhere"], "--device to be there"),
        (["--data=Digits", "--unsafe-activation=relu"], "--unsafe-head with --unsafe-activation"),
        (["--data=Digits", "--output=f.txt"], "--output to be a file that ends with .csv"),
        (["--data=Digits", "--output="], "--output to be a file, but got the folder ."),
        (["--data=Digits", "--min-side=0"], "--min-side to be at least 1"),
        (["--data=Nothing"], "Nothing"),
        (["--data=Digits", "--aesthetic-head=nowhere"], "--aesthetic-head to be a file"),
    ):
        assert said in diffclf("training-filter", *args, code=2).stderr


def test_models_that_are_not_there_are_said():
    with pytest.raises(InputError, match=r"--model and --pretrained.*'none'"):
        OpenClipEmbedder("none", "openai", torch.device("cpu"))
