"""`pipeline status`, `doctor`, `settings`: what an operator reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session
from pipeline.cli.show_forecast import show_forecast
from pipeline.cli.show_indexes import show_indexes
from pipeline.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(name="status")(status)
    app.command(name="doctor")(doctor)
    app.command(name="settings")(settings)


def status(
    context: typer.Context,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Show backlog, stages, failures, gate, workers, indexes and disk."""
    from pipeline.reports.status import report_status

    session = open_session(context, data_root, as_json, overrides)
    report = report_status(session.root, session.settings)
    session.print(report, lambda console: _show_status(report, console))


def doctor(
    context: typer.Context,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Check all that the DataRoot holds against the contract instead; nothing in it is touched."
        ),
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=0, help="With --deep: hash only N blobs, evenly spread."),
    ] = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Check the DataRoot, the installation and the models; each finding with its remedy. Exits with 4 on a failure.

    With --deep, check the evidence itself, whoever fills the DataRoot: layout, metadata variant, every record, every
    blob's size and hash, journal, ledger, activity signal. docs/operating.md lists the codes.
    """
    session = open_session(context, data_root, as_json, overrides)
    if sample is not None and not deep:
        raise UsageError("--sample goes with --deep", remedy="pipeline doctor --deep --sample N")
    if not (_doctor_deep(session, sample) if deep else _doctor(session)):
        raise typer.Exit(ExitCode.CONTRACT_INVALID)


def _doctor(session: Session) -> bool:
    from pipeline.reports.doctor import examine, to_json

    findings = examine(session.root, session.settings)
    result = to_json(findings)

    def show(console: Console) -> None:
        for item in findings:
            console.print(f"{_MARKS[item.level]}  {item.check}: {item.message}", markup=False)
            if item.remedy:
                console.print(f"         → {item.remedy}", markup=False)

    session.print(result, show)
    return bool(result["ok"])


def _doctor_deep(session: Session, sample: int | None) -> bool:
    from pipeline.cli.findings import CheckProgress, show_findings
    from pipeline.reports.deep.examine import examine_deeply

    with CheckProgress() as progress:
        max_age_s = session.settings.signal_max_age_s
        findings = examine_deeply(session.root, progress, sample=sample, max_age_s=max_age_s)

    def show(console: Console) -> None:
        show_findings(findings, console)
        console.print(f"{session.root}: {'ok' if findings.ok else 'not ok'}")

    session.print({"data_root": str(session.root), **findings.as_dict()}, show)
    return findings.ok


def settings(
    context: typer.Context,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Show every setting, its value and where it came from (flag, environment, pipeline.toml, default)."""
    from pipeline.settings import explain_settings

    session = open_session(context, data_root, as_json, overrides)
    rows = explain_settings(session.root.settings_file, session.flags)

    def show(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("setting", "value", "from", "meaning"):
            table.add_column(title, overflow="fold")
        for name, value, source, meaning in rows:
            table.add_row(name, str(value), source, meaning)
        console.print(table, markup=False)

    names = ("name", "value", "source", "help")
    session.print({"settings": [dict(zip(names, row, strict=True)) for row in rows]}, show)


def _show_status(report: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "done", "pending", "failed", "parked", "time left"):
        table.add_column(title, justify="left" if title == "stage" else "right")
    for row in report["stages"]:
        name = f"{row['stage']} (days)" if row["unit"] == "day" else row["stage"]
        left = "" if row["eta_s"] is None else f"{row['eta_s']} s"
        table.add_row(name, *(str(row[key]) for key in ("done", "pending", "failed", "parked")), left)
    console.print(table)
    for item in report["failures"]:
        console.print(
            f"{item['status']}: {item['count']} in {item['stage']}: {item['error_code']} (e.g. {item['example']})"
        )
    if report["unreadable_rows"]:
        console.print(f"rows that name no usable time or run: {report['unreadable_rows']} (kept as they are)")
    _show_surroundings(report, console)


def _foreign(worker: dict[str, Any]) -> str:
    """Where a server is that is not ours, which model it serves, and what is wrong with it."""
    if worker["owner"] != "foreign":
        return ""
    told = [f"not ours, at {worker['url']}", f"serves {worker['model_id']}" if worker["model_id"] else ""]
    return ": " + ", ".join(part for part in [*told, worker["problem"] or ""] if part)


def _describe_run(now: dict[str, Any]) -> str:
    """What a run does at this moment, as one line."""
    stage, budget = now["stage"], now["budget"]
    said = [f"{stage}, {now['queues'][stage]} left" if stage in now["queues"] else "between two stages"]
    if now["eta_s"] is not None:
        said.append(f"about {now['eta_s']} s at {now['rates_per_s'][stage]:.3g}/s")
    said.append(f"{budget['memory_mb']} MB, held to {budget['limits']['cpu_percent_of_one'] / 100:g} processors")
    if budget["throttled"]["cpu"]:
        said.append(f"held up {budget['throttled']['cpu']} times for {budget['throttled']['cpu_ms'] / 1000:.1f} s")
    return f"at work: {'; '.join(said)}"


def _show_surroundings(report: dict[str, Any], console: Console) -> None:
    gate, last, disk = report["gate"], report["last_run"], report["disk"]
    console.print(f"profile: {report['profile']}")
    console.print(f"gate: {'open' if gate['open'] else 'closed'}, {gate['reason']}")
    if report["running"]:
        console.print(_describe_run(report["running"]))
    for worker in report["workers"]:
        since = f" since {worker['since']}" if worker["since"] else ""
        died = f", deaths: {worker['restarts']}, last: {worker['died_of']}" if worker["restarts"] else ""
        console.print(f"worker {worker['kind']}: {worker['state']}{since}{died}{_foreign(worker)}", markup=False)
    if last["run_id"]:
        console.print(
            f"last run: {last['state']} ({last['started_utc']} to {last['ended_utc'] or 'now'}) {last['reason']}"
        )
    attempt = report["last_attempt"]
    if attempt and attempt["run_id"] != last["run_id"]:
        console.print(f"last attempt: {attempt['state']} ({attempt['ended_utc']}) {attempt['reason']}")
    show_indexes(report["indexes"], console)
    parts = [name for name in ("media", "handoffs", "derived", "index", "free") if disk[name] is not None]
    console.print(f"disk: {', '.join(f'{name} {disk[name] / 1024**2:.1f} MiB' for name in parts)}")
    if report["sla"]:
        show_forecast(console, report["sla"], disk)
