"""How `pipeline ingest` tells what became of handoffs: each as it comes, and all at the end."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.ingest.result import HandoffResult, State

if TYPE_CHECKING:
    from rich.progress import Progress

    from pipeline.ingest.drain import DrainResult

_MOST_WARNINGS_SHOWN = 10
_logger = logging.getLogger(__name__)


class IngestProgress:
    """Shows each result as it comes: a line on stdout, with a bar below on a terminal; log lines beside `--json`."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._bar = _make_bar() if sys.stdout.isatty() and not as_json else None

    def __enter__(self) -> IngestProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, handoffs: int) -> None:
        """Say how many handoffs there are."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=handoffs, visible=handoffs > 1)

    def show(self, result: HandoffResult) -> None:
        """Print one result."""
        if self._as_json:
            level = logging.ERROR if result.error else logging.INFO
            _logger.log(level, "%s", _line(result))
        elif self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
            _show(result, partial(self._bar.console.print, markup=False))
        else:
            _show(result, lambda line: sys.stdout.write(line + "\n"))


def _make_bar() -> Progress:
    from rich.console import Console  # late: cron, which sees no bar, does without
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("ingest"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(highlight=False, soft_wrap=True), transient=True)
    bar.add_task("ingest", total=None, visible=False)
    return bar


def _line(result: HandoffResult) -> str:
    name = result.path.rpartition("/")[2]
    if result.error:
        return f"{name}: {result.state.value}: {result.error}"
    parts = [f"{_count(result.rows, 'row')} ({result.inserted} new, {result.identical} known)"]
    if result.quarantined:
        parts.append(f"{result.quarantined} quarantined")
    if result.incomplete:
        parts.append(f"{result.incomplete} incomplete")
    if result.frames is not None and result.frames_complete is not None:
        parts.append(f"{_count(result.frames, 'frame')} ({result.frames_complete} complete)")
    if result.files_linked or result.files_copied:
        parts.append(f"files: {result.files_linked} linked, {result.files_copied} copied")
    counts = "" if result.state is State.waiting else f": {', '.join(parts)}"
    return f"{name}: {result.state.value}{counts}"


def _show(result: HandoffResult, write: Callable[[str], object]) -> None:
    write(_line(result))
    if result.remedy:
        write(f"  → {result.remedy}")
    for warning in result.warnings[:_MOST_WARNINGS_SHOWN]:
        write(f"  warning: {warning}")
    if result.warning_count > _MOST_WARNINGS_SHOWN:
        write(f"  and {result.warning_count - _MOST_WARNINGS_SHOWN} more warnings (--json lists them)")


def totals_of(outcome: DrainResult) -> dict[str, Any]:
    """What all results come to."""
    counted = ("rows", "inserted", "identical", "quarantined", "incomplete", "files_linked", "files_copied", "bytes")
    by_result = map(attrgetter(*counted), outcome.results)
    totals: dict[str, Any] = dict(zip(counted, map(sum, zip([0] * len(counted), *by_result, strict=True)), strict=True))
    states = Counter(result.state for result in outcome.results)
    totals["states"] = {state.name: states[state] for state in sorted(states, key=lambda state: state.name)}
    return totals


def show_totals(outcome: DrainResult, totals: dict[str, Any]) -> None:
    """Say what came of it all, what was passed over and what is left."""
    for path in outcome.passed_over:
        typer.echo(f"{Path(path).name}: passed over: no metadata.db (or, in a chronicle session, COMPLETE.json) in it")
    if outcome.blocked:
        typer.echo(f"{outcome.blocked}; handoffs left for later: {outcome.left}")
    if not outcome.results:
        if not outcome.blocked:
            typer.echo("nothing to do: no handoff there")
        return
    states = ", ".join(f"{count} {State[name].value}" for name, count in totals["states"].items())
    handoffs, rows = _count(len(outcome.results), "handoff"), _count(totals["rows"], "row")
    typer.echo(
        f"total: {handoffs} ({states}), {rows} ({totals['inserted']} new),"
        f" {totals['files_linked']} files linked, {totals['files_copied']} copied, {totals['bytes']:,} bytes"
    )


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
