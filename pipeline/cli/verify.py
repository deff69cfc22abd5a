"""`pipeline verify`: is the evidence still what was ingested?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.context import DataRootOption, JsonOption, open_view
from pipeline.errors import ExitCode, UsageError

_TIME = "a day or a time in ISO-8601; without a zone it is UTC"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="verify")(verify)


def verify(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TS", help=f"Only what was captured from then on: {_TIME}.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TS", help="Only what was captured before.")] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", min=0, help="Hash only N blobs, evenly spread.")
    ] = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Hash every row, blob and kept file again, and name what has changed since it was ingested. Only reads.

    Exits with 4 when something has changed or is gone. --since, --until and --sample bound the work.
    """
    from pipeline.cli.findings import CheckProgress, show_findings
    from pipeline.reports.deep.verify import Bounds, verify_evidence

    view = open_view(context, data_root, as_json)
    bounds = Bounds(_read_time("--since", since), _read_time("--until", until), sample)
    with CheckProgress() as progress:
        findings = verify_evidence(view.root, progress, bounds)

    def show(console: Console) -> None:
        show_findings(findings, console)
        console.print(f"{view.root}: {'nothing has changed' if findings.ok else 'NOT what was ingested'}")

    view.print({"data_root": str(view.root), **findings.as_dict()}, show)
    return ExitCode.OK if findings.ok else ExitCode.CONTRACT_INVALID


def _read_time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no time", remedy=f"give {_TIME}: {option} 2026-03-01") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
