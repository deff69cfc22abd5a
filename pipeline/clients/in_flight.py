"""How many model requests of this process are on their way; Ray's workers have processes, and counts, of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_count = 0


def in_flight() -> int:
    """How many there are now."""
    return _count


@contextmanager
def on_its_way() -> Iterator[None]:
    """Around one request."""
    _add(1)
    try:
        yield
    finally:
        _add(-1)


def _add(change: int) -> None:
    global _count
    with _guard:
        _count += change
