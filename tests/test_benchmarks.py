"""The scripts of `benchmarks`, with small sizes."""

import importlib
import json
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diffclf_lightning import ErrorTable, InputError, MeanError, Racing
from diffclf_lightning.cli import main
from diffclf_lightning.denoisers import GaussianDenoiser
from diffclf_lightning.evaluation import Noised, Timesteps, replayed
from diffclf_lightning.metrics import clopper_pearson
from diffclf_lightning.results import RunFolder

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """A script as a module, and its main function with arguments."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name, *arguments):
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        if arguments:
            module.main()
        return module

    return load


def test_what_rows_cost_is_said_of_new_and_of_resumed_runs(script, capsys):
    script("rows", "--images", 40, "--labels", 3)
    said = capsys.readouterr().out
    assert "40 rows of 3 labels" in said
    assert [line.split(":")[0] for line in said.splitlines()[-2:]] == ["new", "resumed"]


def test_the_gpu_script_runs_whole_with_tiny_networks(script, capsys):
    torch._dynamo.reset()
    script("gpu", "--tiny", "--images", 2, "--repeats", 1)
    out = capsys.readouterr().out
    for name in ("DiT-XL/2 at 256", "Stable Diffusion 2"):
        rows = [line for line in out.splitlines() if name in line]
        kinds = [word for row in rows for word in row.split() if word in ("eager", "compiled")]
        assert kinds == ["eager", "compiled"]
        assert ["Staged" in row for row in rows[2:]] == [True, False]
        assert ["Racing" in row for row in rows[2:]] == [False, True]


def test_networks_of_the_gpu_script_cost_what_published_ones_do(script):
    """DiT-XL/2: 118.6 Gflops at 256 (Peebles and Xie 2023, Table 4), of 2 FLOP each; 0.9 billion
    weights and 804 GFLOP of Stable Diffusion 2's U-Net with its 77 tokens."""
    gpu = script("gpu")
    with torch.device("meta"):
        dit = gpu.DiTTransformer2DModel(**gpu.DIT_XL).eval()
        unet = gpu.UNet2DConditionModel(**gpu.SD_2).eval()
        told = {"encoder_hidden_states": torch.zeros(1, 77, 1024)}
        calls = [
            (dit, torch.zeros(1, 4, 32, 32), {"class_labels": torch.zeros(1, dtype=torch.int64)}),
            (unet, torch.zeros(1, 4, 64, 64), told),
        ]
        found, middle = [], []
        unet.mid_block.register_forward_hook(lambda _, __, output: middle.append(output.shape))
        for network, x_t, conditioning in calls:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(x_t, timestep=torch.zeros(1), **conditioning)
            found.append(counter.get_total_flops() / 1e9)
    assert found == [pytest.approx(2 * 118.6, rel=0.005), pytest.approx(804, rel=0.005)]
    assert middle == [(1, 1280, 8, 8)]  # what "SD features" are of


def test_what_is_paid_for_is_what_the_closed_form_says(script, seed):
    """The network makes every pass, and what it says changes nothing."""
    gpu = script("gpu")
    model = gpu.dit(**gpu.TINY_DIT)
    passes = []
    model.network.register_forward_hook(lambda module, given, said: passes.append(len(given[0])))
    means = torch.randn(6, *model.sample_shape)
    paid, closed = gpu.Paid(model, means), GaussianDenoiser(means, schedule=model.schedule)
    x_0, noise = torch.randn(2, 6, *model.sample_shape)
    noised = Noised(x_0, noise, paid.at([Fraction(k, 7) for k in range(1, 7)]))
    with torch.no_grad():
        said = paid.predict(noised, paid.told())
    expected = closed.predict(noised, closed.condition(range(6)))
    assert torch.allclose(said.noise, expected.noise, atol=1e-5)
    assert passes == [6]
    found = gpu.decide(model, gpu.TINY_STAGED, classes=6, images=4, size=8)
    assert found.evaluations == gpu.TINY_STAGED.evaluations(6)
    assert sum(passes[1:]) >= 4 * found.evaluations


def test_a_plain_loop_answers_as_the_engine_does(script, capsys):
    script("sequential", "--images", 12, "--repeats", 1)
    loop, staged, raced = capsys.readouterr().out.splitlines()[-4:-1]
    assert loop.split()[-3:] == staged.split()[-3:] == ["148", "12", "0"]
    assert int(raced.split()[-3]) < 100


def test_a_plain_loop_that_answers_otherwise_is_an_error(script, monkeypatch):
    sequential = script("sequential")
    monkeypatch.setattr(sequential, "plain", lambda *_: ([0, 0, 0], 444))
    with pytest.raises(RuntimeError, match="same answers"):
        script("sequential", "--images", 3, "--repeats", 1)


def test_races_are_among_each_images_own_class_and_others(script, seed):
    """Among all classes they are the race itself; the posterior here knows the class."""
    classes = script("classes")
    errors, labels = torch.randn(40, 12, 20) + torch.rand(40, 12, 1), torch.arange(40) % 12
    errors[torch.arange(20), labels[:20]] -= 5
    timesteps = Timesteps(*[torch.zeros(20)] * 6)
    images = classes.Images(errors, labels, timesteps, torch.eye(12)[labels])
    found = classes.races(iter([images]), (2, 5, 12, 30))
    assert list(found) == [2, 5, 12]
    for size, said in found.items():
        assert said["right"][:20].all()
        assert torch.equal(said["full right"], said["full Bayes"])
        assert said["racing"].sum() <= said["strict"].sum()
        assert said["strict"].max() <= 20 * size
    counts = torch.full((40, 12), 20)
    table = ErrorTable({"l2": errors.flatten()}, counts, torch.arange(12), counts > 0, timesteps)
    rule = Racing(max_trials=20)
    race = replayed(table, rule.bind(12, rule.stages), MeanError())
    best, full = race["l2"].best, errors.double().mean(dim=-1).argmin(dim=1)
    assert torch.equal(found[12]["racing"], race.evaluations)
    assert torch.equal(found[12]["right"], best == labels)
    assert torch.equal(found[12]["full right"], full == labels)
    assert torch.equal(found[12]["differs"], best != full)
    kept = found[2]["full right"].double().mean()
    assert kept > found[12]["full right"].double().mean()


def test_a_power_law_is_found_again(script, seed):
    classes = script("classes")
    sizes, images = (10, 30, 100, 300), 400
    spread = np.random.default_rng(seed).lognormal(0, 0.5, size=(len(sizes), images))
    exact = {k: {"racing": torch.full((3,), 7.0) * k**0.8} for k in sizes}
    growth = classes.Growth.of(exact)
    assert growth(1000) == pytest.approx(7 * 1000**0.8)
    assert growth.interval == pytest.approx((0.8, 0.8))
    noisy = {
        k: {"racing": torch.from_numpy(7 * k**0.8 * row)}
        for k, row in zip(sizes, spread, strict=True)
    }
    low, high = classes.Growth.of(noisy).interval
    assert high - low == pytest.approx(2 * 1.96 * _error_of_exponent(sizes, images), rel=0.3)


def _error_of_exponent(sizes, images):
    """Standard error of a slope through means of independent lognormal values."""
    x = np.log(sizes)
    relative = np.sqrt((np.exp(0.5**2) - 1) / images)
    return relative / np.sqrt(((x - x.mean()) ** 2).sum())


def test_classes_of_a_run_and_what_does_not_do(script, diffclf, tmp_path, monkeypatch):
    short = ("test", "--config", "digits", "--data.num_test=6", "--results.errors", "true")
    diffclf(*short, "--model.strategy", "Full", "--model.strategy.trials", 8,
            "--model.grid", "GoldenGrid", "--results.folder", "full")  # fmt: skip
    diffclf(*short, "--model.strategy", "Staged", "--model.strategy.trials", "[2,4]",
            "--model.strategy.keep", "[2,1]", "--results.folder", "staged")  # fmt: skip
    classes = script("classes")
    for name, value in (("CLASSES", 40), ("TRIALS", 12), ("SIZES", (5, 10, 40)), ("RESAMPLES", 9)):
        monkeypatch.setattr(classes, name, value)
    script("classes", "full", "--images", 6, "--figure", "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    found = classes.races(classes.of_run(RunFolder("full")), (5, 10))
    summary = RunFolder("full").summary()["sets"]["digits"]
    assert int(found[10]["full right"].sum()) == summary["correct"]
    with pytest.raises(InputError, match=r"of Staged.*NestedGrid"):
        list(classes.of_run(RunFolder("staged")))


def test_systems_are_made_once_and_told_in_one_table(script, tmp_path, monkeypatch, capsys):
    systems = script("systems")
    commands = []

    def run(command, folder):
        commands.append(command)
        name = command.split("--results.folder ")[-1]
        if command.startswith("test"):
            (folder / name).mkdir(parents=True)
            counts = {"correct": 3, "total": 4, "evaluations_per_image": 7.0}
            kinds = {kind: {"correct": 1, "total": 4} for kind in ("text", "image", "group")}
            sets = {"digits": counts, "scenes": {**counts, "scores": {"l2": {"all": kinds}}}}
            chosen = {"scenes": sets["scenes"]} if "scenes" in name else {"digits": counts}
            summary = json.dumps({"run": {}, "sets": chosen})
            (folder / name / "summary.json").write_text(summary)

    monkeypatch.setattr(systems, "run", run)
    for table in ("digits", "scenes", "digits"):
        script("systems", table, "--folder", tmp_path, "--images", 4)
    said = capsys.readouterr().out
    assert len(commands) == len(set(commands))  # the second time nothing is left to do
    assert sum(command.startswith("generate") for command in commands) == 1
    assert sum(command.startswith("fit") for command in commands) == 4
    interval = clopper_pearson(3, 4)
    share = f"75.0 ({100 * interval.lower:.1f}-{100 * interval.upper:.1f})"
    assert said.count(f"| `digits` | {' | '.join([share] * 7)} |") == 2
    assert "| Diffusion classifier (l2) | all | 25.0 (" in said
    (tmp_path / "digits-small-clip-4" / "summary.json").unlink()
    (tmp_path / "digits-small-clip-4").rmdir()
    script("systems", "digits", "--folder", tmp_path, "--images", 4)
    assert [c for c in commands if "digits_clip" in c] == [commands[-1]] * 2


def test_kinds_of_scenes_of_a_run(script, tmp_path, capsys):
    main("test --config scenes --data.num_test 6 --model.strategy.trials 2 "
         f"--results.folder {tmp_path}/r --trainer.accelerator cpu".split())  # fmt: skip
    capsys.readouterr()
    script("scenes", tmp_path / "r")
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    numbers = {(row[0].strip("| "), row[1]): int(row[2]) for row in rows}
    report = json.loads((tmp_path / "r/summary.json").read_text())["sets"]["scenes"]
    for score, by_tag in report["scores"].items():
        for tag, kinds in by_tag.items():
            assert numbers[score, tag] == kinds["text"]["total"]
            (row,) = [r for r in rows if (r[0].strip("| "), r[1]) == (score, tag)]
            for place, kind in enumerate(("text", "image", "group"), 3):
                assert row[place].startswith(f"{100 * kinds[kind]['score']:.1f} (")


def test_weights_over_time_are_compared_on_other_images(script, diffclf, capfd, tmp_path):
    run = ["test", "--config", "digits", "--data.num_test=20"]
    run += ["--model.strategy=Full", "--model.strategy.trials=32", "--model.grid=GoldenGrid"]
    diffclf(*run, "--results.errors=true", "--results.folder=without")
    with pytest.raises(InputError, match=r"other_losses '\[l2_x_0\]'"):
        script("time_weights", tmp_path / "without")
    diffclf(*run, "--results.errors=true", "--results.folder=r", "--model.other_losses=[l2_x_0]")
    module = script("time_weights", tmp_path / "r", "--halves", 2)
    table = [line.split() for line in capfd.readouterr().out.splitlines()]
    rows = {words[0]: words[1:] for words in table if words and "bias" not in words}
    run = RunFolder(tmp_path / "r")
    ((errors, _, truth),) = module.load(run).values()
    at = run.description()["trials"]
    weight = [math.exp(-7 * float(Fraction(t))) for t in at["time"]]
    halves = module.halves(truth, 2)
    assert [int(half.sum()) for half in halves] == [10] * 4
    for name, values in (
        ("uniform", errors["l2"].double()),
        ("Clark-Jaini", errors["l2_x_0"].double() * torch.tensor(weight)),
    ):
        for column, number in enumerate((8, 32)):
            right = [
                int(values[image, :, :number].mean(dim=1).argmin()) == truth[image]
                for half in halves
                for image in range(20)
                if not half[image]
            ]
            place = column if name == "uniform" else 4 * column
            assert float(rows[name][place]) == pytest.approx(100 * np.mean(right), abs=0.06)
    assert "learned" in rows


def test_fine_tuning_prints_a_row_for_each_loss_and_number_of_images(script, capsys):
    script("fine_tuning", "--shots", 1, "--seeds", 1, "--images", 3, "--steps", 1, "--rank", 2)
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert [row[0].strip() for row in rows[2:]] == ["0", "1", "1"]
    assert {len(row) for row in rows} == {5}
    before = float(rows[2][2].split()[0])
    for row in rows[3:]:
        gain = float(row[2].split()[0]) - before
        assert float(row[3].split()[0]) == pytest.approx(gain, abs=0.11)
