"""The file that says a handoff may be reaped: read, whatever lies in its place, and published whole `[handoff-2]`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pipeline.dataroot import REAP_MARKER
from pipeline.stores.atomic import replace_bytes

_MAX_BYTES = 1 << 16


def marker_bytes(handoff: str | Path) -> bytes | None:
    """What lies in the marker's place, if it is a file that can be read."""
    try:
        # Whatever lies there in its place, a FIFO even, must not make us follow or wait.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(f"{handoff}/{REAP_MARKER}", flags)
    except OSError:
        return None
    try:
        return os.read(descriptor, _MAX_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def write_marker(handoff: Path, marker: bytes, leftovers: Iterable[str]) -> None:
    """Publish the marker, unless this very one lies there; remove what a crash kept from being published.

    One that lies there may not be durable: then a power cut takes it away, and the next run writes it again.
    Raises OSError.
    """
    for leftover in leftovers:
        (handoff / leftover).unlink(missing_ok=True)
    if marker_bytes(handoff) != marker:
        replace_bytes(handoff / REAP_MARKER, marker)
