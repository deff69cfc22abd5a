"""The shell that every model server shares: one loopback socket, a token, a run file, and an end when nobody asks.

    lock (pid in it) → load the model → bind 127.0.0.1:0 → write the run file → answer → remove the run file → end

The lock `<run-file>.lock` is held from before the model is loaded until the process is gone, however it goes: whoever
finds it held knows that a server lives, and its pid, even when there is no run file yet.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import math
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from pipeline.errors import Busy, PipelineError, Unavailable
from pipeline.network_guard import guard_network
from schemas.serving import RunFile
from workers.answering import Answering, Service, build_app
from workers.connections import Connections

_HUNG = 70
"""Exit code of a server whose model hangs."""

_MOST_HEADERS = 64
_LONGEST_HEADER = 4_096
_WATCH_EVERY_S = 0.5
_SHUTDOWN_GRACE_S = 0.2
_LOCK_ATTEMPTS = 5
_KEEPALIVE_S = 3600.0
"""Long, so that the server never closes a connection on which a request may be on its way."""

_log = logging.getLogger("workers")


def options(kind: str) -> argparse.ArgumentParser:
    """The options of every server; a server adds its own."""
    parser = argparse.ArgumentParser(prog=f"workers.{kind}", allow_abbrev=False)
    parser.add_argument("--run-file", type=Path, required=True, help="where to write how to reach the server")
    parser.add_argument("--idle-exit-s", type=float, default=600.0, help="end after so many seconds without a request")
    parser.add_argument("--item-timeout-s", type=float, default=math.inf, help="seconds the model may spend on an item")
    parser.add_argument("--nice", type=int, default=10, help="niceness of the process, unless it is higher already")
    parser.add_argument("--identity", action="store_true", help="load the model, print who it is, and serve nothing")
    parser.add_argument("--lock-fd", type=int, help="descriptor of the lock, already held, that the parent hands over")
    return parser


def serve(kind: str, given: argparse.Namespace, load: Callable[[], Service[Any, Any]]) -> int:
    """Run a server until it is told to end, or is idle for too long; returns its exit code.

    A PipelineError from `load` becomes the last line on stderr, for the one who started the server, and its exit code.
    """
    os.umask(0o077)
    guard_network()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s {kind} %(message)s")
    try:
        if given.identity:
            sys.stdout.write(load().engine.identity.model_dump_json())
            return 0
        lock = _hold_lock(given.run_file, given.lock_fd)
        os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), given.nice))
        given.run_file.unlink(missing_ok=True)
        asyncio.run(_serve(kind, given, lock, load()))
    except PipelineError as error:
        sys.stderr.write(f"error: {error.message} → {error.remedy}\n")
        return int(error.exit_code)
    return 0


def lock_file(run_file: Path) -> Path:
    """The lock of the server that writes this run file."""
    return run_file.with_name(run_file.name + ".lock")


def _hold_lock(run_file: Path, inherited: int | None) -> int:
    """Take the lock and put our pid in it, or take over the keeper's, with ours in it. Raises Busy."""
    path = lock_file(run_file)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if inherited is None else inherited
    os.set_inheritable(lock, False)
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            # Whoever looks whether a server lives holds the lock for a moment too.
            if attempt == _LOCK_ATTEMPTS - 1:
                raise Busy(f"another server holds {path}", remedy="pipeline workers status") from error
            time.sleep(0.02)
    if inherited is None:  # else the keeper's note stands
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


async def _serve(kind: str, given: argparse.Namespace, lock: int, service: Service[Any, Any]) -> None:
    token = secrets.token_urlsafe(32)
    answering = Answering(service, given.item_timeout_s)
    listener = _listen()
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    runner = web.AppRunner(
        build_app(kind, token, host, answering, lambda request: connections.trust(request)),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=_KEEPALIVE_S,
        shutdown_timeout=_SHUTDOWN_GRACE_S,
        max_headers=_MOST_HEADERS,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        auto_decompress=False,
    )
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    await runner.setup()
    assert runner.server is not None  # that is what setup made
    connections = Connections(runner.server)
    watch = asyncio.create_task(connections.watch())
    try:
        server = await asyncio.get_running_loop().create_server(connections, sock=listener)
        _write_run_file(given, kind, f"http://{host}", token, answering)
        _log.info("ready, process %d", os.getpid())
        reason = await _wait_for_end(end, given, lock, answering)
        _log.info("ending: %s", reason)
        server.close()
    finally:
        watch.cancel()
        given.run_file.unlink(missing_ok=True)
        await runner.cleanup()
        answering.close()


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _write_run_file(given: argparse.Namespace, kind: str, url: str, token: str, answering: Answering) -> None:
    path, pid = given.run_file, os.getpid()
    content = RunFile(
        kind=kind,
        pid=pid,
        created_at=_started_at(),
        url=url,
        token=token,
        model=answering.engine.identity,
        asked=getattr(given, "model", ""),  # of the kinds of server that can be started with several
    )
    descriptor, name = tempfile.mkstemp(prefix=f".tmp-{path.name}-", dir=path.parent)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content.model_dump_json(indent=2) + "\n")
    Path(name).rename(path)


def _started_at() -> float:
    """When this process was started, in seconds since the machine was: no clock that is set changes it."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


async def _wait_for_end(end: asyncio.Event, given: argparse.Namespace, lock: int, answering: Answering) -> str:
    """Wait for a signal, for idleness, or for the files by which we are found to be taken away; tells which.

    A model that hangs ends the process here: its thread would never be joined. Raises Unavailable when the model has
    lost what it stands on.
    """
    while True:
        try:
            await asyncio.wait_for(end.wait(), min(_WATCH_EVERY_S, given.idle_exit_s))
            return "told to"
        except TimeoutError:
            pass
        if answering.is_hung():
            given.run_file.unlink(missing_ok=True)
            _log.error("ending: the model does not come back from an item")
            os._exit(_HUNG)
        if answering.lost:
            raise Unavailable(answering.lost, remedy="pipeline doctor")
        if answering.idle_since is not None and time.monotonic() - answering.idle_since >= given.idle_exit_s:
            return f"no request for {given.idle_exit_s:g} s"
        if not _can_be_found(given.run_file, lock):
            return "the run file or its lock is gone"


def _can_be_found(run_file: Path, lock: int) -> bool:
    try:
        return run_file.exists() and os.path.samestat(lock_file(run_file).stat(), os.fstat(lock))
    except FileNotFoundError:
        return False
