"""Progress of long work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from pipeline.runs.rate import Rate

LOG_EVERY_S = 10.0

log = logging.getLogger("pipeline")


class ProgressReport(Protocol):
    """What the run loop tells while it works; `tick` comes now and then, also while nothing gets done."""

    def __enter__(self) -> ProgressReport: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def start(self, stage: str, total: int) -> None: ...
    def advance(self, count: int) -> None: ...
    def tick(self, gate: str) -> None: ...


class BarProgress:
    """A bar for each stage, on stderr: how many, how fast, how long still, and what the gate says."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"),
            TextColumn("{task.fields[gate]}"), console=Console(stderr=True),
        )  # fmt: skip
        self._task: TaskID | None = None
        self._stage = _Stage("", 0)
        self._gate = ""

    def __enter__(self) -> BarProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, stage: str, total: int) -> None:
        self._settle()
        self._stage = _Stage(stage, total)
        self._task = self._progress.add_task(stage, total=total, pace="", gate=self._gate)

    def advance(self, count: int) -> None:
        self._stage.advance(count)
        if self._task is not None:
            self._progress.update(self._task, advance=count, pace=self._stage.pace())

    def tick(self, gate: str) -> None:
        self._gate = gate
        if self._task is not None:
            self._progress.update(self._task, pace=self._stage.pace(), gate=gate)

    def _settle(self) -> None:
        """What is said of the moment belongs to the newest bar."""
        if self._task is not None:
            self._progress.update(self._task, pace="", gate="")


class LogProgress:
    """A line when a stage starts, every ten seconds while it works, and when it is through."""

    def __init__(self) -> None:
        self._stage = _Stage("", 0)
        self._logged_at = 0.0
        self._gate = ""

    def __enter__(self) -> LogProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def start(self, stage: str, total: int) -> None:
        self._stage, self._logged_at = _Stage(stage, total), time.monotonic()
        log.info("%s: %d pending", stage, total, extra={"fields": self._stage.fields(self._gate)})

    def advance(self, count: int) -> None:
        self._stage.advance(count)
        if self._stage.left == 0 or self._is_time():
            self._log()

    def tick(self, gate: str) -> None:
        self._gate = gate
        if self._stage.left > 0 and self._is_time():
            self._log()

    def _is_time(self) -> bool:
        return time.monotonic() - self._logged_at >= LOG_EVERY_S

    def _log(self) -> None:
        self._logged_at = time.monotonic()
        stage = self._stage
        said = [f"{stage.name}: {stage.done} of {stage.total}", stage.pace(), self._gate]
        log.info("%s", ", ".join(filter(None, said)), extra={"fields": stage.fields(self._gate)})


def choose_progress() -> ProgressReport:
    """A bar where a person looks on, log lines elsewhere, and where logs are for programs."""
    for_programs = any(hasattr(handler.formatter, "for_programs") for handler in logging.getLogger().handlers)
    return BarProgress() if sys.stderr.isatty() and not for_programs else LogProgress()


class _Stage:
    """How far a stage is."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self._rate = Rate()

    @property
    def left(self) -> int:
        return max(0, self.total - self.done)

    def advance(self, count: int) -> None:
        self.done += count
        self._rate.add(count)

    def pace(self) -> str:
        """How fast it goes, and how long the rest takes."""
        left_s = self._rate.left_s(self.left)
        if left_s is None:
            return ""
        return f"{self._rate.per_s():.3g}/s" + (f", {_duration(left_s)} left" if self.left else "")

    def fields(self, gate: str) -> dict[str, Any]:
        """The same, for programs."""
        left_s = self._rate.left_s(self.left)
        told = {"stage": self.name, "done": self.done, "total": self.total, "rate_per_s": round(self._rate.per_s(), 3)}
        return {**told, "eta_s": None if left_s is None else round(left_s), "gate": gate}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
