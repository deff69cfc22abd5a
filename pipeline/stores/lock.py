"""One writer at a time: a kernel lock that a crash releases and that a reused process id cannot fake."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Busy

_LONGEST_DYING_S = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held."""

    left_by: str
    """The process that held it before and did not come to its end, for people; empty where the last one did."""


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[Held]:
    """Hold an exclusive lock on a file while the block runs. Raises Busy when another process holds it.

    The holder's process id is written into the file, for people, and taken out again at the end; what counts is the
    kernel's lock, which belongs to the file itself, by whatever path it was opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, what)
        before = _process_in(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield Held(before)
        finally:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds a lock on a file; nobody does where there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, what: str) -> None:
    """Lock; where the holder has just been killed, wait for the child that it was starting to let go of its copy."""
    give_up_at = time.monotonic() + _LONGEST_DYING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _process_in(descriptor) or "unknown"
            if not _is_dead(holder) or time.monotonic() > give_up_at:
                raise Busy(
                    f"another {what} is at work on this DataRoot (process {holder})", remedy="wait until it ends"
                ) from error
            time.sleep(0.02)
        else:
            return


def _is_dead(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OverflowError, PermissionError):
        return False
    return False


def _process_in(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip()
