"""Measures how fast a stage is while it works, for `pipeline plan`."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.stores.catalog import Catalog
from pipeline.stores.paces import note_pace

_STRETCH_S = 10.0
"""How long a stretch of work is that gives one figure: short enough to show how they differ."""


class PaceMeter:
    """Notes stretches of work on one stage: what came back, and the wall clock since the one before."""

    def __init__(self, catalog: Catalog, stage: str, fingerprint: str, now_us: Callable[[], int]) -> None:
        self._catalog, self._stage, self._fingerprint, self._now_us = catalog, stage, fingerprint, now_us
        self._since, self._samples = time.monotonic(), 0

    def worked(self, samples: int) -> None:
        """So many samples came back."""
        self._samples += samples
        if time.monotonic() - self._since >= _STRETCH_S:
            self.end()

    def end(self) -> None:
        """Note what there is; more may follow."""
        now = time.monotonic()
        elapsed_us = max(1, round((now - self._since) * 1e6))
        if self._samples:
            note_pace(self._catalog, self._stage, self._fingerprint, self._now_us(), self._samples, elapsed_us)
        self._since, self._samples = now, 0
