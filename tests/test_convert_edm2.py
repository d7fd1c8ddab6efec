"""``diffclf convert edm2``: weights as published against the formulas of the paper."""

import json
import math

import published_edm2
import pytest
import tiny
import torch

from diffclf_lightning import AutoDenoiser, InputError
from diffclf_lightning.convert.command import main
from diffclf_lightning.denoisers import EDM2Weight
from diffclf_lightning.evaluation import Noised


def converted(folder, content, *arguments):
    torch.save(content, folder / "weights.pt")
    main(["edm2", str(folder / "weights.pt"), f"--out={folder / 'out'}", *arguments])
    return AutoDenoiser.from_pretrained(str(folder / "out"))


def refused(folder, content, *arguments):
    with pytest.raises(InputError) as caught:
        converted(folder, content, *arguments)
    assert not list(folder.glob("out*"))
    return str(caught.value)


@pytest.fixture
def content(seed):
    return published_edm2.saved(published_edm2.weights())


@torch.no_grad()
def test_denoised_samples_are_those_of_the_formulas(content, tmp_path):
    model = converted(tmp_path, content)
    assert (model.num_classes, model.null_class, model.sample_shape) == (5, None, (1, 8, 8))
    at = model.at(torch.tensor([0.0, 0.3, 0.6, 0.99]))
    assert at.alpha.tolist() == [1] * 4
    assert at.sigma[0].item() == pytest.approx(0.002, rel=1e-4)
    noised, classes = Noised(*torch.randn(2, 4, 1, 8, 8), at), [0, 4, 2, 3]
    said = model.predict(noised, model.condition(classes))
    weights = EDM2Weight(str(tmp_path / "out"))(at)
    for i, sigma in enumerate(at.sigma.tolist()):
        x_t = noised.x_0[i] + sigma * noised.noise[i]
        expected = published_edm2.denoised(content["model"], x_t, sigma, classes[i])
        assert torch.allclose(said.x_0[i].double(), expected, rtol=1e-4, atol=1e-4)
        u = published_edm2.uncertainty(content["model"], sigma)
        expected = (sigma**2 + 0.25) / (sigma * 0.5) ** 2 / math.exp(u)
        assert weights[i].item() == pytest.approx(expected, rel=1e-3)
    with pytest.raises(InputError, match="no class"):
        model.unconditional()


@torch.no_grad()
def test_mixtures_of_one_class_are_that_class(content, tmp_path):
    model = converted(tmp_path, content)
    noised = Noised(*torch.randn(2, 2, 1, 8, 8), model.at(torch.tensor([0.4, 0.8])))
    mixed = model.predict_mixed(noised, model.condition(range(5)), torch.eye(5)[[3, 1]])
    alone = model.predict(noised, model.condition([3, 1]))
    assert torch.allclose(mixed.output, alone.output, atol=1e-5)


@torch.no_grad()
def test_half_precision_keeps_what_it_is_given(content, tmp_path):
    """At small noise the answer is the input but for little, which no weights' type may round."""
    full = converted(tmp_path, content)
    half = AutoDenoiser.from_pretrained(str(tmp_path / "out"), torch_dtype="bfloat16")
    assert torch.equal(half.model.emb_fourier.freqs, full.model.emb_fourier.freqs)
    x_t, told = torch.randn(1, 1, 8, 8), torch.tensor([0.002]).log() / 4
    expected, found = (model(x_t, told, model.condition([1])) for model in (full, half))
    rounded = (x_t.bfloat16().float() - x_t).abs().mean()
    assert (found - expected).abs().mean() < rounded / 4


def test_latents_are_standardised_as_in_training(tmp_path, seed):
    tiny.autoencoder().save_pretrained(tmp_path / "vae")
    content = published_edm2.saved(published_edm2.weights(channels=4), channels=4)
    vae = f"--vae={tmp_path / 'vae'}"
    assert "'encoder' with the tensors scale, bias" in refused(tmp_path, content, vae)
    scale, bias = torch.rand(4) + 0.1, torch.randn(4)
    for wrong in ({"scale": scale[:2], "bias": bias}, {"scale": 0 * scale, "bias": bias}):
        assert "not 4 numbers each" in refused(tmp_path, {**content, "encoder": wrong}, vae)
    content["encoder"] = {"scale": scale, "bias": bias}
    assert "Expected --vae, since" in refused(tmp_path, content)
    model = converted(tmp_path, content, vae, "--names", "a,b,c,d,e")
    pixels = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        mean = tiny.autoencoder().encode(pixels / 127.5 - 1).latent_dist.mean
        expected = mean * scale[:, None, None] + bias[:, None, None]
        assert torch.allclose(model.encode(pixels), expected, atol=1e-5)
    assert list(model.classnames) == list("abcde")


def test_what_the_probe_does_not_confirm_is_refused(content, tmp_path):
    """Any other order of channels, or use of weights, would be found so."""
    changed = dict(content["model"])
    qkv = changed["unet.enc.4x4_block1.attn_qkv.weight"]
    changed["unet.enc.4x4_block1.attn_qkv.weight"] = (
        qkv.unflatten(0, (2, 64, 3)).transpose(1, 2).flatten(0, 2).contiguous()
    )
    assert "of what the network adds" in refused(tmp_path, {**content, "model": changed})
    changed = {**content["model"], "unet.out_gain": torch.tensor(0.8)}
    assert "of what the network adds" in refused(tmp_path, {**content, "model": changed})
    assert "has no 'probe'" in refused(tmp_path, {"model": content["model"]})
    assert "has no 'probe'" in refused(tmp_path, {**content, "probe": {"x": torch.zeros(1)}})
    probe = content["probe"]
    for name in probe:
        for other in (probe[name][:2], probe[name][..., :0], probe[name][0]):
            said = refused(tmp_path, {**content, "probe": {**probe, name: other}})
            assert "'probe' that does not hold" in said
    none = {name: values[:0] for name, values in probe.items()}
    assert "does not hold" in refused(tmp_path, {**content, "probe": none})


def test_weights_that_are_not_whole_are_refused(content, tmp_path):
    def without(name):
        model = {n: value for n, value in content["model"].items() if n != name}
        return refused(tmp_path, {**content, "model": model})

    assert "has no 'enc.64x64_conv.weight'" in without("unet.enc.8x8_conv.weight")
    assert "'out_gain'" in without("unet.out_gain")
    assert "'dec.8x8_up.emb_gain'" in without("unet.dec.8x8_up.emb_gain")
    assert "lacks 1 of the weights, 'dec.4x4_in0.conv_res1.weight'" in without(
        "unet.dec.4x4_in0.conv_res1.weight"
    )
    assert "Expected no --heads" in refused(tmp_path, content, "--heads=3")
    assert "to be 5 names" in refused(tmp_path, content, "--names", "a", "b")


def test_from_published_weights_to_an_accuracy(diffclf, tmp_path, seed):
    content = published_edm2.saved(published_edm2.weights(classes=10))
    torch.save(content, tmp_path / "edm2.pt")
    diffclf("convert", "edm2", "edm2.pt", "--out=edm2")
    diffclf(
        "test", "--config=digits", "--model.denoiser.pretrained_model_name_or_path=edm2",
        "--model.strategy=Full", "--model.strategy.trials=2", "--data.num_test=3",
        "--model.other_losses=[l2_x_0]", "--results.errors=true", "--results.folder=run",
    )  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["sets"]["digits"]
    assert (summary["total"], summary["evaluations"]) == (3, 3 * 2 * 10)
    weight = ["--score.weight=diffclf_lightning.denoisers.EDM2Weight"]
    weight += ["--score.weight.folder=edm2"]
    run = diffclf("score", "run", "--score=WeightedError", *weight)
    assert "score-l2_x_0-EDM2Weight" in run.stdout


def test_a_weight_is_named_by_its_numbers_wherever_they_lie(content, tmp_path, monkeypatch):
    converted(tmp_path, content)
    monkeypatch.setenv("HOME", str(tmp_path))
    first = repr(EDM2Weight(str(tmp_path / "out")))
    (tmp_path / "out").rename(tmp_path / "moved")
    assert repr(EDM2Weight("~/moved")) == first
    content["model"]["logvar_linear.weight"][0, 0] += 0.01
    converted(tmp_path, content)
    second = repr(EDM2Weight("~/out"))
    assert second != first
    assert str(tmp_path) not in second


def test_a_weight_needs_its_uncertainty(content, tmp_path):
    kept = {n: w for n, w in content["model"].items() if not n.startswith("logvar")}
    model = converted(tmp_path, {**content, "model": kept})
    assert model.model.config.logvar_channels is None
    for folder in (tmp_path / "out", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="`folder`"):
            EDM2Weight(str(folder))
