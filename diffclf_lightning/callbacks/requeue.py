"""Requeue: a job of SLURM whose time is over goes on in another."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn


class Requeue(Callback):
    """Puts a job of SLURM back into the queue when it is warned that its time is nearly over.

    For ``test``, ``validate`` and ``predict`` under ``srun``, where ``sbatch`` has
    ``--signal=SIGUSR1@90``. Rows are stored as they come, so that nothing is saved on the signal:
    the run goes on until SLURM ends it, and the same command, started anew, goes on from the rows.
    ``fit`` is left to Lightning, which stores a checkpoint. A plugin of the Trainer,
    ``SLURMEnvironment(auto_requeue=False)``, switches both off.
    """

    def __init__(self) -> None:
        self._before: tuple[signal.Signals, Any, int] | None = None
        self._writer = -1

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of Lightning, which would store a checkpoint."""
        environment = trainer._accelerator_connector.cluster_environment
        if (
            trainer.state.fn != TrainerFn.FITTING
            and isinstance(environment, SLURMEnvironment)
            and environment.auto_requeue
            and environment.requeue_signal is not None
            and threading.current_thread() is threading.main_thread()
        ):
            self._listen(environment.requeue_signal, trainer.is_global_zero)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave signals as they were."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave signals as they were."""
        self._close()

    on_predict_start = on_validation_start = on_test_start

    def _listen(self, number: signal.Signals, requeues: bool) -> None:
        """Requeue from a thread: a handler does not run while its rank waits for another."""
        self._close()
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        handler = signal.signal(number, _heard)
        wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = number, handler, wakeup
        threading.Thread(target=_hear, args=(reader, wakeup, number, requeues), daemon=True).start()

    def _close(self) -> None:
        if self._before is not None:
            number, handler, wakeup = self._before
            signal.set_wakeup_fd(wakeup)
            if signal.getsignal(number) is _heard:  # or else the Trainer has left it as it was
                signal.signal(number, handler)
            os.close(self._writer)  # which ends the thread
            self._before = None


def _heard(*_: Any) -> None:
    """Take the signal, which would end the process: the thread has been told."""


def _hear(reader: int, before: int, number: int, requeues: bool) -> None:
    with os.fdopen(reader, "rb", buffering=0) as signals:
        while heard := signals.read(1):
            if before >= 0:  # who listened before goes on listening
                with suppress(OSError):
                    os.write(before, heard)
            if heard[0] == number and requeues:
                requeues = False  # once
                _requeue()


def _requeue() -> None:
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        problem = done.stderr.strip() or f"exit status {done.returncode}"
        failed = done.returncode != 0
    except OSError as error:
        problem, failed = str(error), True
    if failed:
        rank_zero_warn(
            f"Expected `scontrol requeue {job}` to put the job back into the queue, but got "
            f"{problem}. What is evaluated is stored: submit the job again with the same "
            "`results.folder`."
        )
    else:
        rank_zero_info(f"Job {job} is in the queue again, and goes on from what is stored.")


def job_name() -> str | None:
    """What a requeued job and step of SLURM keep: their numbers; None outside of SLURM."""
    job = SLURMEnvironment.job_id() if SLURMEnvironment.detect() else None
    step = os.environ.get("SLURM_STEP_ID")
    return None if job is None else f"job{job}" + (f".{step}" if step else "")
