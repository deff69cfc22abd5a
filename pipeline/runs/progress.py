"""Progress of long work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LOG_EVERY_S = 15.0

log = logging.getLogger("pipeline")


class ProgressReport(Protocol):
    """What the run loop tells while it works."""

    def __enter__(self) -> ProgressReport: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def start(self, stage: str, total: int) -> None: ...
    def advance(self, count: int) -> None: ...


class BarProgress:
    """A bar for each stage, on stderr."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> BarProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, stage: str, total: int) -> None:
        self._task = self._progress.add_task(stage, total=total)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)


class LogProgress:
    """A line when a stage starts, now and then while it works, and when it is through."""

    def __init__(self) -> None:
        self._stage, self._total, self._done, self._logged_at = "", 0, 0, 0.0

    def __enter__(self) -> LogProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def start(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done, self._logged_at = stage, total, 0, time.monotonic()
        log.info("%s: %d pending", stage, total)

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._done >= self._total or now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.info("%s: %d of %d", self._stage, self._done, self._total)


def choose_progress() -> ProgressReport:
    """A bar where a person looks on, log lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else LogProgress()
