"""`pipeline landscape`: the spans of all time as points, and what lies near to what."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.at_work import gate_terms
from pipeline.cli.context import DataRootOption, JsonOption, SetOption, open_session
from pipeline.cli.run import AssumeIdleOption
from pipeline.errors import ExitCode, NotAvailableYet, UsageError

landscape = typer.Typer(no_args_is_help=True)


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(landscape, name="landscape", help="Build, check and look around in the landscape of spans.")


@landscape.command()
def build(
    context: typer.Context,
    assume_idle: AssumeIdleOption = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Build the landscape anew from the facts and publish it; equal facts give an equal manifest hash.

    `pipeline run` does so by itself when spans or their embeddings have changed.
    Exits with 3 when the user is active, with 7 when no span has an embedding, with 5 when LanceDB is not installed.
    """
    from pipeline.budget.hold import Budget
    from pipeline.gate import Gate
    from pipeline.indexing.landscape import renew_landscape
    from pipeline.runs.commit import project_outcomes
    from pipeline.runs.servers import own_servers
    from pipeline.runs.work import require_idle
    from pipeline.stores.catalog import Catalog
    from pipeline.stores.facts import FactsStore
    from pipeline.stores.lock import hold_lock

    session = open_session(context, data_root, as_json, overrides)
    root, settings = session.root.require_writable(), session.settings
    gate = Gate(root.activity_signal, **gate_terms(settings, assume_idle=assume_idle))
    require_idle(gate)
    budget = Budget(root, settings, own_servers(root))
    with hold_lock(root.run_lock, "run"), budget.held(), Catalog(root) as catalog:
        project_outcomes(catalog, FactsStore(root))  # what a killed run had not shown yet
        manifest = renew_landscape(root, catalog, lambda: require_idle(gate), anew=True)
    pinned = manifest.pinned
    result = {"manifest_sha256": manifest.manifest_sha256, **pinned.model_dump(by_alias=True)}

    def show(console: Console) -> None:
        console.print(f"{pinned.spans} spans in {pinned.dimensions} dimensions, manifest {manifest.manifest_sha256}")
        if pinned.left_out:
            console.print(f"left out: {pinned.left_out} spans of another model; pipeline run --reprocess embeds them")

    session.print(result, show)


@landscape.command()
def verify(
    context: typer.Context, data_root: DataRootOption = None, as_json: JsonOption = False, overrides: SetOption = None
) -> ExitCode:
    """Check files, table and manifest against each other and against the facts. Exits with 4 when they part."""
    from pipeline.stores.landscape_build import verify_landscape

    session = open_session(context, data_root, as_json, overrides)
    manifest, reasons = verify_landscape(session.root.require())

    def show(console: Console) -> None:
        for reason in reasons:
            console.print(f"does not match: {reason}")
        console.print("→ pipeline landscape build" if reasons else f"all matches, manifest {manifest.manifest_sha256}")

    session.print({"ok": not reasons, "manifest_sha256": manifest.manifest_sha256, "reasons": reasons}, show)
    return ExitCode.CONTRACT_INVALID if reasons else ExitCode.OK


@landscape.command()
def neighbors(
    context: typer.Context,
    span: Annotated[str, typer.Argument(metavar="SPAN", help="Id of a span (see: pipeline sql, table spans).")],
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="How many to list.")] = 10,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """List the spans that are most like a span, by what was to be read in them."""
    from pipeline.stores.landscape import REBUILD, open_landscape

    session = open_session(context, data_root, as_json, overrides)
    found = open_landscape(session.root.require())
    if found is None:
        raise NotAvailableYet("no landscape was built yet", remedy=REBUILD)
    row = found.row(span)
    if row is None:
        raise UsageError(
            "that span is not in the landscape",
            remedy='pipeline sql "SELECT span_id FROM spans" lists them; pipeline landscape build takes in new ones',
        )
    near = [item for item in found.search(found.vectors[row].tolist(), count + 1) if item[0] != row][:count]
    rows = [{"score": score, **_told(found.span(index))} for index, score in near]
    session.print({"span_id": span, "neighbors": rows}, lambda console: _show(console, rows))


def _told(span: dict[str, Any]) -> dict[str, Any]:
    from schemas.fields import from_utc_microseconds, utc_text

    moments = {f"{end}_seen_utc": utc_text(from_utc_microseconds(span[f"{end}_us"])) for end in ("first", "last")}
    names = ("span_id", "app", "window_title", "domain", "first_frame_id", "last_frame_id")
    return {**{name: span[name] for name in names}, **moments}


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("likeness", "first seen", "program", "title", "span"):
        table.add_column(title, overflow="fold")
    for row in rows:
        likeness = f"{row['score'] / 10_000:.4f}"
        table.add_row(likeness, row["first_seen_utc"], row["app"], row["window_title"], row["span_id"])
    console.print(table)
