"""What a run does now, counted: how much waits, what is in flight, how fast it goes, what held it up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pipeline.budget.hold import Budget
from pipeline.clients.in_flight import in_flight
from pipeline.gate import Verdict
from pipeline.runs.progress import ProgressReport
from pipeline.runs.rate import Rate
from pipeline.stores.catalog import FAILED, PARKED
from schemas.fields import utc_text


class Telemetry:
    """Listens to the progress of runs, passes it on to the one that is shown, and tells all of it at any moment."""

    def __init__(self, shown: ProgressReport, look: Callable[[], Verdict]) -> None:
        """`look` reads the gate."""
        self.preemptions = 0
        self.runs = 0
        self._shown = shown
        self._look = look
        self._waiting: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._rates: dict[str, Rate] = {}
        self._stage = ""
        self._oldest_us: int | None = None
        self._ended: Counter[str] = Counter()

    def __enter__(self) -> Telemetry:
        self._shown.__enter__()
        self.runs += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage, self._waiting, self._oldest_us = "", {}, None
        self._shown.__exit__(kind, error, trace)

    def start(self, stage: str, total: int) -> None:
        """A stage begins with so many samples waiting."""
        self._stage = stage
        self._waiting[stage] = total
        self._rates.setdefault(stage, Rate())
        self._shown.start(stage, total)

    def advance(self, count: int) -> None:
        """So many were finished, whatever came of them."""
        if self._stage:
            self._waiting[self._stage] = max(0, self._waiting[self._stage] - count)
            self._done[self._stage] += count
            self._rates[self._stage].add(count)
        self._shown.advance(count)

    def tick(self, gate: str) -> None:
        """Nothing has to have happened."""
        self._shown.tick(gate)

    def note_oldest(self, ts_us: int) -> None:
        """The oldest sample that waits was captured then, in microseconds since 1970."""
        self._oldest_us = ts_us

    def note_ended(self, samples: dict[str, Counter[str]]) -> None:
        """A run ended with these outcomes by stage."""
        for counts in samples.values():
            self._ended.update({FAILED: counts[FAILED], PARKED: counts[PARKED]})

    def snapshot(self, samples: dict[str, Counter[str]], budget: Budget) -> dict[str, Any]:
        """All of it; `samples` are the outcomes of the run that is under way."""
        now, verdict = time.time_ns(), self._look()
        outcomes = Counter(self._ended)
        for counts in list(samples.values()):
            outcomes.update({FAILED: counts[FAILED], PARKED: counts[PARKED]})
        waiting = dict(self._waiting)
        rates = {stage: rate.per_s() for stage, rate in list(self._rates.items())}
        left_s = self._rates[self._stage].left_s(waiting.get(self._stage, 0)) if self._stage else None
        return {
            "updated_utc": utc_text(datetime.fromtimestamp(now / 1e9, UTC)),
            "stage": self._stage,
            "eta_s": None if left_s is None else round(left_s),
            "queues": waiting,
            "in_flight": in_flight(),
            "done": dict(self._done),
            "rates_per_s": {stage: round(per_s, 3) for stage, per_s in rates.items()},
            "failed": outcomes[FAILED],
            "dropped": outcomes[PARKED],
            "lag_s": None if self._oldest_us is None else max(0, round(now / 1e9 - self._oldest_us / 1e6)),
            "preemptions": self.preemptions,
            "gate": {"open": verdict.open, "reason": verdict.reason},
            "budget": budget.snapshot(),
        }
