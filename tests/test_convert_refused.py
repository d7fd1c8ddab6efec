"""What ``diffclf convert`` refuses, and why."""

import argparse
import json
import pickle
import random

import published_dit
import pytest
import tiny
import torch
from published_dit import Sizes

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.convert.command import main


@pytest.fixture
def vae(tmp_path):
    tiny.autoencoder().save_pretrained(tmp_path / "vae")
    return f"--vae={tmp_path / 'vae'}"


def refused(folder, weights, *arguments, kind="sit"):
    torch.save(weights, folder / "weights.pt")
    with pytest.raises(InputError) as caught:
        main([kind, str(folder / "weights.pt"), f"--out={folder / 'out'}", *arguments])
    assert not list(folder.glob("out*"))
    return str(caught.value)


class Payload:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def test_a_pickle_with_code_is_not_read(tmp_path):
    for content in ({"ema": Payload()}, {**published_dit.weights(Sizes()), "more": Payload()}):
        assert "could run code" in refused(tmp_path, content)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(InputError, match="could run code"):
        main(["sit", str(tmp_path / "bare.pt"), f"--out={tmp_path / 'out'}"])


def test_other_files_are_refused(tmp_path):
    out = f"--out={tmp_path / 'out'}"
    with pytest.raises(InputError, match=r"there is no 'nowhere\.pt'"):
        main(["sit", "nowhere.pt", out])
    torch.save(published_dit.weights(Sizes()), tmp_path / "whole.pt")
    cut = (tmp_path / "whole.pt").read_bytes()[:-500]
    for name in ("cut.pt", "cut.safetensors", "empty.pt"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pt" else cut)
        with pytest.raises(InputError, match=r"damaged|could run code"):
            main(["sit", str(tmp_path / name), out])
    for content in (b"<html>404: Not Found</html>", bytes(range(256)) * 9):
        (tmp_path / "no.pt").write_bytes(content)
        with pytest.raises(InputError, match="no weights at all"):
            main(["sit", str(tmp_path / "no.pt"), out])
    for content in (torch.zeros(3), {"a": 1}, {"ema": {"a": "b"}}, {}):
        assert "else than tensors by name" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "weights", ["DiT-XL-2.pt", "/nowhere/dit", "weights/dit.safetensors", "./a/b", "~/dit"]
)
def test_a_mistyped_file_is_no_hub_id(weights, tmp_path):
    with pytest.raises(InputError, match="is no such file, and no hub id"):
        main(["dit", weights, f"--out={tmp_path / 'out'}"])


def test_what_is_where_it_is_made_stays(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine").write_text("mine")
    torch.save(published_dit.weights(Sizes(channels=1)), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"Expected no '.*out\.partial'.*Remove it"):
        main(["sit", str(tmp_path / "weights.pt"), f"--out={tmp_path / 'out'}", "--heads=3"])
    assert (tmp_path / "out.partial" / "mine").read_text() == "mine"


def test_files_that_are_cut_anywhere_are_refused(tmp_path, seed):
    torch.save(
        published_dit.weights(Sizes(channels=1, blocks=1)),
        tmp_path / "whole.pt",
        _use_new_zipfile_serialization=False,
    )
    whole = (tmp_path / "whole.pt").read_bytes()
    for end in random.Random(seed).sample(range(1, 6000), 100):
        (tmp_path / "cut.pt").write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"damaged|could run code"):
            main(["sit", str(tmp_path / "cut.pt"), f"--out={tmp_path / 'out'}", "--heads=3"])


def test_numbers_that_are_not_finite_are_refused(tmp_path, seed):
    weights = published_dit.weights(Sizes(channels=1))
    weights["blocks.1.mlp.fc1.bias"][3] = torch.nan
    assert "'blocks.1.mlp.fc1.bias' that are not finite" in refused(tmp_path, weights, "--heads=3")


def test_weights_of_another_network_are_refused(tmp_path, seed):
    weights, heads = published_dit.weights(Sizes(channels=1)), "--heads=3"
    other = tiny.dit_with_vae().model.state_dict()
    assert "'x_embedder.proj.weight' with 4 dimensions, and has none" in refused(tmp_path, other)
    some = {name: value for name, value in weights.items() if "blocks.1.mlp" not in name}
    assert "lacks 4 of the weights, 'blocks.1.mlp.fc1.weight'" in refused(tmp_path, some, heads)
    more = {**weights, "text_embedder.weight": torch.zeros(1)}
    said = refused(tmp_path, more, heads)
    assert "has weights that such a network has not, 'text_embedder.weight'" in said
    bent = {**weights, "blocks.2.attn.proj.weight": torch.zeros(24, 23)}
    assert "in shape (24, 23) where" in refused(tmp_path, bent, heads)
    positions = {**weights, "pos_embed": torch.zeros(1, 15, 24)}
    assert "'pos_embed' in shape (1, 15, 24)" in refused(tmp_path, positions, heads)


def test_weights_of_another_kind_are_refused(tmp_path, seed):
    weights, heads = published_dit.weights(Sizes(channels=1)), "--heads=3"
    others = [("sit", "path_type", "GVP"), ("repa", "path_type", "cosine")]
    others += [("sit", "prediction", "score"), ("dit", "path_type", "Linear")]
    # Each other's words for the same thing: the weights run the other way.
    others += [("sit", "prediction", "v"), ("repa", "prediction", "velocity")]
    for kind, setting, value in others:
        for settings in ({setting: value}, argparse.Namespace(**{setting: value})):
            said = refused(tmp_path, {"ema": weights, "args": settings}, heads, kind=kind)
            assert f"was trained with {setting}='{value}'" in said
    for kind, size in (("sit", "DiT-XL/2"), ("repa", "DiT-B/4"), ("dit", "SiT-S/2")):
        content = {"ema": weights, "args": argparse.Namespace(model=size)}
        assert f"was trained as {size}" in refused(tmp_path, content, heads, kind=kind)
    own = argparse.Namespace(path_type="linear", prediction="v", model="SiT-XL/2")
    torch.save({"ema": weights, "args": own}, tmp_path / "own.pt")
    main(["repa", str(tmp_path / "own.pt"), f"--out={tmp_path / 'repa'}", heads])
    aligned = published_dit.weights(Sizes(channels=1), projectors=True)
    for kind in ("sit", "dit"):
        assert "has projectors, as REPA has" in refused(tmp_path, aligned, heads, kind=kind)


def test_arguments_are_checked(tmp_path, vae, seed):
    weights = published_dit.weights(Sizes())
    grey = published_dit.weights(Sizes(channels=1))
    assert "Expected --heads, since the weights have width 24" in refused(tmp_path, weights, vae)
    assert "to divide the width" in refused(tmp_path, weights, vae, "--heads=5")
    assert "to be at least 1, but got 0" in refused(tmp_path, weights, vae, "--heads=0")
    assert "Expected --vae, since" in refused(tmp_path, weights, "--heads=3")
    assert "latents of 1 channels" in refused(tmp_path, grey, vae, "--heads=3")
    (tmp_path / "empty").mkdir()
    none = f"--vae={tmp_path / 'empty'}"
    assert "does not load" in refused(tmp_path, weights, none, "--heads=3")
    said = refused(tmp_path, weights, vae, "--heads=3", "--names", "a", "b")
    assert "Expected --names to be 5 names" in said
    assert "number 2 is empty" in refused(tmp_path, weights, vae, "--names", "a,,b")
    (tmp_path / "names.txt").write_text("löwe\nkatze", encoding="latin-1")
    said = refused(tmp_path, weights, vae, "--names", str(tmp_path / "names.txt"))
    assert "no text in UTF-8" in said
    config = tmp_path / "vae" / "config.json"
    scaled = json.loads(config.read_text()) | {"scaling_factor": 0.13025}
    config.write_text(json.dumps(scaled))
    assert "scales by 0.13025" in refused(tmp_path, weights, vae, "--heads=3")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="to be a new folder"):
        main(["sit", str(tmp_path / "weights.pt"), f"--out={tmp_path / 'out'}"])


def test_only_known_networks_are_taken_from_the_package(tmp_path):
    main_file = tmp_path / "model_index.json"
    for name in ("AutoDenoiser", "SiTDenoiser", "convert", "__name__"):
        index = {"_class_name": "SiTPipeline", "transformer": ["diffclf_lightning", name]}
        scheduler = {"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}
        main_file.write_text(json.dumps(index | scheduler))
        (tmp_path / "transformer").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=f"names '{name}' of 'diffclf_lightning'"):
            AutoDenoiser.from_pretrained(str(tmp_path))
