"""`pipeline workers`: the model servers of a DataRoot."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.context import DataRootOption, JsonOption, Session, SetOption, open_session
from pipeline.errors import ExitCode, UsageError

workers = typer.Typer(no_args_is_help=True)

KindsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="KIND", help="ocr, embed or vlm; all when none is named.")
]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(workers, name="workers", help="Start, stop and list the model servers.")


@workers.command()
def up(
    context: typer.Context,
    kinds: KindsArgument = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Start the model servers that do not run yet, and wait until they are ready.

    Without a name all that are installed, a VLM only with vlm_server=own. Exits with 5 when one that is named is not.
    They stay until they have been idle for long, or `pipeline workers down`.
    """
    from pipeline.budget.hold import Budget
    from pipeline.runs.server_status import server_status
    from pipeline.runs.servers import own_servers

    session = open_session(context, data_root, as_json, overrides)
    root = session.root.require_writable()
    chosen = _chosen(kinds)
    with Budget(root, session.settings, own_servers(root)).held(always_set=False):  # servers stay in what holds them
        for kind in chosen:
            _bring_up(session, kind, by_name=bool(kinds))
    servers = server_status(root, session.settings)
    session.print({"workers": servers}, lambda console: _show(console, servers))


def _bring_up(session: Session, kind: str, *, by_name: bool) -> None:
    """Start a kind of server and let it stay. Raises NotInstalled for one that was named and is not installed."""
    from pipeline.runs.model_choice import OCR_STAGE, described, model_in_use
    from pipeline.runs.servers import OWN_VLM, ensure_server, let_server_stay, missing_package, not_installed

    if kind == "vlm" and not by_name and session.settings.vlm_server != OWN_VLM:
        return
    package = missing_package(kind)
    if package is None:
        model = described(session.settings, model_in_use(session.root, OCR_STAGE)) if kind == "ocr" else ""
        ensure_server(session.root, session.settings, kind, model)
        let_server_stay(session.root, kind)
    elif by_name:
        raise not_installed(kind, package)
    else:
        sys.stderr.write(f"note: {not_installed(kind, package)}\n")


@workers.command()
def down(
    context: typer.Context,
    kinds: KindsArgument = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> ExitCode:
    """Stop the model servers, also those that are only starting. Exits with 2 when none ran."""
    from pipeline.runs.servers import stop_server

    session = open_session(context, data_root, as_json, overrides)
    root = session.root.require()
    stopped = [{"kind": kind, "pid": pid} for kind in _chosen(kinds) if (pid := stop_server(root, kind)) is not None]
    session.print({"stopped": stopped}, lambda console: _show_stopped(console, stopped))
    return ExitCode.OK if stopped else ExitCode.NOTHING_TO_DO


@workers.command()
def status(
    context: typer.Context, data_root: DataRootOption = None, as_json: JsonOption = False, overrides: SetOption = None
) -> None:
    """List the model servers: state, whose, process, since when, deaths, address, model, requests answered."""
    from pipeline.runs.server_status import server_status

    session = open_session(context, data_root, as_json, overrides)
    servers = server_status(session.root.require(), session.settings)
    session.print({"workers": servers}, lambda console: _show(console, servers))


def _chosen(kinds: list[str] | None) -> list[str]:
    """Raises UsageError for a kind that there is not."""
    from pipeline.runs.servers import KINDS

    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"no server {kind!r}", remedy=f"the servers are: {', '.join(KINDS)}")
    return [kind for kind in KINDS if not kinds or kind in kinds]


def _show(console: Console, servers: list[dict[str, Any]]) -> None:
    names = ("owner", "pid", "since", "restarts", "url", "model_id", "requests")
    table = Table("server", "state", "owner", "process", "since", "restarts", "address", "model", "requests", box=None)
    for server in servers:
        cells = [server[name] for name in names]
        table.add_row(server["kind"], server["state"], *("" if cell is None else str(cell) for cell in cells))
    console.print(table)
    for server in servers:
        if server["problem"] is not None:
            console.print(f"{server['kind']}: {server['problem']}", markup=False)


def _show_stopped(console: Console, stopped: list[dict[str, Any]]) -> None:
    for server in stopped:
        console.print(f"stopped the {server['kind']} server, process {server['pid']}")
    if not stopped:
        console.print("no model server ran")
