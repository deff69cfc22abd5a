"""A model server as processes: started with its keeper, found by its lock, ended for good.

The driver takes the lock of a kind and starts a keeper, which starts the server; both inherit the lock with the first
instruction they run. From then on the kernel tells whether they live, whatever becomes of the driver; their process
ids are in the lock file: the server's, and the keeper's.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pipeline.dataroot import DataRoot
from pipeline.runs.holds import note_use
from pipeline.stores.lock import is_locked

STOP_GRACE_S = 8.0
"""How long a server may take to end when it is told to; its keeper kills it earlier."""

BE_QUIET, GO_ON = signal.SIGUSR1, signal.SIGUSR2
"""What a keeper is told: that its server is not to work now, that it may again (`workers/keeper.py`)."""

_POLL_S = 0.05
_SPAWN_S = 2.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
_NOT_THEIRS = (*_PROXIES, "ray_auth_token")
_QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
"""Where the libraries below a model look for the number of their threads: OpenMP (also torch's), BLAS, tokenizers."""

_log = logging.getLogger(__name__)
_children: list[subprocess.Popen[bytes]] = []
"""Keepers that this process started; kept so that one that ends does not stay a zombie."""


@dataclass(frozen=True)
class Limits:
    """What a server is held to: seconds until it is ready, seconds without a sign of life, threads of its libraries.

    One that is `light` may work while the user is active, once it is ready.
    """

    start_s: float
    silence_s: float
    threads: int
    light: bool = False


def spawn(
    root: DataRoot, kind: str, command: Sequence[str], log_file: Path, limits: Limits
) -> subprocess.Popen[bytes] | None:
    """Start a server with its keeper, held before; returns the keeper, or None when there is a server already."""
    lock = os.open(lock_file(root, kind), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        note_use(root, kind, 0, first=True)
        keeper = subprocess.Popen(
            [*_keeper(root, kind, lock, limits), "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(limits.threads),
            pass_fds=[lock],
            # Not a session of its own: when its starter dies and a process of the group is stopped, the kernel sends
            # SIGHUP and SIGCONT to the group, so that a keeper that is stopped is not left behind.
            process_group=0,
            umask=0o077,
        )
    except BlockingIOError:
        return None
    finally:
        os.close(lock)
        os.close(log)
    _children[:] = [earlier for earlier in _children if earlier.poll() is None] + [keeper]
    _log.info("starting the %s server, kept by process %d", kind, keeper.pid)
    return keeper


def is_held(root: DataRoot, kind: str) -> bool:
    """Whether there is a server, be it starting, working or stuck."""
    return is_locked(lock_file(root, kind))


def holders(root: DataRoot, kind: str, wait_s: float = _SPAWN_S) -> list[psutil.Process]:
    """The processes of a server, the server first; empty when there is none.

    Between a start and the note of its processes lies a moment, for which is waited.
    """
    deadline = time.monotonic() + wait_s
    while is_held(root, kind):
        noted = lock_file(root, kind).read_text(errors="replace").split()
        found = []
        for pid in (int(text) for text in noted if text.isdecimal()):
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)
    return []


def end(root: DataRoot, kind: str, grace_s: float) -> int | None:
    """End a server, also one that is only starting, is stopped or hangs; returns its process id, None if there is none.

    It is told to end, and killed when it has not after a while. Returns once all of it is gone.
    """
    processes = holders(root, kind)
    if not processes:
        _reap(set(), grace_s)
        return None
    _send(root, kind, processes[-1:], signal.SIGTERM)  # the keeper, who tells the server
    if not _wait_until_released(root, kind, grace_s):
        _send(root, kind, processes, signal.SIGKILL)
        _wait_until_released(root, kind, grace_s)
    _reap({process.pid for process in processes}, grace_s)
    return processes[0].pid


def tell_keeper(root: DataRoot, kind: str, number: signal.Signals) -> None:
    """Send BE_QUIET or GO_ON to the keeper of a server, where there is one.

    One that this process has only just started, and that would be ended by a signal, is stopped itself, or let go on.
    """
    processes = holders(root, kind, wait_s=0)
    if len(processes) > 1:
        _send(root, kind, processes[-1:], number, to_go_on=number == GO_ON)
        return
    for process in _just_started(root, kind):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT if number == GO_ON else signal.SIGSTOP)


def _just_started(root: DataRoot, kind: str) -> list[psutil.Process]:
    """The keeper that this process started for a kind of server, and what it may have started already."""
    run_file = str(root.worker_file(kind))
    found = []
    for keeper in _children:
        if keeper.poll() is None and isinstance(keeper.args, list) and run_file in keeper.args:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(keeper.pid)
                found += [process, *process.children(recursive=True)]
    return found


def last_words(log_file: Path, start: int) -> str:
    """The last line that was written to a log after so many bytes."""
    with log_file.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def read_history(root: DataRoot, kind: str) -> dict[str, Any]:
    """How often the server died since it last ended in order, when last, and of what; as its keeper noted it."""
    found: dict[str, Any] = {"deaths": 0, "died_utc": None, "died_of": None}
    run_file = root.worker_file(kind)
    with suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        noted = json.loads(run_file.with_name(run_file.name + ".history").read_bytes())
        found["deaths"] = int(noted["deaths"])
        if noted["died_at"] is not None:
            moment = datetime.fromtimestamp(float(noted["died_at"]), UTC)
            found.update(died_utc=moment.isoformat(timespec="seconds"), died_of=str(noted["died_of"]))
    return found


def lock_file(root: DataRoot, kind: str) -> Path:
    """The lock of a kind of server."""
    run_file = root.worker_file(kind)
    return run_file.with_name(run_file.name + ".lock")


def _keeper(root: DataRoot, kind: str, lock: int, limits: Limits) -> list[str]:
    # -P: the current directory must not be able to stand in for our modules.
    keeper = [sys.executable, "-P", "-m", "workers.keeper", "--run-file", str(root.worker_file(kind))]
    times = ["--start-s", f"{limits.start_s:g}", "--silence-s", f"{limits.silence_s:g}"]
    return [*keeper, "--lock-fd", str(lock), *times, *(["--light"] if limits.light else [])]


def _environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _NOT_THEIRS}
    return kept | _QUIET | dict.fromkeys(_THREADS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}


def _send(
    root: DataRoot, kind: str, processes: list[psutil.Process], number: signal.Signals, *, to_go_on: bool = True
) -> None:
    for process in processes:
        # The lock tells that these are the server's and not later processes with their numbers.
        with suppress(psutil.NoSuchProcess):
            if is_held(root, kind) and process.is_running():
                process.send_signal(number)
                if to_go_on:
                    process.send_signal(signal.SIGCONT)


def _reap(pids: set[int], timeout_s: float) -> None:
    """Take leave of keepers that we started ourselves, also of those that others ended; wait for the ones of `pids`.

    Their lock is free a moment before they are gone.
    """
    for keeper in _children:
        if keeper.poll() is None and keeper.pid in pids:
            with suppress(subprocess.TimeoutExpired):
                keeper.wait(timeout_s)


def _wait_until_released(root: DataRoot, kind: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_held(root, kind):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
