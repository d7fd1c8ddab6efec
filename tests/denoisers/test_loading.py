"""What is loaded is whole: every way in which a folder can be broken is one message."""

import itertools
import json
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny, DiTTransformer2DModel
from folders import NETWORK, check_same_weights, edit_index, edit_weights, load
from safetensors.torch import save_file

from diffclf_lightning import InputError
from diffclf_lightning.denoisers import StableDiffusion
from diffclf_lightning.denoisers.auto import ASSETS

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 334643268\n"


WEIGHTS = [
    ("text", f"unet/{NETWORK}", "conv_in.weight"),
    ("text", f"vae/{NETWORK}", "encoder.conv_in.bias"),
    ("text", f"vae/{NETWORK}", "decoder.conv_out.bias"),
    ("text", "text_encoder/model.safetensors", "final_layer_norm.weight"),
    ("dit", f"transformer/{NETWORK}", "pos_embed.proj.weight"),
    ("unet", f"unet/{NETWORK}", "class_embedding.weight"),
]


@pytest.mark.parametrize(("family", "file", "name"), WEIGHTS)
def test_missing_weight_is_named(copy, family, file, name):
    """The libraries would leave it as the memory was, or make it up, and only warn."""
    folder = copy(family)

    def remove(weights):
        (key,) = [key for key in weights if key.endswith(name)]
        del weights[key]

    edit_weights(folder / file, remove)
    with pytest.raises(InputError, match=rf"{file.split('/')[0]}.*{name}.*again"):
        load(folder)


@pytest.mark.parametrize(("family", "file", "name"), WEIGHTS)
def test_weight_of_another_shape_is_named(copy, family, file, name):
    folder = copy(family)

    def widen(weights):
        (key,) = [key for key in weights if key.endswith(name)]
        weights[key] = torch.cat([weights[key], weights[key]])

    edit_weights(folder / file, widen)
    with pytest.raises(InputError, match=rf"{file.split('/')[0]}.*{name}.*again"):
        load(folder)


def test_an_autoencoder_of_another_kind(copy):
    folder = copy("text")
    shutil.rmtree(folder / "vae")
    edit_index(folder, vae=["diffusers", "AutoencoderTiny"])
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).save_pretrained(folder / "vae")  # fmt: skip
    with pytest.raises(InputError, match=r"AutoencoderKL, AutoencoderDC.*got AutoencoderTiny"):
        load(folder)


def test_missing_part_of_weights_in_several_files(copy):
    """Each is needed, and the whole is the same."""
    folder = copy("dit") / "transformer"
    model = DiTTransformer2DModel.from_pretrained(folder)
    (folder / NETWORK).unlink()
    model.save_pretrained(folder, max_shard_size=20_000)
    parts = sorted(folder.glob("*-of-*.safetensors"))
    assert len(parts) > 1
    check_same_weights(load(folder.parent).model, model)
    parts[1].unlink()
    with pytest.raises(InputError, match=r"transformer.*again"):
        load(folder.parent)


def test_missing_weight_of_a_pickled_file(copy):
    folder = copy("dit") / "transformer"
    model = DiTTransformer2DModel.from_pretrained(folder)
    (folder / NETWORK).unlink()
    model.save_pretrained(folder, safe_serialization=False)
    load(folder.parent)
    (file,) = folder.glob("*.bin")
    weights = torch.load(file)
    weights.pop("proj_out_2.bias")
    torch.save(weights, file)
    with pytest.raises(InputError, match=r"transformer.*proj_out_2\.bias.*again"):
        load(folder.parent)


def test_position_ids_are_no_missing_weights(copy):
    """Files of older versions hold them, newer ones do not."""
    folder = copy("text")
    file = folder / "text_encoder/model.safetensors"
    edit_weights(file, lambda w: w.pop("text_model.embeddings.position_ids", None))
    without = load(folder)
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    edit_weights(file, lambda w: w.update(ids))
    check_same_weights(load(folder), without)


@pytest.mark.parametrize(
    ("family", "part"),
    [
        ("text", "unet"),
        ("text", "vae"),
        ("text", "text_encoder"),
        ("text", "tokenizer"),
        ("text", "scheduler"),
        ("dit", "transformer"),
        ("unet", "scheduler"),
    ],
)
def test_missing_folder_is_named(copy, family, part):
    folder = copy(family)
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"`{part}`.*again"):
        load(folder)


@pytest.mark.parametrize("entry", [[None, None], "absent"])
@pytest.mark.parametrize(
    ("family", "part"),
    [
        ("text", "text_encoder"),
        ("text", "tokenizer"),
        ("text", "scheduler"),
        ("dit", "transformer"),
        ("unet", "scheduler"),
    ],
)
def test_component_that_the_index_does_not_name(copy, family, part, entry):
    folder = copy(family)
    edit_index(folder, **{part: entry})
    with pytest.raises(InputError, match=f"`{part}`"):
        load(folder)


@pytest.mark.parametrize(
    "file",
    [
        f"unet/{NETWORK}",
        "unet/config.json",
        "text_encoder/config.json",
        f"vae/{NETWORK}",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    ],
)
def test_missing_file_is_named(copy, file):
    folder = copy("text")
    (folder / file).unlink()
    component, name = file.split("/")
    named = name if name.endswith(".json") else "safetensors"
    with pytest.raises(InputError, match=rf"{component}.*{named}.*again"):
        load(folder)


@pytest.mark.parametrize(
    "file",
    [
        f"unet/{NETWORK}",
        f"vae/{NETWORK}",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_git_lfs_pointer_in_place_of_a_file(copy, file):
    folder = copy("text")
    assert (folder / file).is_file()
    (folder / file).write_text(POINTER)
    with pytest.raises(InputError, match=f"{file}.*git lfs pull"):
        load(folder)


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("text", f"unet/{NETWORK}"),
        ("text", "text_encoder/model.safetensors"),
        ("dit", f"transformer/{NETWORK}"),
    ],
)
@pytest.mark.parametrize("kept", [0, 4, 1000, -8])
def test_truncated_weights(copy, family, file, kept):
    folder = copy(family)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:kept])
    with pytest.raises(InputError, match=f"{file}.*again"):
        load(folder)


def as_older_versions_write_it(folder):
    """CLIP's tokenizer as two files, vocabulary and merges."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(tokenizer["vocab"]))
    merges = (" ".join(m) if isinstance(m, list) else m for m in tokenizer["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer.json").unlink()


def test_tokenizer_of_two_files_loads(copy, whole):
    folder = copy("text")
    as_older_versions_write_it(folder / "tokenizer")
    one, two = load(whole / "text").tokenizer, load(folder).tokenizer
    prompt = "a photo of an Abyssinian, a type of pet."
    assert one(prompt)["input_ids"] == two(prompt)["input_ids"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *itertools.product(["vocab.json", "merges.txt", "tokenizer_config.json"], [None, "", "\n"]),
        ("merges.txt", "#version: 0.2\n"),
    ],
)
def test_tokenizer_without_a_file(copy, file, content):
    """Transformers would take an empty vocabulary, or spell every word."""
    folder = copy("text")
    as_older_versions_write_it(folder / "tokenizer")
    (folder / "tokenizer" / file).unlink()
    if content is not None:
        (folder / "tokenizer" / file).write_text(content)
    with pytest.raises(InputError, match=f"tokenizer/{file}.*again"):
        load(folder)


def test_merges_that_are_a_git_lfs_pointer(copy):
    """They load as merges, wrong ones."""
    folder = copy("text")
    as_older_versions_write_it(folder / "tokenizer")
    (folder / "tokenizer/merges.txt").write_text(POINTER)
    with pytest.raises(InputError, match=r"tokenizer/merges\.txt.*git lfs pull"):
        load(folder)


def test_empty_vocabulary(copy):
    folder = copy("text")
    as_older_versions_write_it(folder / "tokenizer")
    (folder / "tokenizer/vocab.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.*again"):
        load(folder)


def test_tokenizer_of_words_without_words(tmp_path):
    folder = shutil.copytree(ASSETS / "digits-text", tmp_path / "model")
    file = folder / "tokenizer/tokenizer.json"
    tokenizer = json.loads(file.read_text())
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    tokenizer["model"]["vocab"] = special
    file.write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match=r"vocabulary.*tokenizer"):
        load(folder)
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(InputError, match=r"`tokenizer`"):
        load(folder)


@pytest.mark.parametrize("family", ["text", "dit"])
def test_folder_with_variants_alone(whole, copy, family):
    """The remedy that the message gives is one."""
    folder = copy(family)
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(InputError, match=r'variant="fp16"'):
        load(folder)
    check_same_weights(load(folder, variant="fp16"), load(whole / family))


def test_components_without_the_variant_come_plain(copy):
    folder = copy("text")
    file = folder / "unet" / NETWORK
    file.rename(file.with_suffix(".fp16.safetensors"))
    load(folder, variant="fp16")
    with pytest.raises(InputError, match=r"`variant`.*fp16.*'bf16'"):
        load(folder, variant="bf16")


def test_class_that_is_not_installed(copy):
    folder = copy("dit")
    edit_index(folder, scheduler=["diffusers", "SchedulerOfTomorrow"])
    with pytest.raises(InputError, match=r"SchedulerOfTomorrow.*Install"):
        load(folder)


def test_components_of_another_family_are_refused(copy):
    folder = copy("text")
    edit_index(folder, text_encoder_2=["transformers", "CLIPTextModel"])
    with pytest.raises(InputError, match="`text_encoder_2`"):
        load(folder)


def test_components_that_predict_no_noise_are_left_alone(copy):
    """Their folders are not even there."""
    folder = copy("text")
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    edit_index(folder, safety_checker=checker, image_encoder=["transformers", "CLIPVisionModel"])
    load(folder)


def test_one_file_of_unknown_form(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors.*Give `config`"):
        load(tmp_path / "model.safetensors", local_files_only=True)


def test_path_that_is_neither_folder_nor_id(tmp_path):
    with pytest.raises(InputError, match="`pretrained_model_name_or_path`"):
        load(tmp_path / "no" / "such" / "folder")


@pytest.mark.parametrize("arguments", [{"variant": None}, {"variant": "fp16"}])
def test_pipeline_from_the_cache_of_the_hub(whole, tmp_path, arguments):
    """Only what is needed has to be there: the checker that the index names is not."""
    repository = tmp_path / "models--someone--model"
    snapshot = shutil.copytree(whole / "text", repository / "snapshots" / ("0" * 40))
    edit_index(snapshot, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    if arguments["variant"]:
        for file in snapshot.rglob("*.safetensors"):
            file.rename(file.with_suffix(".fp16.safetensors"))
    cached = load("someone/model", cache_dir=str(tmp_path), local_files_only=True, **arguments)
    assert isinstance(cached, StableDiffusion)
    check_same_weights(cached, load(whole / "text"))


@pytest.mark.parametrize("file", [f"transformer/{NETWORK}", "scheduler/scheduler_config.json"])
def test_command_line_says_it_without_a_traceback(tmp_path, diffclf, file):
    folder = shutil.copytree(ASSETS / "digits-dit", tmp_path / "model")
    (folder / file).write_text(POINTER)
    model = f"--model.denoiser.pretrained_model_name_or_path={folder}"
    run = diffclf("test", "--config", "digits", model, code=2)
    assert "diffclf: error: Expected `pretrained_model_name_or_path`" in run.stderr
    assert f"{file} is a Git LFS pointer" in run.stderr
    assert "Traceback" not in run.stderr.partition("diffclf: error:")[2]
