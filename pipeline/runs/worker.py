"""`run`, for ever: asleep while the user is active, at work while they are away, awake when something arrives.

wait until idle ── run ─┬─ the user came ──▶ wait until idle
                        ├─ all is done ────▶ sleep until evidence changes ── wait until idle
                        └─ it failed ──────▶ wait, longer each time ──────── wait until idle
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tenacity

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, Busy, NothingToDo, PipelineError
from pipeline.gate import Gate
from pipeline.runs.outages import wait_s
from pipeline.runs.report import RunReport

LOOK_EVERY_S, LOOK_AT_MOST_EVERY_S = 0.5, 0.1
"""How often a worker that waits looks at the signal; the more often, the sooner idleness is to count."""

NEWS_EVERY_S = 1.0
"""How often one that has done all looks whether evidence has come, and at the signal."""

ANYHOW_EVERY_S = 600.0
"""How often it runs although nothing seems to have come: a change can be missed."""

BUSY_S = 5.0
AFTER_ERROR = tenacity.wait_exponential(multiplier=5.0, max=600.0)
"""How long to wait after an error, by how many there were in a row: 5 s, 10 s, … ten minutes."""

log = logging.getLogger("pipeline")


@dataclass
class WorkerReport:
    """What a worker did from its start to its end: runs by how they ended, samples and days by stage and status."""

    runs: Counter[str] = field(default_factory=Counter)
    done: dict[str, Counter[str]] = field(default_factory=dict)


class Worker:
    """Keeps a DataRoot read until `stop` is called; the gate is one that wants idleness to hold."""

    def __init__(
        self,
        root: DataRoot,
        gate: Gate,
        run: Callable[[], RunReport],
        *,
        resume_hold_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._gate = gate
        self._run = run
        self._look_every_s = min(LOOK_EVERY_S, max(LOOK_AT_MOST_EVERY_S, resume_hold_s / 4))
        self._monotonic = monotonic
        self._stopped = threading.Event()
        self._errors_in_a_row = 0
        self.report = WorkerReport()

    def stop(self, reason: str = "told to end") -> None:
        """End soon, keeping what is finished, as if the user had come. May be called from a signal handler."""
        self._gate.shut(reason)
        self._stopped.set()

    def work(self) -> WorkerReport:
        """Work and wait until stopped."""
        while self._wait_until_idle():
            seen = self._evidence()
            outcome = self._run_once()
            self.report.runs[outcome] += 1
            if outcome == "nothing to do":
                self._sleep_until_news(seen)
            elif outcome == "failed":
                self._stopped.wait(wait_s(self._errors_in_a_row, AFTER_ERROR))
            elif outcome == "busy":
                self._stopped.wait(BUSY_S)
        return self.report

    def _wait_until_idle(self) -> bool:
        """Wait for the gate; False when stopped meanwhile."""
        while not self._stopped.is_set():
            if self._gate.ask().open:
                return not self._stopped.is_set()
            self._stopped.wait(self._look_every_s)
        return False

    def _run_once(self) -> str:
        """Run; returns how it ended. Whatever it was, the worker goes on."""
        try:
            report = self._run()
        except Blocked as error:
            log.info("%s", error.message)
            self._add(error.done)
            return "paused"
        except NothingToDo:
            self._errors_in_a_row = 0
            return "nothing to do"
        except Busy as error:
            log.info("%s", error.message)
            return "busy"
        except PipelineError as error:
            log.error("the run failed: %s", error)
        except Exception:
            log.exception("the run failed")
        else:
            self._errors_in_a_row = 0
            self._add(report.counted())
            return "done"
        self._errors_in_a_row += 1
        return "failed"

    def _add(self, done: Mapping[str, Mapping[str, int]]) -> None:
        for stage, counts in done.items():
            self.report.done.setdefault(stage, Counter()).update(counts)

    def _sleep_until_news(self, seen: tuple[object, ...]) -> None:
        """Sleep while evidence stays as it was before the run: handoffs that came meanwhile are news.

        The gate is asked all the same: it is to know how long the user was away, and to be open when news comes.
        """
        anyhow_at = self._monotonic() + ANYHOW_EVERY_S
        while not self._stopped.is_set() and self._monotonic() < anyhow_at and self._evidence() == seen:
            self._gate.ask()
            self._stopped.wait(NEWS_EVERY_S)

    def _evidence(self) -> tuple[object, ...]:
        """What changes with every row that is added, at the price of three looks."""
        path = self._root.metadata_db
        return tuple(_state(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-journal"))


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
