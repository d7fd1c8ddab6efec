"""Signals, sent to the command line wherever it is: what is stored stays, one line says it."""

import json
import os
import re
import signal
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import forked
import pyarrow.parquet as pq
import pytest
import torch
from waiting import wait_for, waits

from diffclf_lightning import cli, stopping
from diffclf_lightning.cli import main
from diffclf_lightning.ending import ending
from diffclf_lightning.stopping import Stopped, Stopping

IMAGES, BATCH = 24, 4
RUN = [
    "test", "--config", "digits", "--trainer.accelerator=cpu", f"--data.num_test={IMAGES}",
    f"--data.batch_size={BATCH}", "--model.strategy.max_trials=4", "--results.folder=r",
]  # fmt: skip
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
BOTH = pytest.mark.parametrize("number", list(CODES))


def own(ended):
    """What the command line itself says, of which no traceback is a part."""
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.replace("\r", "\n").splitlines()
    return [line for line in lines if "diffclf:" in line]


def hears(run):
    """Whether a process has a handler of SIGTERM."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{run.pid}/status").read_text())
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def stored(folder):
    rows = [pq.read_table(file) for file in folder.rglob("*.parquet")]
    return {row["key"]: (row["digest"], row["prediction"]) for t in rows for row in t.to_pylist()}


@BOTH
def test_within_a_batch_a_run_ends_at_once_and_goes_on_later(tmp_path, number):
    run = forked.begun(tmp_path, *RUN, *waits("on_test_batch_start", 3))
    wait_for(tmp_path, run)
    run.send(number)
    ended = run.end(10)
    assert ended.code == CODES[number]
    name = signal.Signals(number).name
    (line,) = own(ended)
    assert line == (
        f"diffclf: stopped by {name}; 12 of {IMAGES} images are stored: the same command with "
        "--results.folder r goes on"
    )
    assert not list(tmp_path.rglob("*.partial"))
    assert not (tmp_path / "r" / "summary.json").exists()
    before = stored(tmp_path)
    assert len(before) == 12
    if number == signal.SIGINT:  # the folder is the same
        return
    again = forked.diffclf(tmp_path, *RUN)
    assert again.code == 0, again.stderr
    after = stored(tmp_path)
    assert len(after) == IMAGES
    assert before.items() <= after.items()
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["sets"]["digits"]["total"] == IMAGES


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("setup", ""),
        ("on_test_batch_start", "; no image is stored yet"),
        ("on_test_epoch_end", f"; {IMAGES} of {IMAGES} images are stored: "),
    ],
)
def test_before_the_first_image_and_after_the_last(tmp_path, hook, said):
    run = forked.begun(tmp_path, *RUN, *waits(hook))
    wait_for(tmp_path, run)
    run.send(signal.SIGTERM)
    ended = run.end(10)
    assert ended.code == 143
    assert own(ended)[0].startswith(f"diffclf: stopped by SIGTERM{said}")


def test_at_any_moment_there_is_one_line_and_no_traceback(tmp_path, seed):
    for number, seconds in zip(CODES, torch.rand(2).tolist(), strict=True):
        run = forked.begun(tmp_path, *RUN)
        while not hears(run):
            time.sleep(0.005)
        time.sleep(0.5 * seconds)
        run.send(number)
        ended = run.end(10)
        assert ended.code == CODES[number]
        assert len(own(ended)) == 1


def test_a_main_thread_that_does_not_hear_is_not_waited_for(tmp_path):
    """As one that waits for another rank."""

    def run():
        stopping.GRACE = 0.1
        main([*RUN, *waits("on_test_batch_start", 2, deaf=True)])

    process = forked.Forked(run, tmp_path)
    wait_for(tmp_path, process)
    process.send(signal.SIGTERM)
    ended = process.end(10)
    assert ended.code == 143
    assert f"; 8 of {IMAGES} images are stored: " in own(ended)[0]


@pytest.mark.parametrize(("second", "grace"), [(signal.SIGINT, 60), (signal.SIGTERM, 1)])
def test_a_second_ctrl_c_ends_at_once(tmp_path, second, grace):
    """Nothing else does: torchrun, for one, sends SIGTERM after what the keyboard sent."""

    def run():
        stopping.GRACE = grace
        main([*RUN, *waits("on_test_batch_start", 2, deaf=True)])

    process = forked.Forked(run, tmp_path)
    wait_for(tmp_path, process)
    begin = time.monotonic()
    process.send(signal.SIGINT)
    time.sleep(1.5 * stopping.DOUBLE)
    process.send(second)
    assert process.end(30).code == 130
    assert second == signal.SIGINT or time.monotonic() - begin > grace


def test_who_ignores_a_signal_goes_on(tmp_path):
    """``nohup``."""

    def run():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        main([*RUN, *waits("on_test_batch_start", 2)])

    process = forked.Forked(run, tmp_path)
    wait_for(tmp_path, process)
    process.send(signal.SIGINT)
    time.sleep(0.1)
    assert os.waitpid(process.pid, os.WNOHANG) == (0, 0)
    process.send(signal.SIGTERM)
    assert process.end(10).code == 143


def test_training_goes_on_from_its_last_checkpoint(tmp_path):
    train = [
        "fit", "--config", "digits_train", "--trainer.accelerator=cpu", "--results.folder=r",
        "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=0", "--data.batch_size=2",
        "--trainer.enable_progress_bar=false", "--trainer.enable_checkpointing=true",
        "--trainer.check_val_every_n_epoch=1",
    ]  # fmt: skip
    run = forked.begun(tmp_path, *train)
    checkpoint = tmp_path / "r" / "checkpoints" / "last.ckpt"
    until = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < until:
        assert os.waitpid(run.pid, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    run.send(signal.SIGTERM)
    ended = run.end(60)
    assert ended.code == 143
    (line,) = own(ended)
    how = "; the same command with --results.folder r --ckpt_path r/checkpoints/last.ckpt goes on"
    assert line == f"diffclf: stopped by SIGTERM{how}"
    flags = line[line.index("--results") : line.index(" goes on")].split()
    again = forked.diffclf(tmp_path, *train, *flags, "--trainer.max_steps=1")
    assert again.code == 0, again.stderr


def ranks(folder, *arguments):
    """Two of them, as torchrun starts them."""
    return forked.on_ranks(folder, 2, *RUN, *arguments)


def test_of_several_ranks_one_says_that_they_stop(tmp_path):
    runs = ranks(tmp_path, *waits("on_test_batch_start", 1))
    for rank, run in enumerate(runs):
        wait_for(tmp_path, run, rank)
    for run in runs:
        run.send(signal.SIGTERM)
    ended = [run.end(10) for run in runs]
    assert [each.code for each in ended] == [143, 143]
    line, *others = [line for each in ended for line in own(each)]
    assert not others
    assert line.startswith(f"diffclf: stopped by SIGTERM; 8 of {IMAGES} images are stored: ")


@pytest.mark.parametrize("failing", [[1], [0, 1]])
def test_of_several_ranks_one_says_an_error(tmp_path, failing):
    """Whichever has it; torchrun, here this loop, ends the others with SIGTERM."""
    batch = "--trainer.callbacks=waiting.Failing", f"--trainer.callbacks.ranks={failing}"
    runs = ranks(tmp_path, *batch)
    codes = {}
    while len(codes) < len(runs):
        for rank, run in enumerate(runs):
            if rank not in codes and (waited := os.waitpid(run.pid, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(waited[1])
                for other in set(range(len(runs))) - codes.keys():
                    runs[other].send(signal.SIGTERM)
        time.sleep(0.01)
    said = "".join(run._said()[1] for run in runs)
    assert "Traceback" not in said
    assert said.count("diffclf: error: ") == 1
    assert "\ndiffclf: error: Expected nothing.\n" in said
    assert 2 in codes.values()
    assert set(codes.values()) <= {2, 143}


class Process:
    """Stands for one that Lightning has started, which ends with a code or when it is told to."""

    def __init__(self, code=None):
        self.code, self.told = code, []

    def poll(self):
        return self.code

    def send_signal(self, number):
        self.told.append(number)
        self.code = 128 + number

    def wait(self, timeout=None):
        return self.code


@pytest.mark.parametrize(("code", "status", "said"), [
    (-9, 137, "diffclf: error: stopped, since SIGKILL ended the process of another rank"),
    (2, 2, "diffclf: stopped by the error of another rank"),
])  # fmt: skip
def test_a_run_ends_with_the_process_of_another_rank(tmp_path, code, status, said):
    """And takes the others along. Lightning, which would kill this one, finds none of them."""

    def run():
        signals = Stopping()
        started = [Process(), Process(code)]
        signals.processes = lambda: started
        signals.begin()
        with pytest.raises(Stopped) as stopped:
            time.sleep(60)
        print(started, ending(stopped.value, signals))

    ended = forked.Forked(run, tmp_path).end(10)
    assert ended.stdout == f"[] {status}\n"
    assert ended.stderr == f"{said}\n"


def test_processes_that_load_images_do_what_any_does(tmp_path):
    """Their end by the same signal is no error, and no second signal."""
    run = forked.begun(tmp_path, *RUN, "--data.num_workers=2", *waits("on_test_batch_start", 2))
    wait_for(tmp_path, run)
    os.killpg(run.pid, signal.SIGINT)
    os.killpg(run.pid, signal.SIGTERM)
    ended = run.end(10)
    assert ended.code in CODES.values()
    assert len(own(ended)) == 1


def test_signals_are_left_as_they_were(diffclf):
    before = [signal.getsignal(number) for number in (*CODES, signal.SIGCHLD)]
    diffclf("--version")
    assert [signal.getsignal(number) for number in (*CODES, signal.SIGCHLD)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_run_is_not_kept_when_signals_are_no_longer_heard():
    """What hears them is told of processes that are forked, to the end of this one."""

    class Made:
        def processes(self):
            return []

        def goes_on(self):
            return ""

    signals, made = Stopping(), Made()
    signals.begin()
    signals.processes, signals.goes_on, held = made.processes, made.goes_on, weakref.ref(made)
    signals.end()
    del made
    assert held() is None


@BOTH
def test_other_commands_end_in_one_line(tmp_path, monkeypatch, number):
    def run():
        cli.import_module = lambda name: SimpleNamespace(main=lambda args: time.sleep(60))
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        main(["costs", "r"])

    ended = forked.Forked(run, tmp_path).end(10)
    assert (ended.code, ended.stdout) == (CODES[number], "")
    assert ended.stderr == f"diffclf: stopped by {signal.Signals(number).name}\n"


def test_a_sweep_lets_its_run_clean_up(tmp_path):
    program = (
        "import time, signal; signal.signal(15, lambda *_: exit(print('clean'))); "
        "open('ready', 'w'); time.sleep(60)"
    )

    def run():
        signals = Stopping()
        signals.begin()
        stopping.run_until_stopped([sys.executable, "-c", program])

    process = forked.Forked(run, tmp_path)
    while not (tmp_path / "ready").exists():
        time.sleep(0.005)
    process.send(signal.SIGINT)
    ended = process.end(10)
    assert (ended.code, ended.stdout, ended.stderr) == (130, "clean\n", "")


@pytest.mark.parametrize("size", [10, 10**6])
def test_who_reads_no_further_gets_no_error(tmp_path, size):
    def run():
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        cli.import_module = lambda name: SimpleNamespace(main=lambda args: print("x" * size))
        main(["costs", "r"])

    ended = forked.Forked(run, tmp_path).end(10)
    assert (ended.code, ended.stderr) == (1, "")
