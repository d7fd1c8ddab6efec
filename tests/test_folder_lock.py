"""One run at a time writes into a folder, whatever machine it is on."""

import json
import os
import threading
import time

import pytest
from forked import Forked

from diffclf_lightning import InputError
from diffclf_lightning.results import FolderLock, lock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Signs of life ten times a second; however slow the machine is, who gives some lives."""
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "PAUSE", 0.05)


def soon(happens):
    """Whether something happens, for which a slow machine has time."""
    until = time.monotonic() + 30
    while not (happened := happens()) and time.monotonic() < until:
        time.sleep(0.02)
    return happened


def owned_elsewhere(folder, **other):
    """A lock that another run left, by default one on another machine."""
    owner = {"host": "node7", "process": 1, "machine": "another", "token": "t", **other}
    (folder / ".lock").write_text(json.dumps(owner))
    return folder / ".lock"


def names(folder):
    return [file.name for file in folder.iterdir()]


def test_a_lock_is_held_until_it_is_released(tmp_path):
    held = FolderLock(tmp_path)
    held.acquire()
    with pytest.raises(InputError, match=rf"process {os.getpid()} on .*`results\.folder`"):
        FolderLock(tmp_path).acquire()
    assert names(tmp_path) == [".lock"]
    held.release()
    assert not names(tmp_path)
    again = FolderLock(tmp_path)
    again.acquire()
    again.release()


def test_the_lock_of_a_process_that_was_killed_is_taken_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE", 1e9)

    def run():
        FolderLock(tmp_path).acquire()
        os.kill(os.getpid(), 9)

    assert Forked(run, tmp_path).end().code == -9
    assert names(tmp_path) == [".lock"]
    mine = FolderLock(tmp_path)
    mine.acquire()
    mine.release()


def test_a_run_on_another_machine_that_lives_is_refused(tmp_path):
    file = owned_elsewhere(tmp_path)
    ended = threading.Event()

    def live():
        while not ended.wait(0.1):
            os.utime(file)

    beating = threading.Thread(target=live)
    beating.start()
    said = []
    try:
        with pytest.raises(InputError, match="process 1 on node7"):
            FolderLock(tmp_path, said.append).acquire()
    finally:
        ended.set()
        beating.join()
    assert "run on node7" in said[0]
    assert json.loads(file.read_text())["token"] == "t"


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_run_on_another_machine_that_gives_no_sign_of_life_is_taken_over(
    tmp_path, content, monkeypatch
):
    monkeypatch.setattr(lock, "STALE", 0.5)
    file = owned_elsewhere(tmp_path)
    if content is not None:
        file.write_text(content)
    start = time.monotonic()
    mine = FolderLock(tmp_path, lambda _: None)
    mine.acquire()
    assert time.monotonic() - start >= 0.4  # no sooner than it may count as dead
    assert json.loads(file.read_text())["process"] == os.getpid()
    mine.release()
    assert not names(tmp_path)


def test_clocks_of_machines_do_not_matter(tmp_path, monkeypatch):
    """Of this machine, by an hour."""
    held = FolderLock(tmp_path)
    held.acquire()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    with pytest.raises(InputError, match="no other run"):
        FolderLock(tmp_path).acquire()
    held.release()


def test_a_dead_lock_of_the_future_is_taken_over(tmp_path, monkeypatch):
    """A clock was put back."""
    monkeypatch.setattr(lock, "STALE", 0.2)
    file = owned_elsewhere(tmp_path)
    os.utime(file, (time.time() + 1e6,) * 2)
    mine = FolderLock(tmp_path, lambda _: None)
    mine.acquire()
    assert json.loads(file.read_text())["process"] == os.getpid()
    mine.release()


@pytest.mark.parametrize("process", ["7", None, -1, 2**40, 1.5])
def test_a_lock_that_names_no_process_is_one_of_nobody(tmp_path, process, monkeypatch):
    monkeypatch.setattr(lock, "STALE", 0.2)
    machine = lock.Owner.me().machine
    file = owned_elsewhere(tmp_path, machine=machine, process=process)
    mine = FolderLock(tmp_path, lambda _: None)
    mine.acquire()
    assert json.loads(file.read_text())["process"] == os.getpid()
    mine.release()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_that_was_taken_over_stops(tmp_path, quiet, monkeypatch):
    """At once too: it may write nothing before it has looked."""
    if not quiet:
        monkeypatch.setattr(lock, "BEAT", 100.0)
    held = FolderLock(tmp_path)
    held.acquire()
    held.check()
    file = owned_elsewhere(tmp_path)
    assert not quiet or soon(lambda: held._lost)
    with pytest.raises(InputError, match="another one took it over"):
        held.check()
    held.release()
    assert json.loads(file.read_text())["token"] == "t"  # which is no longer its own to remove


def test_a_run_whose_lock_is_removed_by_hand_stops(tmp_path):
    held = FolderLock(tmp_path)
    held.acquire()
    (tmp_path / ".lock").unlink()
    with pytest.raises(InputError, match=r"its \.lock is gone.*the same command goes on"):
        held.check()
    held.release()


def test_a_lock_gives_signs_of_life(tmp_path):
    held = FolderLock(tmp_path)
    held.acquire()
    os.utime(tmp_path / ".lock", (0, 0))
    assert soon(lambda: (tmp_path / ".lock").stat().st_mtime > 0)
    held.release()


def test_a_file_system_that_is_away_for_a_while_ends_no_signs_of_life(tmp_path, monkeypatch):
    held, away = FolderLock(tmp_path), threading.Event()
    held.acquire()
    read = lock._owner

    def owner(file):
        if not away.is_set():
            away.set()
            raise OSError(116, "Stale file handle")
        return read(file)

    monkeypatch.setattr(lock, "_owner", owner)
    assert away.wait(30)
    os.utime(tmp_path / ".lock", (0, 0))
    assert soon(lambda: (tmp_path / ".lock").stat().st_mtime > 0)
    held.check()
    held.release()


def test_a_forked_process_does_not_release_the_lock_of_its_parent(tmp_path):
    held = FolderLock(tmp_path)
    held.acquire()
    assert Forked(held.release, tmp_path).end().code == 0
    assert names(tmp_path) == [".lock"]
    held.release()


def test_what_killed_runs_left_is_cleared_away(tmp_path):
    """They asked for the lock."""
    dead = Forked(lambda: None, tmp_path)
    dead.end()
    owner = {**vars(lock.Owner.me()), "process": dead.pid}
    (tmp_path / ".lock.left").write_text(json.dumps(owner))
    (tmp_path / ".lock.torn").write_text(json.dumps(owner)[:30])
    (tmp_path / ".lock.empty").touch()
    (tmp_path / ".lock.waiting").write_text(json.dumps(vars(lock.Owner.me())))
    held = FolderLock(tmp_path)
    held.acquire()
    assert sorted(names(tmp_path)) == [".lock", ".lock.waiting"]
    held.release()


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    held = FolderLock(tmp_path)
    held.acquire()
    assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    with pytest.raises(InputError, match="no other run"):
        FolderLock(tmp_path).acquire()
    held.release()
    assert not names(tmp_path)


def test_who_waits_asks_anew_if_that_is_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "STALE", 0.5)
    file = owned_elsewhere(tmp_path)
    mine = FolderLock(tmp_path, lambda _: [probe.unlink() for probe in tmp_path.glob(".lock.*")])
    mine.acquire()
    assert json.loads(file.read_text())["process"] == os.getpid()
    mine.release()
    assert not names(tmp_path)
