"""A sidecar: writes the activity signal twenty times a second, as one does that is alive."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.dataroot import DataRoot
from schemas.fields import utc_text

EVERY_S = 0.05


class Sidecar:
    """Says whether the user is active; what is set is written at once, and again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._active = True
        self._since = time.monotonic()
        self._seq = 0
        self._guard = threading.Lock()
        self.ended = threading.Event()

    def say(self, *, active: bool) -> None:
        """The user came, or left."""
        with self._guard:
            if active != self._active:
                self._active, self._since = active, time.monotonic()
            self._write()

    def beat(self) -> None:
        """Write until ended."""
        while not self.ended.wait(EVERY_S):
            with self._guard:
                self._write()

    def _write(self) -> None:
        self._seq += 1
        idle_s = 0.0 if self._active else round(time.monotonic() - self._since, 3)
        said = {
            "ts_utc": utc_text(datetime.now(UTC)),
            "idle_seconds": idle_s,
            "user_active": self._active,
            "source": "made for a test",
            "seq": self._seq,
        }
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.replace(self._path)


@contextmanager
def sidecar(root: DataRoot) -> Iterator[Sidecar]:
    """A sidecar at work; at first the user is active."""
    path = root.path / "activity" / "activity_signal.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Sidecar(path)
    made.say(active=True)
    thread = threading.Thread(target=made.beat, name="sidecar")
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        thread.join()
