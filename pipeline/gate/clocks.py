"""The clocks that the gate goes by: the one that can be set, and two that cannot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of all clocks.

    `wall` is what the signal is dated by. `boot_s` counts since the machine was started, also while it sleeps;
    `awake_s` stands still then, so that both together tell that it slept.
    """

    wall: datetime
    boot_s: float
    awake_s: float


def read_clocks() -> Moment:
    """Read the clocks of this machine."""
    return Moment(datetime.now(UTC), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())
