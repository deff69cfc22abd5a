"""`pipeline plan`: what waits, what is stale, and whether it will be done in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.context import DataRootOption, JsonOption, SetOption, open_session
from pipeline.cli.show_forecast import show_forecast
from pipeline.errors import ContractInvalid, NotAvailableYet

if TYPE_CHECKING:
    from rich.console import Console


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="plan")(plan)


def plan(
    context: typer.Context,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 4 when the backlog will not be processed within the window.")
    ] = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Show what waits for each stage, what a changed model, prompt or version made stale, and how long both take.

    Beside it the projection from measured rates and idle hours against `window_days`, and for how many days the disk is
    enough. With --gate, exits with 4 when it does not fit, with 7 when that was not measured yet.
    """
    from pipeline.reports.plan import report_plan

    session = open_session(context, data_root, as_json, overrides)
    result = report_plan(session.root, session.settings)
    sla = result["sla"]
    if gate and not sla["fits"]:
        remedy = "pipeline run --until-done"
        if sla["fits"] is None:
            raise NotAvailableYet(sla["sentence"], remedy=remedy)
        raise ContractInvalid(sla["sentence"], remedy=f"more idle hours, a quicker model, or a longer window: {remedy}")
    session.print(result, lambda console: _show(console, result))


def _show(console: Console, result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "waits", "takes", "stale", "takes", "why"):
        table.add_column(title, justify="left" if title in ("stage", "why") else "right")
    for row in result["stages"]:
        name = f"{row['stage']} (days)" if row["unit"] == "day" else row["stage"]
        table.add_row(
            name, str(row["pending"]), _time(row["pending_s"]), str(row["stale"]), _time(row["redo_s"]), _why(row)
        )
    console.print(table)
    if any(row["needs_reprocess"] for row in result["stages"]):
        console.print(f"redo what is stale: {result['reprocess']}")
    show_forecast(console, result["sla"], result["disk"])


def _why(row: dict[str, Any]) -> str:
    if row["model_unknown"]:
        return str(row["model_unknown"]).splitlines()[0]
    follows = f"stands on {', '.join(row['follows'])}" if row["follows"] else ""
    changed = f"changed: {', '.join(row['changed'])}" if row["changed"] else ""
    return "; ".join(text for text in (changed, follows) if text)


def _time(seconds: dict[str, float] | None) -> str:
    """At the slow rates; a stage that was never measured shows none."""
    if seconds is None:
        return "?"
    value = seconds["p95"]
    if value >= 7_200:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 120 else f"{value:.1f} s"
