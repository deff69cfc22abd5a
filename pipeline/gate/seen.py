"""When a gate was seen open: every answer that it gives is noted, for a forecast of how much idle time a day has.

looks      o  o  o  c  c  o  o            o      o open, c closed; in the gap nobody looked
stretches  ├─────┤        ├──┤
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from pipeline.gate.clocks import Moment
from schemas.fields import utc_microseconds

HOLDS_S = 60.0
"""How long an answer is taken to hold within one process, which looks again every second while it waits or works."""

_MAX_SLEEP_S = 1.0


class Seen(NamedTuple):
    """What a gate saw from one look to another; times in microseconds since 1970, stretches in their order."""

    since_us: int
    until_us: int
    is_open: bool
    stretches: list[tuple[int, int]]


class Looks:
    """Keeps the stretches in which a gate was open, until they are taken. From any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._since_us: int | None = None
        self._last: tuple[Moment, bool] | None = None
        self._stretches: list[tuple[int, int]] = []

    def note(self, now: Moment, *, is_open: bool) -> None:
        """The gate was asked and said so."""
        with self._guard:
            end_us = utc_microseconds(now.wall)
            if self._last is not None and self._last[1]:
                self._add(end_us - _held_us(self._last[0], now), end_us)
            if self._since_us is None:
                self._since_us = end_us
            self._last = now, is_open

    def take(self) -> Seen | None:
        """What was seen since this was called last, which is forgotten here; None when nobody looked."""
        with self._guard:
            if self._last is None or self._since_us is None:
                return None
            until_us = utc_microseconds(self._last[0].wall)
            seen = Seen(self._since_us, until_us, self._last[1], self._stretches)
            self._since_us, self._stretches = until_us, []
            return seen

    def _add(self, start_us: int, end_us: int) -> None:
        if start_us >= end_us:
            return
        if self._stretches and abs(self._stretches[-1][1] - start_us) < 1_000:  # the clocks part by less than that
            start_us = self._stretches.pop()[0]
        self._stretches.append((start_us, end_us))


def _held_us(before: Moment, now: Moment) -> int:
    """For how long an answer held: not over a long gap, nor while the machine slept."""
    awake_s = now.awake_s - before.awake_s
    slept = now.boot_s - before.boot_s - awake_s > _MAX_SLEEP_S
    return 0 if slept or awake_s > HOLDS_S else round(awake_s * 1e6)
