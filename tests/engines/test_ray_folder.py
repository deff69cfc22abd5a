"""What a dead run left of Ray: its processes and files go, nobody else's do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.dataroot import DataRoot
from pipeline.engines.ray_cluster import require_loopback_only
from pipeline.engines.ray_folder import (
    hold_folder,
    link_to,
    make_folder,
    processes_of,
    remove_folder,
    remove_leftovers,
)
from pipeline.engines.ray_work import process_start
from pipeline.errors import ContractInvalid, Unavailable

LISTEN = "import socket, sys, time; s = socket.create_server((sys.argv[1], 0)); print(1, flush=True); time.sleep(60)"


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path / "root").create()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def writer(log: Path, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
    """A process that listens and has its output in a file; returns when it is up."""
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", LISTEN, host], stdout=stream)
    while not log.read_bytes():
        time.sleep(0.01)
    return process


def test_writers_are_ended_and_readers_and_others_are_not(
    root: DataRoot, started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    folder = make_folder(root)
    link = link_to(folder)
    started.append(writer(link / "log"))
    with (folder / "log").open("rb") as log:
        started.append(subprocess.Popen(["sleep", "60"], stdin=log))
    started.append(writer(tmp_path / "elsewhere"))
    other = root.scratch / "of-somebody-else"
    other.mkdir()
    assert [process.pid for process in processes_of(folder)] == [started[0].pid]
    remove_leftovers(root)
    assert not psutil.pid_exists(started[0].pid)
    assert [process.poll() for process in started[1:]] == [None, None]
    assert list(root.scratch.iterdir()) == [other]
    assert not link.parent.exists()


def test_a_folder_is_removed_when_its_processes_end_by_themselves(root: DataRoot) -> None:
    folder = make_folder(root)
    with (folder / "log").open("wb") as stream:
        process = subprocess.Popen(["sleep", "0.3"], stdout=stream)
    assert remove_folder(folder, patience_s=10) == 0
    assert process.wait(10) == 0
    assert not folder.exists()


def test_what_a_living_process_holds_is_no_leftover(root: DataRoot, started: list[subprocess.Popen[bytes]]) -> None:
    folder = make_folder(root)
    held = hold_folder(folder)
    started.append(writer(folder / "log"))
    assert processes_of(folder) == [psutil.Process(started[0].pid)]
    remove_leftovers(root)
    assert folder.exists()
    assert started[0].poll() is None
    os.close(held)
    remove_leftovers(root)
    assert not folder.exists()
    assert not psutil.pid_exists(started[0].pid)


def test_a_link_that_leads_elsewhere_is_left_alone(root: DataRoot, tmp_path: Path) -> None:
    folder = make_folder(root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(tmp_path)
    (folder / "link").write_text(str(elsewhere))
    remove_leftovers(root)
    assert elsewhere.is_symlink()
    assert not folder.exists()


def test_a_folder_for_temporary_files_with_a_long_name_is_told(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 10)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = make_folder(root)
    with pytest.raises(Unavailable, match="too long a path"):
        link_to(folder)
    remove_leftovers(root)
    assert list(long.iterdir()) == []


@pytest.mark.parametrize(("host", "fits"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_a_listener_beyond_loopback_is_refused(
    host: str, fits: bool, root: DataRoot, started: list[subprocess.Popen[bytes]]
) -> None:
    folder = make_folder(root)
    started.append(writer(folder / "log", host))
    if fits:
        require_loopback_only(folder)
    else:
        with pytest.raises(ContractInvalid, match="more than loopback"):
            require_loopback_only(folder)


def test_a_dead_process_has_no_start_and_a_living_one_keeps_it() -> None:
    process = subprocess.Popen(["sleep", "60"])
    start = process_start(process.pid)
    assert start is not None
    assert process_start(process.pid) == start
    process.kill()
    time.sleep(0.1)
    assert process_start(process.pid) is None  # a zombie
    process.wait()
    assert process_start(process.pid) is None
