"""How long the user was away, as a worker saw it: while it works, waits and sleeps."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from screen_memory import InProcessModel, Memory, minutes, process

from pipeline.gate import Gate, Moment, Verdict
from pipeline.runs import worker as worker_module
from pipeline.runs.worker import Worker
from pipeline.stores.catalog import Catalog
from schemas.fields import utc_text

BEGIN = datetime(2026, 3, 1, 10, tzinfo=UTC)
TURN_S = 60
"""The user is there for so long, then away for so long."""


class Day:
    """A day on which a second passes with every look at the signal; a gate that keeps to it."""

    def __init__(self, folder: Path, ends_after_s: int) -> None:
        self.over = threading.Event()
        self.told: list[tuple[int, bool]] = []
        self._path = folder / "signal.json"
        self._second, self._ends_after_s = 0, ends_after_s
        self.gate = Gate(self._signal, clocks=self._clocks, resume_hold_s=5, on_change=self._tell)

    def _signal(self) -> Path:
        active = self._second // TURN_S % 2 == 0
        said = {"ts_utc": utc_text(self._now()), "idle_seconds": 0, "user_active": active, "seq": self._second}
        self._path.write_text(json.dumps(said))
        return self._path

    def _now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._second)

    def _clocks(self) -> Moment:
        self._second += 1
        if self._second >= self._ends_after_s:
            self.over.set()
        return Moment(self._now(), 1_000.0 + self._second, 500.0 + self._second)

    def _tell(self, verdict: Verdict) -> None:
        self.told.append((self._second, verdict.open))

    def open_s(self, until_us: int) -> int:
        """For how long the gate was open until then, by what it told."""
        end = round(until_us / 1e6 - BEGIN.timestamp())
        times = [(min(second, end), is_open) for second, is_open in self.told] + [(end, False)]
        return sum(after - at for (at, is_open), (after, _) in pairwise(times) if is_open)


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    for name in ("LOOK_EVERY_S", "NEWS_EVERY_S"):
        monkeypatch.setattr(worker_module, name, 0.001)
    monkeypatch.setattr(worker_module, "ANYHOW_EVERY_S", 0.05)
    return Day(tmp_path, 10 * TURN_S)


def test_idle_hours_are_all_that_a_worker_saw_whether_it_had_work_or_not(day: Day, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, *range(4))):
        memory.frame(number, moment)
    made = Worker(
        memory.root, day.gate, lambda: process(memory.root, InProcessModel(memory.root), day.gate), resume_hold_s=5
    )
    thread = threading.Thread(target=made.work, name="worker")
    thread.start()
    day.over.wait(60)
    made.stop()
    thread.join()
    assert made.report.runs["nothing to do"] > 1
    with Catalog(memory.root) as catalog:
        noted_us = catalog.connection.execute("SELECT sum(idle_us) FROM idle_days").fetchone()[0]
        until_us = int((catalog.mark("gate_seen") or "").split()[0])
    assert noted_us == day.open_s(until_us) * 1_000_000
    assert noted_us >= 2 * (TURN_S - 10) * 1_000_000
