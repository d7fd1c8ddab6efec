"""Two nodes on this machine, started by torchrun and as SLURM does it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cluster_callbacks import SLOW
from forked import HOST, free_port

pytestmark = pytest.mark.timeout(600)

IMAGES, BATCH, NODES = 51, 8, 2
BATCHES = 4
"""Of each node: one image is repeated, so that both have 26."""
RUN = [
    "test", "--config", "digits", "--trainer.accelerator=cpu",
    f"--data.num_test={IMAGES}", f"--data.batch_size={BATCH}",
    "--model.strategy=Staged", "--model.strategy.trials=[1,4]", "--model.strategy.keep=[2,1]",
    "--model.evaluations_per_batch=256",
]  # fmt: skip
ON_NODES = ["--trainer.strategy=ddp", "--trainer.devices=1", f"--trainer.num_nodes={NODES}"]


def callback(name):
    return f"--trainer.callbacks=cluster_callbacks.{name}"


def environment(**more):
    """That of a shell: of no cluster, and with the callbacks of the tests."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MASTER_"))}
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return own | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | more


def torchrun(folder, *arguments):
    """Start all nodes in a folder; what each ends with and says."""
    port = free_port()
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", f"--nnodes={NODES}",
             f"--node-rank={rank}", "--nproc-per-node=1", f"--master-addr={HOST}",
             f"--master-port={port}", "-m", "diffclf_lightning", *RUN, *ON_NODES, *arguments],
            env=environment(), cwd=folder, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(NODES)
    ]  # fmt: skip
    said = [node.communicate()[1] for node in nodes]
    return [node.returncode for node in nodes], said


def stored(folder):
    rows = pq.read_table(folder / "images.parquet").sort_by("key").to_pylist()
    summary = json.loads((folder / "summary.json").read_text())["sets"]["digits"]
    return rows, summary


def texts(rows, without=""):
    """Rows by key, as texts that differ where a bit does: NaN is not equal to itself."""
    return {row["key"]: str({k: v for k, v in row.items() if k != without}) for row in rows}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The folder of a run on two nodes, one of them slow, and what the first node said."""
    folder = tmp_path_factory.mktemp("nodes")
    returned, said = torchrun(folder, f"--results.folder={folder}/r", callback("Slow"))
    assert returned == [0] * NODES, said
    return folder / "r", said[0]


def test_nodes_give_what_one_process_gives(nodes, diffclf, tmp_path):
    diffclf(*RUN, "--results.folder=r")
    single, alone = stored(tmp_path / "r")
    rows, summary = stored(nodes[0])
    assert len(rows) == IMAGES == len({row["key"] for row in rows}) == summary["total"]
    for name in ("key", "digest", "label", "prediction", "evaluations"):
        assert [row[name] for row in rows] == [row[name] for row in single]
    for mine, theirs in zip(rows, single, strict=True):
        assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-5)
    assert summary["correct"] == alone["correct"]
    assert len(alone["busy_seconds"]) == 1


def test_the_share_of_time_that_the_fast_node_waits_is_said(nodes):
    folder, said = nodes
    busy = stored(folder)[1]["busy_seconds"]
    assert len(busy) == NODES
    assert busy[1] >= SLOW * BATCHES
    waited = sum(max(busy) - seconds for seconds in busy)
    assert f"{100 * waited / (NODES * max(busy)):.1f}% of their time they waited" in said


@pytest.fixture
def slurm(tmp_path):
    """Starts the tasks of a job of SLURM; the file `requeued` has what scontrol was told."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    tasks = []

    def start(*arguments, folders=(tmp_path,) * NODES):
        job = {
            "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "digits", "SLURM_NTASKS": str(NODES),
            "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": str(NODES), "SLURM_NODELIST": HOST,
            "SLURM_LOCALID": "0", "SLURM_STEP_ID": "0", "MASTER_PORT": free_port(),
            "PATH": f"{scontrol.parent}:{os.environ['PATH']}", "GATES": str(tmp_path),
        }  # fmt: skip
        tasks[:] = [
            subprocess.Popen(
                [sys.executable, "-m", "diffclf_lightning", *RUN, *ON_NODES, *arguments],
                cwd=folder, stderr=subprocess.PIPE, text=True,
                env=environment(**job, SLURM_PROCID=str(rank), SLURM_NODEID=str(rank)),
            )
            for rank, folder in enumerate(folders)
        ]  # fmt: skip
        return tasks

    yield start
    for task in tasks:
        task.kill()


def test_a_folder_that_nodes_do_not_share_is_refused(slurm, tmp_path):
    """Each has one of that name."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        (folder / "r").mkdir(parents=True)
    tasks = slurm("--results.folder=r", callback("Impatient"), folders=folders)
    for task in tasks:
        (line,) = (x for x in task.communicate()[1].splitlines() if x.startswith("diffclf: error:"))
        assert task.returncode == 2
        assert "Expected argument `results.folder` to be one folder that all processes see" in line
        assert all(str(folder / "r") in line for folder in folders)
    assert not list(tmp_path.rglob("*.parquet"))
    assert not list(tmp_path.rglob("r/.*"))


def wait_for(*paths, tasks):
    while not all(path.exists() for path in paths):
        ended = [task.communicate()[1] for task in tasks if task.poll() is not None]
        assert not ended, ended[0]
        time.sleep(0.05)


def test_a_job_whose_time_is_over_is_requeued_and_goes_on(nodes, slurm, tmp_path):
    """By the same command, into a folder that nobody named."""
    tasks = slurm(callback("Gates"))
    reached = [[tmp_path / f"{gate}-reached-{rank}" for rank in range(NODES)] for gate in (1, 2)]
    wait_for(*reached[0], tasks=tasks)
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
    wait_for(tmp_path / "requeued", tasks=tasks)
    (tmp_path / "1-open").touch()
    wait_for(*reached[1], tasks=tasks)  # the signal stopped nothing
    for task in tasks:
        task.send_signal(signal.SIGTERM)  # by which SLURM ends what it puts back
    (tmp_path / "2-open").touch()
    said = [task.communicate()[1] for task in tasks]
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
    assert "Job 4711 is in the queue again" in said[0]
    folder = tmp_path / "runs" / "digits-job4711.0"
    parts = [pq.read_table(part).to_pylist() for part in (folder / "parts").glob("*.parquet")]
    first = texts(row for rows in parts for row in rows)
    assert 0 < len(first) < IMAGES
    assert not list(tmp_path.rglob("*.ckpt"))

    again = slurm(callback("Gates"))
    said = [task.communicate()[1] for task in again]
    assert [task.returncode for task in again] == [0] * NODES, said
    assert f"it holds {len(first)} images" in said[0]
    rows, _ = stored(folder)
    assert texts(rows, without="seconds") == texts(stored(nodes[0])[0], without="seconds")
    kept = texts(row for row in rows if row["key"] in first)
    assert kept == first  # seconds too: they were not evaluated again
