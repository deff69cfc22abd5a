"""The garbage collector while rows are worked on: they are many, live long and hold no cycles."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Have the collector of this process run seldom, for as long as it lives: a fifth of the time went into it.

    What loading most commands makes, 45,000 to 70,000 objects that stay, is not yet looked through.
    """
    gc.set_threshold(100_000, 20, 20)
