"""One writer at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import Busy, ExitCode
from pipeline.stores.lock import hold_lock

HOLD = (
    "import sys, time; from pathlib import Path; from pipeline.stores.lock import hold_lock\n"
    "with hold_lock(Path(sys.argv[1]), 'run'):\n"
    "    print('held', flush=True); time.sleep(60)"
)


def _holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        with (
            pytest.raises(Busy, match=f"another run .*process {process.pid}") as caught,
            hold_lock(tmp_path / "lock", "run"),
        ):
            pass
        process.kill()
    assert caught.value.exit_code == ExitCode.BUSY


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        os.kill(process.pid, signal.SIGKILL)
    with hold_lock(tmp_path / "lock", "run"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold_lock(tmp_path / "lock", "run"):
        raise RuntimeError
    with hold_lock(tmp_path / "lock", "run"):
        pass


def test_locks_of_different_files_never_meet(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "one", "run"), hold_lock(tmp_path / "two", "run"):
        pass


def test_a_process_that_the_holder_started_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = "import time; print('up', flush=True); time.sleep(60)"
    with hold_lock(tmp_path / "lock", "run"):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, close_fds=False)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        with hold_lock(tmp_path / "lock", "run"):
            child.kill()


def test_the_lock_belongs_to_the_file_by_whatever_path_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    with (
        hold_lock(tmp_path / "root" / "lock", "ingest"),
        pytest.raises(Busy, match=f"process {os.getpid()}"),
        hold_lock(tmp_path / "link" / "lock", "ingest"),
    ):
        pass


def test_a_process_id_that_was_given_to_another_process_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{os.getppid()}\n")
    with hold_lock(tmp_path / "lock", "ingest") as held:
        assert held.left_by == str(os.getppid())


def test_the_next_holder_learns_of_one_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    with _holder(tmp_path / "lock") as process:
        os.kill(process.pid, signal.SIGKILL)
    with hold_lock(tmp_path / "lock", "run") as held:
        assert held.left_by == str(process.pid)
    with hold_lock(tmp_path / "lock", "run") as held:
        assert held.left_by == ""


def test_a_killed_holder_that_was_just_starting_a_process_keeps_the_lock_for_a_moment_only(tmp_path: Path) -> None:
    """Between fork and exec a child has its parent's lock: it lets go of it when the parent is gone already."""
    path = tmp_path / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with subprocess.Popen(["sleep", "0.3"], pass_fds=[descriptor]), subprocess.Popen(["true"]) as dead:
        dead.wait()
        os.pwrite(descriptor, f"{dead.pid}\n".encode(), 0)
        os.close(descriptor)
        with hold_lock(path, "run") as held:
            assert held.left_by == str(dead.pid)
