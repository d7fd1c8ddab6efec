"""``diffclf convert``: weights as published against the published formulas."""

import argparse
import json
import random
import warnings

import published_dit
import pytest
import tiny
import tiny_shifts
import torch
from published_dit import Sizes
from safetensors.torch import save_file

from diffclf_lightning import AutoDenoiser, DiffusionClassifier, InputError
from diffclf_lightning.configurations import CONFIGS
from diffclf_lightning.convert.command import main
from diffclf_lightning.denoisers import ADMCrop, OriginalDiT, SiTDenoiser
from diffclf_lightning.denoisers.skeleton import rebuilt
from diffclf_lightning.evaluation import Noised
from diffclf_lightning.generate.samplers import EulerSampler, PipelineSampler, sampler_of

FORMS = {
    "sit": ("sit", Sizes(variance=True)),
    "sit without variance": ("sit", Sizes(patch=4, heads=4)),
    "sit of a published width": ("sit", Sizes(width=384, heads=6, blocks=1)),
    "repa": ("repa", Sizes()),
    "repa with normalised queries": ("repa", Sizes(qk_norm=True)),
}


def converted(folder, kind, weights, *arguments):
    """What the command makes of weights in a file, and loads again."""
    file = folder / "weights.pt"
    torch.save(weights, file)
    main([kind, str(file), f"--out={folder / 'out'}", *arguments])
    return AutoDenoiser.from_pretrained(str(folder / "out"))


@pytest.fixture
def vae(tmp_path):
    tiny.autoencoder().save_pretrained(tmp_path / "vae")
    return f"--vae={tmp_path / 'vae'}"


def noised_at(model, sigmas):
    x_0, noise = torch.randn(2, len(sigmas), *model.sample_shape)
    return Noised(x_0, noise, model.at(torch.tensor(sigmas)))


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_flows_are_those_of_the_formulas(form, seed, tmp_path, vae):
    kind, sizes = FORMS[form]
    weights = published_dit.weights(sizes, projectors=kind == "repa")
    known = sizes.qk_norm or sizes.width == 384
    heads = [] if known else [f"--heads={sizes.heads}"]
    model = converted(tmp_path, kind, {"model": {}, "ema": weights}, vae, *heads)
    assert (model.num_classes, model.null_class, model.sample_shape) == (5, 5, (4, 8, 8))
    sigmas, classes = [0.0, 0.3, 0.5, 0.999], [0, 4, 2, 5]
    noised = noised_at(model, sigmas)
    told = model._class_labels(classes)
    output = model(noised.x_t, noised.at.timestep, told)
    said = model.predict(noised, told)
    for i, sigma in enumerate(sigmas):
        x_0, noise, x_t = (s[i].double() for s in (noised.x_0, noised.noise, noised.x_t))
        t = 1 - sigma if kind == "sit" else sigma
        if kind == "sit":
            assert torch.allclose(x_t, t * x_0 + (1 - t) * noise, atol=1e-6)
        else:
            assert torch.allclose(x_t, (1 - t) * x_0 + t * noise, atol=1e-6)
        expected = published_dit.forward(weights, sizes, x_t, t, classes[i])[:4]
        assert torch.allclose(output[i].double(), expected, rtol=1e-5, atol=1e-5)
        # An Euler step of the published sampler from its time to that of data.
        step = expected * (1 - t) if kind == "sit" else expected * (0 - t)
        assert torch.allclose(said.x_0[i].double(), x_t + step, rtol=1e-5, atol=2e-5)
        assert said.log_variance is None


@torch.no_grad()
def test_dit_is_that_of_the_formulas(seed, tmp_path, vae):
    """Timesteps are whole numbers up to 999, whose frequencies diffusers' DiT has otherwise."""
    sizes = Sizes(variance=True)
    weights = published_dit.weights(sizes)
    model = converted(tmp_path, "dit", weights, vae, "--heads=3")
    timesteps, classes = [0, 17, 500, 999], [0, 4, 2, 5]
    noised = Noised(*torch.randn(2, 4, 4, 8, 8), model.schedule.of(torch.tensor(timesteps)))
    said = model.predict(noised, model._class_labels(classes))
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for i, t in enumerate(timesteps):
        abar = (1 - betas[: t + 1]).prod()
        x_t = abar.sqrt() * noised.x_0[i] + (1 - abar).sqrt() * noised.noise[i]
        assert torch.allclose(noised.x_t[i], x_t, atol=1e-5)
        x_t = noised.x_t[i].double()
        noise, variance = published_dit.forward(weights, sizes, x_t, t, classes[i]).chunk(2)
        # Phases of single precision are as exact as 999 is.
        assert torch.allclose(said.noise[i].double(), noise, rtol=1e-5, atol=1e-4)
        if t:
            posterior = betas[t] * (1 - (1 - betas[:t]).prod()) / (1 - abar)
            fraction = (variance + 1) / 2
            expected = fraction * betas[t].log() + (1 - fraction) * posterior.log()
            assert torch.allclose(said.log_variance[i].double(), expected, atol=1e-3)


@pytest.fixture
def hub(tmp_path):
    """The form of facebook/DiT-XL-2-256: one embedder in all blocks, and an older class."""
    model = tiny.dit_with_vae()
    blocks = model.model.transformer_blocks
    for block in blocks[1:]:
        block.norm1.emb.load_state_dict(blocks[0].norm1.emb.state_dict())
    model.save_pretrained(tmp_path / "hub")
    for file in (tmp_path / "hub/model_index.json", tmp_path / "hub/transformer/config.json"):
        file.write_text(file.read_text().replace("DiTTransformer2DModel", "Transformer2DModel"))
    return tmp_path / "hub"


@torch.no_grad()
def test_a_pipeline_of_dit_hears_the_times_of_training(hub, tmp_path, seed):
    """All that differs from diffusers' network are the frequencies of time, and an epsilon."""
    with pytest.warns(UserWarning, match="as published weights do"):
        theirs = AutoDenoiser.from_pretrained(str(hub))
    with warnings.catch_warnings(action="error", category=UserWarning):
        main(["dit", str(hub), f"--out={tmp_path / 'own'}"])
    ours = AutoDenoiser.from_pretrained(str(tmp_path / "own"))
    assert isinstance(ours.model, OriginalDiT)
    assert list(ours.classnames) == list(theirs.classnames)
    pixels = torch.randint(256, (1, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(ours.encode(pixels), theirs.encode(pixels))
    assert torch.equal(ours.decode(torch.ones(1, 4, 8, 8)), theirs.decode(torch.ones(1, 4, 8, 8)))
    noised = Noised(*torch.randn(2, 3, 4, 8, 8), theirs.schedule.of(torch.tensor([3, 500, 999])))
    told = theirs.condition([0, 4, 2])
    own, other = ours.predict(noised, told), theirs.predict(noised, told)
    assert not torch.allclose(other.noise, own.noise, atol=1e-3)
    for block in theirs.model.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
        block.norm3.eps = 1e-6
    other = theirs.predict(noised, told)
    assert torch.allclose(other.noise, own.noise, atol=1e-5)
    assert torch.allclose(other.log_variance, own.log_variance, atol=1e-4)


def test_dits_that_diffusers_trained_are_left_as_they_are(tmp_path, hub, recwarn):
    tiny.dit_with_vae().save_pretrained(tmp_path / "trained")
    AutoDenoiser.from_pretrained(str(tmp_path / "trained"))
    assert not [w for w in recwarn if "as published weights do" in str(w.message)]
    out = f"--out={tmp_path / 'out'}"
    with pytest.raises(InputError, match="trained in diffusers' network"):
        main(["dit", str(tmp_path / "trained"), out])
    tiny.unet().save_pretrained(tmp_path / "unet")
    with pytest.raises(InputError, match="has UNet2DModel"):
        main(["dit", str(tmp_path / "unet"), out])
    with pytest.raises(InputError, match="Expected no --heads with a pipeline"):
        main(["dit", str(hub), out, "--heads=2"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "sign"), [("sit", 1), ("repa", -1)])
def test_a_step_with_the_true_target_is_x_0(kind, sign, seed, tmp_path):
    sizes = Sizes(channels=1)
    model = converted(tmp_path, kind, published_dit.weights(sizes), "--heads=3")
    noised = noised_at(model, [0.0, 0.25, 0.9])
    target = model.schedule.target.of(noised)
    assert torch.allclose(target, sign * (noised.x_0 - noised.noise), atol=1e-6)
    assert torch.allclose(noised.x_t + sign * noised.sigma * target, noised.x_0, atol=1e-5)
    told = noised.at.timestep.tolist()
    assert told == pytest.approx([1, 0.75, 0.1] if kind == "sit" else [0, 0.25, 0.9])


def test_published_sizes_are_those_of_the_paper():
    """DiT-XL/2 has 675M parameters, its positions among them."""
    with torch.device("meta"):
        model = OriginalDiT(out_channels=8)
    assert sum(value.numel() for value in model.state_dict().values()) == 675_129_632


@torch.no_grad()
def test_one_list_of_blocks_is_made_of_the_two_of_older_repa(seed, tmp_path):
    sizes = Sizes(channels=1)
    weights = published_dit.weights(sizes)
    moved = {"blocks.1": "decoder_blocks.0", "blocks.2": "decoder_blocks.1"}
    older = {moved.get(name[:8], name[:8]) + name[8:]: value for name, value in weights.items()}
    assert sum("decoder_blocks.1." in name for name in older)
    model = converted(tmp_path, "repa", older, "--heads=3")
    x_t = torch.randn(1, 1, 8, 8)
    output = model(x_t, torch.tensor([0.4]), model.condition([3]))[0]
    expected = published_dit.forward(weights, sizes, x_t[0], 0.4, 3)
    assert torch.allclose(output.double(), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_files_of_tensors_in_any_form_are_the_same_model(seed, tmp_path):
    weights = published_dit.weights(Sizes(channels=1))
    settings = argparse.Namespace(path_type="Linear", prediction="velocity", image_size=8)
    forms = {
        "plain.pt": weights,
        "train.pt": {"model": {}, "ema": weights, "opt": {"step": 3}, "args": settings},
        "wrapped.pt": {"model": {f"module.{name}": value for name, value in weights.items()}},
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / name)
    torch.save(weights, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(weights, tmp_path / "plain.safetensors")
    for i, name in enumerate([*forms, "old.pt", "plain.safetensors"]):
        main(["sit", str(tmp_path / name), f"--out={tmp_path / str(i)}", "--heads=3"])
        state = AutoDenoiser.from_pretrained(str(tmp_path / str(i))).model.state_dict()
        assert state.keys() == weights.keys()
        assert all(torch.equal(state[key], value) for key, value in weights.items())


def test_the_rest_of_the_pipeline(seed, tmp_path, vae):
    model = converted(
        tmp_path, "sit", published_dit.weights(Sizes()), vae, "--heads=3", "--names", "a, b, c,d,e"
    )
    assert list(model.classnames) == ["a", "b", "c", "d", "e"]
    assert isinstance(model.transform, ADMCrop)
    pixels = torch.randint(256, (1, 3, 16, 16), dtype=torch.uint8)
    whole = tiny.autoencoder()
    with torch.no_grad():
        mean = whole.encode(pixels / 127.5 - 1).latent_dist.mean
        assert torch.allclose(model.encode(pixels), mean * 0.18215, atol=1e-6)
    again = rebuilt(**model.stored_form()["init_args"])
    again.load_state_dict(model.state_dict())
    x_t, t = torch.randn(1, 4, 8, 8), torch.tensor([0.7])
    with torch.no_grad():
        first, second = (m(x_t, t, m.condition([2])) for m in (model, again))
    assert torch.equal(first, second)
    half = AutoDenoiser.from_pretrained(str(tmp_path / "out"), torch_dtype="bfloat16")
    with torch.no_grad():
        assert torch.allclose(half(x_t, t, half.condition([2])).float(), first, atol=0.5)


@torch.no_grad()
def test_mixtures_of_one_class_are_that_class(seed, tmp_path):
    model = converted(tmp_path, "sit", published_dit.weights(Sizes(channels=1)), "--heads=3")
    noised, classes = noised_at(model, [0.2, 0.7]), model.condition(range(5))
    mixed = model.predict_mixed(noised, classes, torch.eye(5)[[3, 1]])
    alone = model.predict(noised, model.condition([3, 1]))
    assert torch.allclose(mixed.output, alone.output, atol=1e-5)


@pytest.mark.parametrize("kind", ["dit", "sit", "repa"])
def test_converted_models_draw_images(kind, seed, tmp_path, vae):
    """DiT by diffusers' own pipeline, flows by a step from noise along what they say."""
    sizes = Sizes(rows=1001, variance=kind == "dit")
    model = converted(tmp_path, kind, published_dit.weights(sizes), vae, "--heads=3")
    sampler = sampler_of(model, 1, 1.0)
    assert isinstance(sampler, PipelineSampler if kind == "dit" else EulerSampler)
    (image,) = sampler.sample([3], [seed])
    assert (image.size, image.mode) == ((16, 16), "RGB")
    if kind != "dit":
        noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed))
        step, t = (1, 0) if kind == "sit" else (-1, 1)
        said = published_dit.forward(torch.load(tmp_path / "weights.pt"), sizes, noise, t, 3)
        assert torch.allclose(
            sampler.latents([3], [seed])[0].double(), noise + step * said, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("rows", "names"), [(1001, None), (1000, None)])
def test_a_thousand_classes_are_those_of_imagenet(rows, names, seed, tmp_path):
    sizes = Sizes(channels=1, blocks=1, rows=rows)
    model = converted(tmp_path, "sit", published_dit.weights(sizes), "--heads=3")
    assert model.num_classes == 1000
    assert model.null_class == (1000 if rows == 1001 else None)
    assert "tench" in model.classnames[0]
    assert "toilet" in model.classnames[999]


def test_names_may_say_that_there_is_no_null_class(seed, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"class {i}, or so" for i in range(6)))
    weights = published_dit.weights(Sizes(channels=1))
    model = converted(tmp_path, "sit", weights, "--heads=3", f"--names={tmp_path / 'names.txt'}")
    assert (model.num_classes, model.null_class) == (6, None)
    assert model.classnames[5] == "class 5, or so"


def test_from_published_weights_to_an_accuracy(diffclf, tmp_path, seed):
    sizes = Sizes(channels=1, rows=11)
    torch.save(published_dit.weights(sizes), tmp_path / "sit.pt")
    digits = [str(i) for i in range(10)]
    run = diffclf("convert", "sit", "sit.pt", "--out=sit", "--heads=3", "--names", *digits)
    assert "10 classes, images of 1 x 8 x 8: sit" in run.stdout
    diffclf(
        "test", "--config=digits", "--model.denoiser.pretrained_model_name_or_path=sit",
        "--model.strategy=Full", "--model.strategy.trials=2", "--data.num_test=6",
        "--results.folder=run",
    )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["sets"]["digits"]
    assert (summary["total"], summary["evaluations"]) == (6, 6 * 2 * 10)
    assert isinstance(
        DiffusionClassifier(AutoDenoiser.from_pretrained("sit")).denoiser, SiTDenoiser
    )


def test_the_shipped_configuration_takes_a_converted_folder(diffclf, tmp_path, vae, seed):
    tiny_shifts.imagenet_and_shifts(tmp_path / "data", random.Random(seed))
    torch.save(published_dit.weights(Sizes(blocks=1, rows=1001)), tmp_path / "SiT-XL-2-256.pt")
    text = (CONFIGS / "supervised/sit256.yaml").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("#   diffclf convert"))
    typed = line.split()[2:]
    typed[typed.index("--vae") + 1] = "vae"
    diffclf(*typed, "--heads=3")
    diffclf(
        "test", "--config=supervised/sit256", "--model.strategy=Full", "--model.strategy.trials=1",
        "--data.test_sets=[imagenet_a]", "--data.num_workers=0", "--results.folder=run",
        "--model.evaluations_per_batch=4096", "--trainer.accelerator=cpu",
    )  # fmt: skip
    sets = json.loads((tmp_path / "run" / "summary.json").read_text())["sets"]
    assert sets["imagenet_a"]["evaluations"] == 200 * sets["imagenet_a"]["total"] > 0
