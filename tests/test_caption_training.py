"""Training on captions: windows, times, the text encoder's grammar, and the commands in a row."""

import json

import pytest
import torch
from diffusers import DDPMScheduler
from lightning.pytorch import Trainer

from diffclf_lightning import InputError
from diffclf_lightning.cli import main as diffclf
from diffclf_lightning.datamodules import Scenes
from diffclf_lightning.datamodules.scenes_grammar import DIGITS
from diffclf_lightning.denoisers import AutoDenoiser, GaussianDenoiser
from diffclf_lightning.denoisers.scratch import pixart
from diffclf_lightning.training import CaptionTraining, GrammarTraining, Successive, TimeRange
from diffclf_lightning.training.captions import windows_of
from diffclf_lightning.training.grammar import Readers

SAID = "a the of above below left right bright dark big small and is on top to under"
WORDS = [*DIGITS, *SAID.split(" ")]


@pytest.fixture
def denoiser(seed):
    torch.manual_seed(seed)
    return pixart(
        sample_size=16,
        in_channels=1,
        words=WORDS,
        scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        max_tokens=14,
        width=32,
        num_layers=1,
        attention_head_dim=8,
        patch_size=4,
    )


def trainer(steps):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", max_steps=steps, enable_model_summary=False, **quiet)


def test_times_are_in_their_range_and_spread_evenly(seed):
    times = TimeRange(0.2, 0.6)(1000, step=0)
    assert times.dtype == torch.float64
    assert times.min() >= 0.2
    assert times.max() < 0.6
    each = (times - 0.2).mul(1000 / 0.4).floor().long()
    assert torch.equal(each.sort().values, torch.arange(1000))
    assert not torch.equal(each, torch.arange(1000))


def test_a_share_of_times_lies_anywhere(seed):
    times = TimeRange(0.5, 0.6, anywhere=0.3)(20_000, step=0)
    outside = ((times < 0.5) | (times > 0.6)).double().mean().item()
    assert outside == pytest.approx(0.3 * 0.9, abs=0.02)
    assert times.min() < 0.01


def test_times_change_at_their_step(seed):
    times = Successive(TimeRange(0.0, 0.1), 5, TimeRange(0.9, 1.0))
    assert times(100, step=4).max() < 0.1
    assert times(100, step=5).min() >= 0.9


@pytest.mark.parametrize("limits", [(0.5, 0.5), (-0.1, 0.5), (0.2, 1.1), (0.7, 0.3)])
def test_ranges_that_are_none_are_named(limits):
    with pytest.raises(InputError, match="`low` and `high`"):
        TimeRange(*limits)


def test_windows_are_cut_out(seed):
    images, corners = torch.rand(4, 2, 9, 7), torch.tensor([[0, 0], [6, 4], [2, 1], [5, 3]])
    cut = windows_of(images, corners, 3)
    for mine, image, (row, column) in zip(cut, images, corners.tolist(), strict=True):
        assert torch.equal(mine, image[:, row : row + 3, column : column + 3])


@pytest.mark.parametrize("window", [None, 8])
def test_loss_of_an_untrained_network_is_one_and_falls(denoiser, window):
    """It predicts zero, and the noise has variance one."""
    module = CaptionTraining(denoiser, window, optimizer=lambda p: torch.optim.AdamW(p, lr=3e-3))
    losses = []
    module.log = lambda name, value, **_: losses.append(value.item())
    trainer(40).fit(module, Scenes(batch_size=32))
    assert losses[0] == pytest.approx(1, abs=0.1)
    assert sum(losses[-5:]) / 5 < 0.7


def test_the_network_sees_a_digit_at_its_place_and_the_whole_caption(denoiser, seed):
    module = CaptionTraining(denoiser, 8, caption_dropout=0.0)
    module.log = lambda *_, **__: None
    (batch,) = Scenes(batch_size=32, num_train=32).train_dataloader()
    heard = {}
    denoiser.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: heard.update(x_t=args[0], **kwargs), with_kwargs=True
    )
    denoiser.transformer.transformer_blocks[0].register_forward_pre_hook(
        lambda _, args, kwargs: heard.update(tokens=args[0]), with_kwargs=True
    )
    module.training_step(batch, 0)
    assert heard["x_t"].shape == (32, 1, 8, 8)
    with torch.no_grad():
        told = denoiser.condition(batch["caption"])["encoder_hidden_states"]
        assert torch.allclose(heard["encoder_hidden_states"], told, atol=1e-6)
        embedding = denoiser.transformer.pos_embed
        places = heard["tokens"] - embedding.proj(heard["x_t"]).flatten(2).transpose(1, 2)
        grid = embedding.pos_embed.unflatten(1, (4, 4))[0]
        for mine, corners in zip(places, batch["windows"], strict=True):
            expected = [
                grid[r // 4 : r // 4 + 2, c // 4 : c // 4 + 2].flatten(0, 1)
                for r, c in corners.tolist()
            ]
            assert any(torch.allclose(mine, one, atol=1e-5) for one in expected)


def test_dropped_captions_are_the_empty_one(denoiser, seed):
    module = CaptionTraining(denoiser, caption_dropout=0.5)
    module.log = lambda *_, **__: None
    (batch,) = Scenes(batch_size=256, num_train=256).train_dataloader()
    heard = {}
    denoiser.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: heard.update(kwargs), with_kwargs=True
    )
    module.training_step(batch, 0)
    with torch.no_grad():
        empty = denoiser.unconditional()["encoder_hidden_states"]
        told = denoiser.condition(batch["caption"])["encoder_hidden_states"]
    states = heard["encoder_hidden_states"]
    dropped = (states - empty).flatten(1).abs().amax(dim=1) < 1e-6
    assert torch.allclose(states[~dropped], told[~dropped], atol=1e-6)
    assert dropped.double().mean().item() == pytest.approx(0.5, abs=0.15)


def drawn(monkeypatch, denoiser, seed, rank, workers, **parts):
    """Captions, and what the network sees when, of the first step of a rank."""
    module, seen = CaptionTraining(denoiser, caption_dropout=0), {}

    def keep(_, args, kwargs):
        seen.setdefault("x_t", args[0].clone())
        seen.setdefault("times", kwargs["timestep"].clone())

    data = Scenes(batch_size=16, num_train=32, num_workers=workers)
    hook = denoiser.transformer.register_forward_pre_hook(keep, with_kwargs=True)
    with monkeypatch.context() as patch:
        patch.setattr(CaptionTraining, "global_rank", rank)
        patch.setattr(CaptionTraining, "on_train_batch_start",
                      lambda _, batch, index: seen.update(captions=batch["caption"]))  # fmt: skip
        for name, value in parts.items():
            patch.setattr(CaptionTraining, name, value)
        torch.manual_seed(seed)
        trainer(1).fit(module, data)
    hook.remove()
    return seen


@pytest.mark.parametrize("workers", [0, 1])
def test_ranks_draw_scenes_noise_and_times_of_their_own(denoiser, monkeypatch, seed, workers):
    arguments = monkeypatch, denoiser, seed
    first, second, third = (drawn(*arguments, rank, workers) for rank in range(3))
    for one, other in ((first, second), (first, third), (second, third)):
        assert one["captions"] != other["captions"]
        assert not torch.equal(one["times"].sort().values, other["times"].sort().values)
        assert not torch.equal(one["x_t"], other["x_t"])
    alone = drawn(*arguments, 0, workers, on_fit_start=lambda _: None)
    assert alone["captions"] == first["captions"]
    assert torch.equal(alone["times"], first["times"])
    assert torch.equal(alone["x_t"], first["x_t"])


def test_windows_of_a_model_that_sees_none_are_refused(denoiser):
    gaussian = GaussianDenoiser(torch.zeros(2, 1, 4, 4), 0.5)
    with pytest.raises(InputError, match="`window`"):
        CaptionTraining(gaussian, window=2)
    with pytest.raises(InputError, match=r"`caption_dropout` in \[0, 1\), but got 1"):
        CaptionTraining(denoiser, caption_dropout=1)


def test_readers_pass_over_what_is_not_said(seed):
    readers = Readers(16, 4, (10, 3))
    logits = readers.regions(torch.randn(5, 7, 16))
    assert logits.shape == (5, 4, 13)
    truth = torch.full((5, 4, 2), -100)
    truth[0, 1] = torch.tensor([7, 2])
    truth[3, 2] = torch.tensor([0, 1])
    expected = sum(
        -logits[row, place, :10].log_softmax(dim=0)[kind]
        - logits[row, place, 10:].log_softmax(dim=0)[look]
        for row, place, kind, look in ((0, 1, 7, 2), (3, 2, 0, 1))
    )
    assert torch.allclose(readers.loss(logits, truth), expected / 2, atol=1e-6)


def test_the_grammar_is_learned_by_the_text_encoder_alone(denoiser):
    before = {name: weight.clone() for name, weight in denoiser.state_dict().items()}
    module = GrammarTraining(denoiser)
    read = []
    module.log = lambda name, value, **_: read.append(value.item()) if "read" in name else None
    trainer(80).fit(module, Scenes(batch_size=64))
    assert read[0] < 0.3
    assert sum(read[-5:]) / 5 > 0.4
    for name, weight in denoiser.state_dict().items():
        moved = not torch.equal(weight, before[name])
        assert moved == name.startswith("text_encoder.") or "position_ids" in name, name


def test_words_are_found_among_the_tokens(denoiser):
    module = GrammarTraining(denoiser)
    captions = ["a dark three above the seven", "one"]
    places = module._places(captions, [0, 0, 1], [2, 5, 0])
    ids = denoiser.tokens(captions)["input_ids"]
    names = denoiser.tokenizer.convert_ids_to_tokens(ids[[0, 0, 1], places])
    assert names == ["three", "seven", "one"]


def test_the_commands_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ("--trainer.max_steps=2", "--data.batch_size=8", "--trainer.enable_progress_bar=false")
    for name in ("scenes_text_train", "scenes_parts_train", "scenes_train"):
        diffclf(["fit", "--config", name, *short])
    first, last = (
        AutoDenoiser.from_pretrained(f"runs/{name}") for name in ("scenes-text", "scenes")
    )
    own = json.loads((tmp_path / "runs/scenes/transformer/config.json").read_text())
    shipped = AutoDenoiser.from_pretrained("diffclf/scenes")
    assert own["num_layers"] == shipped.transformer.config.num_layers
    theirs = last.text_encoder.state_dict()
    for name, weight in first.text_encoder.state_dict().items():  # averaging rounds
        assert torch.allclose(weight, theirs[name], atol=1e-4)
    assert shipped.tokenizer.get_vocab() == last.tokenizer.get_vocab()
