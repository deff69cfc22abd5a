"""`pipeline run`: Stage 2+ over what is pending."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipeline.cli.at_work import choose_engine, gate_terms, say_what_is_assumed
from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session
from pipeline.cli.logs import LogJsonOption, say
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.engines.shards import Engine
    from pipeline.gate import GateTerms
    from pipeline.runs.report import RunOptions, RunReport


class EngineName(StrEnum):
    """Where stages run."""

    AUTO = "auto"
    RAY = "ray"
    LOCAL = "local"


ReadyFileOption = Annotated[
    Path | None,
    typer.Option("--ready-file", metavar="PATH", help="Is written when all is set up, and removed at the end."),
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", metavar="PORT", min=1, max=65_535, help="Tell metrics to Prometheus here, on loopback."
    ),
]


class ProfileName(StrEnum):
    """Which models a run uses."""

    EMBEDDED = "embedded"
    FULL = "full"


EngineOption = Annotated[EngineName, typer.Option("--engine", help="Where stages run; auto says what it chose.")]
RayAddressOption = Annotated[
    str,
    typer.Option(
        "--ray-address", metavar="HOST:PORT", help="Join this Ray, on loopback or in ray_networks; start none."
    ),
]
ProfileOption = Annotated[
    ProfileName | None,
    typer.Option("--profile", help="embedded: OCR and embeddings; full: a VLM too, and nothing may be missing."),
]
AssumeIdleOption = Annotated[
    bool,
    typer.Option(
        "--assume-idle-when-missing", help="Work without an activity signal; a stale or broken one still blocks."
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="run")(run)


def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One pass over what is pending (the default).")] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="Pass after pass, with retries, until nothing is pending.")
    ] = False,
    engine: EngineOption = EngineName.AUTO,
    ray_address: RayAddressOption = "",
    profile: ProfileOption = None,
    stages: Annotated[
        list[str] | None, typer.Option("--stage", metavar="S", help="Only this stage; may repeat.")
    ] = None,
    reprocess: Annotated[
        bool,
        typer.Option("--reprocess", help="Redo what another model, prompt or version had done; see: pipeline plan."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take again what failed or was given up; see: pipeline failures.")
    ] = False,
    engine_model: Annotated[
        str,
        typer.Option(
            "--engine-model",
            metavar="NAME",
            help="With --stage ocr: have this OCR model read beside the one in use; its records are kept beside.",
        ),
    ] = "",
    max_frames: Annotated[
        int | None, typer.Option("--max-frames", metavar="N", min=1, help="Send at most N frames to models.")
    ] = None,
    assume_idle: AssumeIdleOption = False,
    ready_file: ReadyFileOption = None,
    metrics_port: MetricsPortOption = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    log_json: LogJsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Read what was captured and write facts, while the user is idle.

    Exits with 2 when there is nothing to do, with 3 when the user is active, with 5 when the profile full lacks
    something.
    """
    from pipeline.runs.model_choice import asked_model
    from pipeline.runs.report import RunOptions

    del log_json  # its callback has switched it
    if once and until_done:
        raise UsageError("--once and --until-done exclude each other")
    chosen = [f"profile={profile.value}"] if profile else []
    session = open_session(context, data_root, as_json, [*(overrides or []), *chosen])
    asked = asked_model(session.root, session.settings, engine_model, stages or ())
    terms = gate_terms(session.settings, assume_idle=assume_idle)
    say_what_is_assumed(assume_idle=assume_idle)
    options = RunOptions(until_done, tuple(stages or ()), reprocess, max_frames, asked.name, asked.beside, retry_failed)
    made = choose_engine(session, terms, engine.value, ray_address)
    report = _work(session, options, terms, made, ready_file, metrics_port)
    if report.parked:
        say(f"warning: {report.parked} samples could not be processed; see: pipeline failures")
    session.print(_as_json(report), lambda console: _show(report, console))


def _work(
    session: Session, options: RunOptions, terms: GateTerms, engine: Engine, ready_file: Path | None,
    metrics_port: int | None,
) -> RunReport:  # fmt: skip
    from pipeline.gate import Gate
    from pipeline.runs.loop import run as run_loop
    from pipeline.runs.models import served_embedder, served_models
    from pipeline.runs.progress import choose_progress
    from pipeline.runs.watch import RunWatch

    root, settings = session.root, session.settings
    gate = Gate(root.activity_signal, **terms)
    with RunWatch(
        root, settings, terms, choose_progress(), ready_file=ready_file, metrics_port=metrics_port
    ) as watch:  # fmt: skip
        return run_loop(
            root, settings, options, engine, gate, served_models(root, settings, gate, options.engine_model),
            watch.progress, served_embedder(root, settings, gate), watch=watch,
        )  # fmt: skip


def _as_json(report: RunReport) -> dict[str, Any]:
    from pipeline.runs.keep_indexes import LANDSCAPE, TEXT_INDEX

    return {
        "run_id": report.run_id,
        "engine": report.engine,
        "samples": {stage: dict(counts) for stage, counts in report.samples.items()},
        "days": dict(report.days),
        "renewed": {name: report.renewed.get(name) for name in (TEXT_INDEX, LANDSCAPE)},
        "healed": report.healed,
        "elapsed_s": round(report.elapsed_s, 3),
    }


def _show(report: RunReport, console: Console) -> None:
    for stage, counts in report.samples.items():
        console.print(f"{stage:<16} {', '.join(f'{number} {status}' for status, number in sorted(counts.items()))}")
    for stage, days in report.days.items():
        console.print(f"{stage:<16} {days} day{'s' if days != 1 else ''} built")
    for name, moment in report.renewed.items():
        console.print(f"{name:<16} renewed {moment}")
    for name in report.healed:
        console.print(f"{'healed':<16} {name}")
    console.print(f"{report.elapsed_s:.1f} s; look around with: pipeline sql, pipeline status")
