"""How long a model stage may work while the user is away, where that is limited: `stage_minutes_per_idle`.

An idle window lasts from when the user left until he comes back, over as many runs as fit in: it is a new one when the
signal says that he was there after the stage had last worked. Without a signal each run is a window of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import orjson
from pydantic import ValidationError

from pipeline.dag import STAGES
from pipeline.dataroot import DataRoot
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from schemas.activity import ActivitySignal
from schemas.fields import parse_utc

_MARK = "idle_window"
_MAX_SIGNAL_BYTES = 65_536


class IdleWindow:
    """What each limited stage has worked in this idle window, remembered in the catalog from run to run."""

    def __init__(self, root: DataRoot, settings: Settings, catalog: Catalog, now_us: Callable[[], int]) -> None:
        """Raises UsageError for a limit of a stage that asks no model."""
        self._limits_ms = {name: round(minutes * 60_000) for name, minutes in settings.stage_minutes_per_idle.items()}
        for name in self._limits_ms:
            if name not in {stage.name for stage in STAGES if stage.model}:
                known = ", ".join(stage.name for stage in STAGES if stage.model)
                raise UsageError(f"stage_minutes_per_idle names no model stage: {name}", remedy=f"they are: {known}")
        self._catalog, self._now_us = catalog, now_us
        self._spent_ms: Counter[str] = Counter()
        self.used_up: set[str] = set()
        """Stages that were left out for it."""
        if self._limits_ms:
            self._recall(_idle_since_us(root))

    def has_room(self, stage: str) -> bool:
        """Whether a stage may go on working in this window; one that may not is noted."""
        limit_ms = self._limits_ms.get(stage)
        if limit_ms is None or self._spent_ms[stage] < limit_ms:
            return True
        self.used_up.add(stage)
        return False

    def worked(self, stage: str, elapsed_s: float) -> None:
        """Note that a stage worked for so long."""
        if stage in self._limits_ms:
            self._spent_ms[stage] += round(elapsed_s * 1000)
            with self._catalog.transaction():
                told = {"last_us": self._now_us(), "spent_ms": dict(self._spent_ms)}
                self._catalog.set_mark(_MARK, orjson.dumps(told).decode())

    def _recall(self, idle_since_us: int | None) -> None:
        noted = orjson.loads(self._catalog.mark(_MARK) or "{}")
        if noted and idle_since_us is not None and idle_since_us <= noted["last_us"]:
            self._spent_ms.update(noted["spent_ms"])


def _idle_since_us(root: DataRoot) -> int | None:
    """Since when the user is away, in microseconds since 1970, as the signal says; None where it does not."""
    try:
        with root.activity_signal().open("rb") as file:
            signal = ActivitySignal.model_validate_json(file.read(_MAX_SIGNAL_BYTES))
        return round((parse_utc(signal.ts_utc).timestamp() - signal.idle_seconds) * 1e6)
    except (OSError, ValidationError, ValueError):
        return None
