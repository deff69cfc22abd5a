"""How fast something goes: over the last minute, since the beginning says little of a run that was held up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0


class Rate:
    """Counts, and tells how many came a second lately."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._lately: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        """So many more."""
        self._lately.append((self._now(), count))
        self._forget()

    def per_s(self) -> float:
        """How many a second; 0 before the first."""
        self._forget()
        over_s = min(self._now() - self._began, WINDOW_S)
        return sum(count for _, count in self._lately) / over_s if over_s > 0 else 0.0

    def left_s(self, left: int) -> float | None:
        """How long the rest takes at this rate; None while there is none."""
        per_s = self.per_s()
        return left / per_s if per_s > 0 else None

    def _forget(self) -> None:
        while self._lately and self._lately[0][0] < self._now() - WINDOW_S:
            self._lately.popleft()
