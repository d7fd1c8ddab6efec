import json

import pytest
import torch

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.denoisers.auto import family_of

UNET = {"unet": ["diffusers", "UNet2DConditionModel"]}


def test_embedded_model_is_a_dit_of_pixels():
    model = AutoDenoiser.from_pretrained("diffclf/digits-dit")
    assert model.sample_shape == model.image_shape == (1, 8, 8)
    assert model.num_classes == 10
    assert model.vae is None


def test_unknown_embedded_model_is_named():
    with pytest.raises(InputError, match=r"diffclf/digits-dit.*but got 'diffclf/nothing'"):
        AutoDenoiser.from_pretrained("diffclf/nothing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it has no model_index.json"),
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        (json.dumps({"_class_name": "WanPipeline"}), "names 'WanPipeline'"),
    ],
)
def test_folder_without_a_usable_pipeline(tmp_path, content, message):
    if content is not None:
        (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(InputError, match=message):
        AutoDenoiser.from_pretrained(str(tmp_path))


def test_id_that_is_nowhere(tmp_path):
    with pytest.raises(InputError, match="no folder, and the hub gave no pipeline"):
        AutoDenoiser.from_pretrained(
            "someone/no-such-model", cache_dir=str(tmp_path), local_files_only=True
        )


def test_arguments_that_a_family_does_not_take_are_named():
    with pytest.raises(InputError, match=r"`image_size` for .*but got 16. DiTDenoiser does not"):
        AutoDenoiser.from_pretrained("diffclf/digits-dit", image_size=16)


def test_weights_come_in_the_type_that_was_asked_for():
    model = AutoDenoiser.from_pretrained("diffclf/digits-dit", torch_dtype="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("StableDiffusionImg2ImgPipeline", "StableDiffusion"),
        ("LatentConsistencyModelPipeline", "StableDiffusion"),
        ("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXL"),
        ("StableDiffusionXLPAGPipeline", "StableDiffusionXL"),
        ("StableDiffusion3PAGImg2ImgPipeline", "StableDiffusion3"),
        ("KolorsImg2ImgPipeline", "Kolors"),
        ("IFImg2ImgPipeline", "DeepFloydIF"),
    ],
)
def test_pipelines_that_draw_otherwise_with_the_same_network(name, family):
    assert family_of("", {"_class_name": name, **UNET}).__name__ == family


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("StableDiffusionXLInpaintPipeline", "inpainting"),
        ("StableDiffusionXLControlNetPAGImg2ImgPipeline", "images under control"),
        ("StableDiffusionXLAdapterPipeline", "images under control"),
        ("IFImg2ImgSuperResolutionPipeline", "upscaling"),
        ("StableDiffusionXLInstructPix2PixPipeline", "editing"),
    ],
)
def test_pipelines_of_another_task(name, task):
    with pytest.raises(InputError, match=f"its pipeline {name} is for {task}"):
        family_of("", {"_class_name": name, **UNET})
