"""Shows the findings of `doctor --deep` and `verify`, and how far such a check is."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.reports.deep.findings import Findings

_MARKS = {"ok": "✓", "warning": "!", "failure": "✗"}
_MOST_SHOWN = 10
_QUIET_S = 2.0
_LOG_EVERY_S = 15.0
_logger = logging.getLogger(__name__)


def show_findings(findings: Findings, console: Console) -> None:
    """Print each check with its mark, and below it what speaks against it, with examples and the remedy."""
    from pipeline.reports.deep.codes import CODES

    for check, level, message, reasons in findings.checks():
        console.print(f"{_MARKS[level]} {check}" + (f": {message}" if message else ""))
        for reason in reasons:
            told = CODES[reason.code]
            console.print(f"    {_MARKS[told.level]} {told.message}: {reason.count} [{reason.code}]")
            for example in reason.examples[:_MOST_SHOWN]:
                console.print(f"        {example}")
            if len(reason.examples) > _MOST_SHOWN:
                console.print("        … (--json names more)")
            console.print(f"      → {told.remedy}")


class CheckProgress:
    """A bar on a terminal, log lines elsewhere; neither for what takes less than two seconds."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._has_bar = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._stage, self._total, self._done = "", 0, 0
        self._told_at = time.monotonic() - _LOG_EVERY_S + _QUIET_S

    def __enter__(self) -> CheckProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def start(self, stage: str, total: int) -> None:
        """Something new is worked on."""
        self._stage, self._total, self._done = stage, total, 0
        if self._task is not None:
            self._bar.reset(self._task, description=stage, total=total)

    def advance(self, count: int) -> None:
        """So much more of it is done."""
        self._done += count
        if self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._told_at >= _LOG_EVERY_S:
            self._told_at = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        if not self._has_bar:
            _logger.info("%s: %d of %d", self._stage, self._done, self._total)
            return
        self._bar.start()
        self._task = self._bar.add_task(self._stage, total=self._total, completed=self._done)
