"""The warning of SLURM, sent to a test, in this process."""

import hashlib
import os
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import DiffusionClassifier, Full
from diffclf_lightning.callbacks import Requeue, ResultsWriter, requeue
from diffclf_lightning.denoisers import GaussianDenoiser

JOB = {
    "SLURM_JOB_ID": "31", "SLURM_JOB_NAME": "name", "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
    "SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
}  # fmt: skip


class Warned(Callback):
    """Sends the signal in the first batch, and stays in one call of C until after it."""

    def __init__(self):
        self.end = 0.0

    def on_test_batch_start(self, trainer, module, batch, index, *_):
        if index == 0:
            warning = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
            warning.start()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)
            warning.join()
            self.end = time.perf_counter()
        else:
            time.sleep(0.2)


@pytest.fixture
def scontrol(monkeypatch):
    """Stands for the program: what it is told, and when; `fails` is what it says then."""
    told = SimpleNamespace(commands=[], times=[], fails="")

    def run(command, **kwargs):
        told.commands.append(command)
        told.times.append(time.perf_counter())
        return subprocess.CompletedProcess(command, bool(told.fails), "", told.fails)

    monkeypatch.setattr(requeue.subprocess, "run", run)
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    return told


def run(folder, **kwargs):
    warned = Warned()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        default_root_dir=folder, callbacks=[Requeue(), warned], **kwargs,
    )  # fmt: skip
    classifier = DiffusionClassifier(GaussianDenoiser(torch.rand(3, 1, 4, 4)), Full(2))
    data = TensorDataset(torch.rand(6, 1, 4, 4), torch.zeros(6).long())
    trainer.test(classifier, DataLoader(data, batch_size=2), verbose=False)
    return classifier.reports["test"], warned


def test_the_job_is_requeued_though_the_rank_is_blocked(scontrol, tmp_path):
    """As one is that waits for another; the run goes on, and no checkpoint is stored."""
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    report, warned = run(tmp_path)
    assert report.total == 6
    assert scontrol.commands == [["scontrol", "requeue", "31"]]
    assert scontrol.times[0] < warned.end
    assert not list(tmp_path.rglob("*.ckpt"))
    assert [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_task_of_an_array_goes_by_its_own_name(scontrol, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "30")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    run(tmp_path)
    assert scontrol.commands == [["scontrol", "requeue", "30_2"]]


def test_a_run_that_cannot_be_requeued_goes_on(scontrol, tmp_path):
    scontrol.fails = "Requested operation is presently disabled"
    with pytest.warns(UserWarning, match=r"requeue 31.*presently disabled.*`results\.folder`"):
        report, _ = run(tmp_path)
    assert report.total == 6


def test_who_says_so_is_left_alone(scontrol, tmp_path, monkeypatch):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        run(tmp_path, plugins=[SLURMEnvironment(auto_requeue=False)])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [1]
    assert not scontrol.commands


@pytest.mark.parametrize("step", ["", "3"])
def test_results_are_named_by_the_job(monkeypatch, step):
    assert "job" not in str(ResultsWriter().chosen())
    for name, value in {**JOB, "SLURM_STEP_ID": step}.items():
        monkeypatch.setenv(name, value)
    assert str(ResultsWriter().chosen()) == "runs/run-job31" + (f".{step}" if step else "")
    assert str(ResultsWriter("mine").chosen()) == "mine"
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert "job" not in str(ResultsWriter().chosen())
