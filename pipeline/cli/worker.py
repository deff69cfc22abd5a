"""`pipeline worker`: `run`, for ever, following the gate."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from pipeline.cli.at_work import choose_engine, gate_terms, say_what_is_assumed
from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session
from pipeline.cli.logs import LogJsonOption
from pipeline.cli.run import (
    AssumeIdleOption,
    EngineName,
    EngineOption,
    MetricsPortOption,
    ProfileOption,
    RayAddressOption,
    ReadyFileOption,
)

if TYPE_CHECKING:
    from pipeline.engines.shards import Engine
    from pipeline.gate import Gate, Verdict
    from pipeline.runs.report import RunReport
    from pipeline.runs.watch import RunWatch
    from pipeline.runs.worker import Worker, WorkerReport


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="worker")(worker)


def worker(
    context: typer.Context,
    engine: EngineOption = EngineName.AUTO,
    ray_address: RayAddressOption = "",
    profile: ProfileOption = None,
    assume_idle: AssumeIdleOption = False,
    ready_file: ReadyFileOption = None,
    metrics_port: MetricsPortOption = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    log_json: LogJsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Do what `run --until-done` does, for ever: whenever the user has been idle for resume_hold_s.

    It stops within a moment when the user comes, and waits. An error of a run is logged and tried again, later each
    time. SIGTERM ends it with 0, Ctrl-C with 130; what is finished is kept. Exits with 6 when another worker is at
    work.
    """
    from pipeline.gate import Gate
    from pipeline.runs.loop import log
    from pipeline.runs.progress import choose_progress
    from pipeline.runs.watch import RunWatch
    from pipeline.runs.worker import Worker
    from pipeline.stores.lock import hold_lock

    del log_json  # its callback has switched it
    chosen = [f"profile={profile.value}"] if profile else []
    session = open_session(context, data_root, as_json, [*(overrides or []), *chosen])
    settings, root = session.settings, session.root

    def tell(verdict: Verdict) -> None:
        log.info("gate %s: %s", "open" if verdict.open else "closed", verdict.reason)

    terms = gate_terms(settings, assume_idle=assume_idle)
    gate = Gate(root.activity_signal, **terms, resume_hold_s=settings.resume_hold_s, on_change=tell)
    say_what_is_assumed(assume_idle=assume_idle)
    with (
        hold_lock(root.require_writable().worker_lock, "worker"),
        RunWatch(
            root, settings, terms, choose_progress(), command="worker", ready_file=ready_file, metrics_port=metrics_port
        ) as watch,
    ):  # fmt: skip
        made = choose_engine(session, terms, engine.value, ray_address, for_worker=True)
        _import_all()
        watch.ready()
        try:
            report = _work(
                Worker(root, gate, _runner(session, gate, made, watch), resume_hold_s=settings.resume_hold_s)
            )
        finally:
            made.end()
    session.print(_as_json(report), lambda console: _show(report, console))


def _runner(session: Session, gate: Gate, made: Engine, watch: RunWatch) -> Callable[[], RunReport]:
    """Make what runs once."""
    from pipeline.runs.loop import run
    from pipeline.runs.model_choice import asked_model
    from pipeline.runs.models import served_embedder, served_models
    from pipeline.runs.report import RunOptions

    settings, root = session.settings, session.root

    def run_once() -> RunReport:
        name = asked_model(root, settings, "", ()).name  # another one may have been promoted
        return run(
            root, settings, RunOptions(until_done=True), made, gate,
            served_models(root, settings, gate, name), watch.progress, served_embedder(root, settings, gate),
            watch=watch,
        )  # fmt: skip

    return run_once


def _import_all() -> None:
    """Import at the start what takes long: nobody could end it in the middle of a run."""
    from pipeline.engines.served import import_client
    from pipeline.indexing.landscape import can_be_built
    from pipeline.stores.landscape_build import require_lancedb

    import_client()
    if can_be_built():
        require_lancedb()


def _work(worker: Worker) -> WorkerReport:
    """Work until a signal asks for the end: SIGTERM ends it with what was done, SIGINT as an interruption."""
    numbers: list[int] = []

    def stop(number: int, _: object) -> None:
        numbers.append(number)
        worker.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        report = worker.work()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in numbers:
        raise KeyboardInterrupt
    return report


def _as_json(report: WorkerReport) -> dict[str, Any]:
    return {"runs": dict(report.runs), "done": {stage: dict(counts) for stage, counts in report.done.items()}}


def _show(report: WorkerReport, console: Console) -> None:
    runs = ", ".join(f"{number} {how}" for how, number in sorted(report.runs.items())) or "none"
    console.print(f"runs: {runs}; what they did: pipeline runs list")
