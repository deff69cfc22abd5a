"""`pipeline runs` and `failures`: what runs did, and what they could not do."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.context import DataRootOption, JsonOption, open_view

runs = typer.Typer(no_args_is_help=True)

_LIMIT = 20


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(runs, name="runs", help="List the runs that there were, show one.")
    app.command(name="failures")(failures)


@runs.command(name="list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show the newest N runs.")] = _LIMIT,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs that did something or failed, the newest first: when, how they ended, what they did."""
    from pipeline.reports.runs import list_runs

    view = open_view(context, data_root, as_json)
    result = list_runs(view.root, limit)
    view.print(result, lambda console: _show_runs(console, result))


@runs.command()
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins or ends.")],
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run's manifest: settings, versions, models, prompts, counts, how it ended.

    Exits with 64 when the name means no run, or several.
    """
    from pipeline.reports.runs import show_run

    view = open_view(context, data_root, as_json)
    result = show_run(view.root, run)
    view.print(result, lambda console: console.print_json(data=result))


def failures(
    context: typer.Context,
    stage: Annotated[str | None, typer.Option("--stage", metavar="S", help="Only those of this stage.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show at most N samples.")] = _LIMIT,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what failed: the sample, its stage, the code, how often it was tried, when.

    `failed` ones are tried again by themselves; `parked` ones were given up, and `pipeline run --retry-failed` takes
    them again. Exits with 7 when nothing was processed yet.
    """
    from pipeline.reports.failures import report_failures

    view = open_view(context, data_root, as_json)
    result = report_failures(view.root, stage, limit)
    view.print(result, lambda console: _show_failures(console, result))


def _show_runs(console: Console, result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "state", "code", "started", "ended", "read", "reason"):
        table.add_column(title, overflow="fold", no_wrap=title == "run")
    for row in result["runs"]:
        code = "" if row["exit_code"] is None else str(row["exit_code"])
        times = (str(row[name] or "")[:16].replace("T", " ") for name in ("started_utc", "ended_utc"))
        read = str(row["did"].get("find_text_lines", 0))
        table.add_row(row["run_id"], row["state"], code, *times, read, row["reason"])
    console.print(table)


def _show_failures(console: Console, result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "status", "code", "tries", "failed", "message", "sample"):
        table.add_column(title, overflow="fold")
    for row in result["failures"]:
        cells = (row[name] for name in ("failed_utc", "message", "sample_id"))
        table.add_row(
            row["stage"], row["status"], row["error_code"], str(row["attempts"]), *(cell or "" for cell in cells)
        )
    console.print(table)
    left = result["count"] - len(result["failures"])
    if left:
        console.print(f"and {left} more: --limit {result['count']}")
    if result["count"]:
        console.print(f"take them again: {result['retry']}")
