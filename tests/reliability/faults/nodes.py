"""Two nodes on this machine, started by torchrun, of which one vanishes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from forked import HOST, Ended, free_port

from .judging import LOST, OTHER, Finding, Stored, Trial, kept, whole
from .saying import batches_behind
from .subject import RUN, read

NODES, IMAGES, BATCH = 2, 40, 5
SLOW = 0.5
"""Seconds more that a batch takes, so that there is a middle to be killed in."""
PATIENCE = 180.0
HERE = str(Path(__file__).parents[1])


class Nodes:
    """The nodes of a run.

    Args:
        folder: Working directory of all.
        slow: Seconds more that a batch takes.
    """

    def __init__(self, folder: Path, slow: float = 0.0) -> None:
        port, self._files = free_port(), []
        self.folder, self._nodes = folder, []
        path = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
        for rank in range(NODES):
            said = (folder / f"node-{rank}-{port}").open("w+")
            command = [
                sys.executable, "-m", "torch.distributed.run", f"--nnodes={NODES}",
                f"--node-rank={rank}", "--nproc-per-node=1", f"--master-addr={HOST}",
                f"--master-port={port}", "-m", "diffclf_lightning", *RUN,
                f"--data.num_test={IMAGES}", f"--data.batch_size={BATCH}",
                f"--trainer.callbacks.init_args.seconds={slow}",
                "--trainer.strategy=ddp", "--trainer.devices=1", f"--trainer.num_nodes={NODES}",
            ]  # fmt: skip
            environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
            node = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment)
            self._files.append(said)
            self._nodes.append(node)

    def vanish(self, rank: int) -> None:
        """Kill a node: all its processes at once."""
        for pid in (self._nodes[rank].pid, *descendants(self._nodes[rank].pid)):
            os.kill(pid, signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether no node has ended."""
        return all(node.poll() is None for node in self._nodes)

    def end(self) -> list[Ended]:
        """Wait for all; one that does not end is killed and has no exit status of its own."""
        until = time.monotonic() + PATIENCE
        ends = []
        for rank, (node, said) in enumerate(zip(self._nodes, self._files, strict=True)):
            try:
                code = node.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.vanish(rank)
                code = node.wait()
            said.seek(0)
            ends.append(Ended(code, "", said.read()))
            said.close()
        return ends


def nodes(folder: Path, victims: tuple[int, ...] = (1, 0)) -> Iterator[Trial]:
    """Kill a node in the middle, and have the same command go on.

    Args:
        folder: For the files of the runs.
        victims: The nodes that are killed, one in each run.
    """
    place = folder / "reference"
    place.mkdir(parents=True)
    for end in Nodes(place).end():
        if end.code != 0:
            raise RuntimeError(f"Without a fault: {end}")
    reference = read(place)
    for victim in victims:
        yield Trial("nodes", f"node {victim} vanishes", tuple(_vanishes(folder, victim, reference)))


def _vanishes(folder: Path, victim: int, reference: Stored) -> Iterator[Finding]:
    place = folder / f"without-{victim}"
    place.mkdir()
    run = Nodes(place, SLOW)
    while batches_behind(place) < NODES and run.running:
        time.sleep(0.05)
    run.vanish(victim)
    for rank, end in enumerate(run.end()):
        if end.code == 0 or (rank != victim and end.code == -signal.SIGKILL):
            yield Finding(OTHER, f"node {rank} ended with {end.code}: {end.stderr[-1000:]}")
    before, done = read(place), batches_behind(place) * BATCH
    if not 0 < done < IMAGES:
        yield Finding(OTHER, f"{done} images were done at the kill: not in the middle")
    if len(before.rows) < done:
        yield Finding(LOST, f"{done} images were done, {len(before.rows)} are stored")
    ends = Nodes(place).end()
    after = read(place)
    yield from whole(max(ends, key=lambda end: abs(end.code)), after, reference)
    yield from kept(before, after)


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [child for child, parent in parents.items() if parent == pid]
    return [*found, *(below for child in found for below in descendants(child))]
