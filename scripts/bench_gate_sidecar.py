"""A sidecar to measure the gate with: says whether the user is there, ten times a second and at once when they come."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime

from pipeline.dataroot import DataRoot
from schemas.fields import utc_text

_EVERY_S = 0.1


class Sidecar:
    """Writes the signal ten times a second."""

    def __init__(self, root: DataRoot) -> None:
        self._path = root.path / "activity" / "activity_signal.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._active, self._since, self._seq = True, time.monotonic(), 0
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.say(active=True)
        self._thread.start()

    def say(self, *, active: bool) -> float:
        """Write it now; returns when it was there (monotonic seconds)."""
        with self._guard:
            if active != self._active:
                self._active, self._since = active, time.monotonic()
            self._write()
            return time.monotonic()

    def end(self) -> None:
        """Fall silent."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(_EVERY_S):
            with self._guard:
                self._write()

    def _write(self) -> None:
        self._seq += 1
        idle_s = 0.0 if self._active else round(time.monotonic() - self._since, 3)
        said = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": idle_s, "user_active": self._active,
                "seq": self._seq}  # fmt: skip
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.replace(self._path)
