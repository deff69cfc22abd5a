"""One writer at a time: a kernel lock that a crash releases and that a reused process id cannot fake."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Busy


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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _process_in(descriptor) or "unknown"
            raise Busy(
                f"another {what} is at work on this DataRoot (process {holder})", remedy="wait until it ends"
            ) from error
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


def _process_in(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip()
