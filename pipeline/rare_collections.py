"""The garbage collector while rows are worked on: they are many, live long and hold no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def collect_rarely() -> None:
    """Have the collector of this process run seldom, for as long as it lives: a fifth of the time went into it."""
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def rare_collections() -> Iterator[None]:
    """The same for the length of a block."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
