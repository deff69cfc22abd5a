"""`pipeline ingest`: handoff dirs become evidence."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session
from pipeline.cli.logs import LogJsonOption, is_json
from pipeline.errors import UsageError
from pipeline.ingest.gate_mode import GateMode
from pipeline.ingest.place_files import Mode
from pipeline.ingest.result import HandoffResult, State
from pipeline.stores.variants import Backend

if TYPE_CHECKING:
    from pipeline.gate import Gate
    from pipeline.ingest.drain import DrainResult
    from pipeline.ingest.pace import Pace

_MOST_RESULTS_KEPT = 1_000
_MOST_WARNINGS_SHOWN = 10
_logger = logging.getLogger(__name__)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("ingest")(_ingest)


def _ingest(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH…", help="Handoff dirs, chronicle sessions, or spool roots full of them.", show_default=False
        ),
    ],
    mode: Annotated[Mode, typer.Option(help="Link files into the DataRoot where that is possible, or copy.")] = (
        Mode.hardlink
    ),
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            help="Reject a handoff with a conflicting row or a wrong blob; or keep the rest of it, unmarked.",
        ),
    ] = True,
    metadata_backend: Annotated[
        Backend,
        typer.Option(
            help="Which table of a handoff's metadata.db to read; auto: metadata if it is readable, else records."
        ),
    ] = Backend.auto,
    gate: Annotated[
        GateMode | None,
        typer.Option(
            help="auto: full speed at the lowest priority, crumbs while a live signal says that the user is active;"
            " active-safe: always crumbs, 5 % of a core; idle: only while the user is idle. [default: auto; with"
            " --watch: idle]",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever: ingest what arrives, while the user is idle.")
    ] = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    log_json: LogJsonOption = False,
    overrides: SetOption = None,
) -> int:
    """Bring handoffs into the DataRoot and mark each one that is safe there.

    Exits 0 when something was ingested, 2 when all was there before, 3 when the gate is closed, 4 when a handoff was
    rejected (the others go through), 6 when another ingest is at work.
    """
    from pipeline.ingest.drain import drain  # late: other commands are to start at once
    from pipeline.ingest.pace import Pace, lowest_priority
    from pipeline.runs.hypervisor import Output

    del log_json  # its callback has switched it
    if watch and gate not in (None, GateMode.idle):
        raise UsageError(
            f"--watch works only while the user is idle, not with --gate {gate}", remedy="leave out --gate"
        )
    session = open_session(context, data_root, as_json, overrides)
    signal_gate = _gate_of(session)
    pace = Pace(signal_gate, GateMode.idle if watch else gate or GateMode.auto)

    def work(what: Sequence[Path]) -> DrainResult:
        return drain(
            session.root,
            what,
            mode=mode,
            strict=strict,
            settle_s=session.settings.settle_s,
            backend=metadata_backend,
            pace=pace,
            threads=0 if gate is GateMode.active_safe else session.settings.ingest_threads,
            on_found=progress.begin,
            on_result=progress.show,
        )

    with (
        Output(session.root, "ingest") as output,
        _held(session),
        lowest_priority(),
        _Progress(session.as_json or is_json()) as progress,
    ):
        outcome = _watch(paths, work, signal_gate, pace, session.settings.resume_hold_s) if watch else work(paths)
        output.exit_code = int(outcome.exit_code)
    totals = _totals(outcome)
    session.print(
        {
            "data_root": str(session.root),
            "exit_code": int(outcome.exit_code),
            "handoffs": [result.as_dict() for result in outcome.results],
            "passed_over": outcome.passed_over,
            "left": outcome.left,
            "blocked": outcome.blocked,
            "totals": totals,
        },
        lambda console: _show_totals(console, outcome, totals),
    )
    return outcome.exit_code


def _held(session: Session) -> AbstractContextManager[object]:
    """Ingest is light by its priority and its gate; a limit that the environment sets holds for it all the same."""
    if not (os.environ.get("AP_CPU_LIMIT") or os.environ.get("AP_MEM_LIMIT_MB")):
        return nullcontext()
    from pipeline.budget.hold import NO_SERVERS, Budget

    return Budget(session.root, session.settings, NO_SERVERS, part="ingest").held()


def _gate_of(session: Session) -> Gate:
    from pipeline.gate import Gate

    settings = session.settings
    return Gate(session.root.activity_signal, max_age_s=settings.signal_max_age_s, min_idle_s=settings.min_idle_s)


def _watch(
    paths: Sequence[Path], work: Callable[[Sequence[Path]], DrainResult], gate: Gate, pace: Pace, resume_hold_s: float
) -> DrainResult:
    """Ingest until a signal asks for the end: SIGTERM ends it with what was done, SIGINT as an interruption."""
    from pipeline.ingest.arrivals import Arrivals
    from pipeline.ingest.drain import DrainResult
    from pipeline.ingest.watch import Watch

    whole = DrainResult()
    signals: list[int] = []

    def add(what: Sequence[Path]) -> DrainResult:
        outcome = work(what)
        whole.results = [*whole.results, *outcome.results][-_MOST_RESULTS_KEPT:]
        return outcome

    with Arrivals() as arrivals:
        watch = Watch(paths, add, gate, arrivals, resume_hold_s=resume_hold_s,
                      on_blocked=lambda why: _logger.info("waiting: %s", why))  # fmt: skip

        def stop(number: int, _: object) -> None:
            signals.append(number)
            pace.stop_reason = "stopped"
            watch.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            watch.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if signal.SIGINT in signals:
        raise KeyboardInterrupt
    return whole


class _Progress:
    """Shows each result as it comes: a line on stdout, with a bar below on a terminal; log lines beside `--json`."""

    def __init__(self, as_json: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._as_json = as_json
        self._is_terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, soft_wrap=True)
        columns = (TextColumn("ingest"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        has_bar = sys.stdout.isatty() and not as_json
        self._bar = Progress(*columns, console=self._console, disable=not has_bar, transient=True)
        self._task = self._bar.add_task("ingest", total=None, visible=False)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, handoffs: int) -> None:
        """Say how many handoffs there are."""
        self._bar.update(self._task, total=handoffs, visible=handoffs > 1)

    def show(self, result: HandoffResult) -> None:
        """Print one result."""
        self._bar.advance(self._task)
        if self._as_json:
            level = logging.ERROR if result.error else logging.INFO
            _logger.log(level, "%s", _line(result))
        elif self._is_terminal:
            _show(result, lambda line: self._bar.console.print(escape(line)))
        else:
            _show(result, lambda line: sys.stdout.write(line + "\n"))


def _line(result: HandoffResult) -> str:
    name = Path(result.path).name
    if result.error:
        return f"{name}: {result.state.value}: {result.error}"
    parts = [f"{_number(result.rows, 'row')} ({result.inserted} new, {result.identical} known)"]
    if result.quarantined:
        parts.append(f"{result.quarantined} quarantined")
    if result.incomplete:
        parts.append(f"{result.incomplete} incomplete")
    if result.frames is not None and result.frames_complete is not None:
        parts.append(f"{_number(result.frames, 'frame')} ({result.frames_complete} complete)")
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


def _totals(outcome: DrainResult) -> dict[str, Any]:
    counted = ("rows", "inserted", "identical", "quarantined", "incomplete", "files_linked", "files_copied", "bytes")
    totals: dict[str, Any] = {name: sum(getattr(result, name) for result in outcome.results) for name in counted}
    states = [result.state.name for result in outcome.results]
    totals["states"] = {state: states.count(state) for state in sorted(set(states))}
    return totals


def _show_totals(console: Console, outcome: DrainResult, totals: dict[str, Any]) -> None:
    for path in outcome.passed_over:
        console.print(
            escape(f"{Path(path).name}: passed over: no metadata.db (or, in a chronicle session, COMPLETE.json) in it")
        )
    if outcome.blocked:
        console.print(escape(f"{outcome.blocked}; handoffs left for later: {outcome.left}"))
    if not outcome.results:
        if not outcome.blocked:
            console.print("nothing to do: no handoff there")
        return
    states = ", ".join(f"{count} {State[name].value}" for name, count in totals["states"].items())
    handoffs, rows = _number(len(outcome.results), "handoff"), _number(totals["rows"], "row")
    console.print(
        f"total: {handoffs} ({states}), {rows} ({totals['inserted']} new),"
        f" {totals['files_linked']} files linked, {totals['files_copied']} copied, {totals['bytes']:,} bytes"
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
