"""The garbage collector while rows are worked on: they are many, live long and hold no cycles."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Have the collector of this process run seldom, for as long as it lives: a fifth of the time went into it."""
    gc.set_threshold(50_000, 20, 20)
