"""Which servers this process uses: a note that the kernel takes back when the process is killed.

The keeper of a server (`workers/keeper.py`) reads it, and ends the server when one who used it was killed and nobody
else does. After an orderly end of this process the server stays, for the next one, until it has been idle for long.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import threading
from pathlib import Path

from pipeline.dataroot import DataRoot

_guard = threading.Lock()
_holds: dict[Path, _Hold] = {}


class _Hold:
    """A file that is held, shared, and for which process of the server that was noted in it."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.owner = os.getpid()
        self.noted_for: int | None = None


def hold(root: DataRoot, kind: str) -> bool:
    """Hold a kind of server from now on; False while its keeper looks whether anybody does."""
    path = _users_file(root, kind)
    with _guard:
        known = _holds.get(path)
        if known is not None and known.owner == os.getpid() and _is_that(path, known.file):
            return True
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        _forget(path)
        _holds[path] = _Hold(file)
        return True


def note_use(root: DataRoot, kind: str, server: int, *, first: bool = False) -> None:
    """Note that this process uses the server, held before; by the one who starts it as the `first` one."""
    with _guard:
        known = _holds[_users_file(root, kind)]
        if first:
            os.ftruncate(known.file, 0)  # who used an earlier one is none of its keeper's business
        if first or known.noted_for != server:
            os.write(known.file, f"+{os.getpid()}\n".encode())
        known.noted_for = None if first else server


def let_stay(root: DataRoot, kind: str) -> None:
    """The server, held before, is to stay even if those who use it are killed: an operator asked for it."""
    with _guard:
        os.write(_holds[_users_file(root, kind)].file, b"=\n")


def let_go(root: DataRoot, kind: str) -> None:
    """This process is done with the server."""
    with _guard:
        _forget(_users_file(root, kind))


@atexit.register
def let_all_go() -> None:
    """This process is done with all servers; done by itself at an orderly end."""
    with _guard:
        for path in list(_holds):
            _forget(path)


def _forget(path: Path) -> None:
    known = _holds.pop(path, None)
    if known is None:
        return
    if known.owner == os.getpid():  # a fork of the one who holds lets nothing go
        os.write(known.file, f"-{os.getpid()}\n".encode())
    os.close(known.file)


def _is_that(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _users_file(root: DataRoot, kind: str) -> Path:
    run_file = root.worker_file(kind)
    return run_file.with_name(run_file.name + ".users")
