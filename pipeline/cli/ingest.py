"""`pipeline ingest`: handoff dirs become evidence."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.at_work import gate_terms
from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session, print_json
from pipeline.cli.logs import LogJsonOption, is_json
from pipeline.cli.show_ingest import IngestProgress, show_totals, totals_of
from pipeline.errors import UsageError
from pipeline.ingest.gate_mode import GateMode
from pipeline.ingest.place_files import Mode
from pipeline.stores.variants import Backend

if TYPE_CHECKING:
    from pipeline.gate import Gate
    from pipeline.ingest.drain import DrainResult
    from pipeline.ingest.pace import Pace

_MOST_RESULTS_KEPT = 1_000
_logger = logging.getLogger(__name__)


PathsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH…", help="Handoff dirs, chronicle sessions, or spool roots full of them.", show_default=False
    ),
]
ModeOption = Annotated[Mode, typer.Option(help="Link files into the DataRoot where that is possible, or copy.")]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict/--no-strict",
        help="Reject a handoff with a conflicting row or a wrong blob; or keep the rest of it, unmarked.",
    ),
]
BackendOption = Annotated[
    Backend,
    typer.Option(
        help="Which table of a handoff's metadata.db to read; auto: metadata if it is readable, else records."
    ),
]
GateOption = Annotated[
    GateMode | None,
    typer.Option(
        help="auto: full speed at the lowest priority, crumbs while a live signal says that the user is active;"
        " active-safe: always crumbs, 5 % of a core; idle: only while the user is idle. [default: auto; with"
        " --watch: idle]",
        show_default=False,
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("ingest")(_ingest)


def _ingest(
    context: typer.Context,
    paths: PathsArgument,
    mode: ModeOption = Mode.hardlink,
    strict: StrictOption = True,
    metadata_backend: BackendOption = Backend.auto,
    gate: GateOption = None,
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
    from pipeline.gate import Gate  # late: other commands are to start at once
    from pipeline.ingest.drain import drain
    from pipeline.ingest.pace import Pace, lowest_priority
    from pipeline.runs.hypervisor import Output

    del log_json  # its callback has switched it
    if watch and gate not in (None, GateMode.idle):
        raise UsageError(
            f"--watch works only while the user is idle, not with --gate {gate}", remedy="leave out --gate"
        )
    session = open_session(context, data_root, as_json, overrides)
    signal_gate = Gate(session.root.activity_signal, **gate_terms(session.settings, assume_idle=False))
    pace = Pace(signal_gate, GateMode.idle if watch else gate or GateMode.auto)
    with (
        Output(session.root, "ingest") as output,
        _held(session),
        lowest_priority(),
        IngestProgress(session.as_json or is_json()) as progress,
    ):
        work = partial(
            drain,
            session.root,
            mode=mode,
            strict=strict,
            settle_s=session.settings.settle_s,
            backend=metadata_backend,
            pace=pace,
            threads=0 if gate is GateMode.active_safe else session.settings.ingest_threads,
            on_found=progress.begin,
            on_result=progress.show,
        )
        outcome = _watch(paths, work, signal_gate, pace, session.settings.resume_hold_s) if watch else work(paths)
        output.exit_code = int(outcome.exit_code)
    return _tell(session, outcome)


def _tell(session: Session, outcome: DrainResult) -> int:
    """Print what came of it; returns the exit code."""
    totals = totals_of(outcome)
    if not session.as_json:
        show_totals(outcome, totals)
        return outcome.exit_code
    print_json({
        "data_root": str(session.root),
        "exit_code": int(outcome.exit_code),
        "handoffs": [result.as_dict() for result in outcome.results],
        "passed_over": outcome.passed_over,
        "left": outcome.left,
        "blocked": outcome.blocked,
        "totals": totals,
    })  # fmt: skip
    return outcome.exit_code


def _held(session: Session) -> AbstractContextManager[object]:
    """Ingest is light by its priority and its gate; a limit that the environment sets holds for it all the same."""
    if not (os.environ.get("AP_CPU_LIMIT") or os.environ.get("AP_MEM_LIMIT_MB")):
        return nullcontext()
    from pipeline.budget.hold import NO_SERVERS, Budget

    return Budget(session.root, session.settings, NO_SERVERS, part="ingest").held()


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
