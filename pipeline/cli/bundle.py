"""`pipeline bundle`: a DataRoot's evidence in one file, and back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.cli.context import DataRootOption, JsonOption, open_view, print_result
from pipeline.errors import ExitCode

if TYPE_CHECKING:
    from pipeline.bundles.outcome import Outcome, Watch
    from pipeline.runs.progress import ProgressReport

_MOST_WARNINGS_SHOWN = 10
bundle = typer.Typer(no_args_is_help=True)
_logger = logging.getLogger(__name__)

BundleFile = Annotated[Path, typer.Argument(metavar="FILE.zip", help="A bundle.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(bundle, name="bundle", help="Back the evidence up in one file, check such a file, restore it.")


@bundle.command()
def create(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The file to make; it must not be there.")],
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            help="Refuse a DataRoot with missing or damaged blobs; or bundle what is there, and say what is not.",
        ),
    ] = True,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Write all evidence into one zip: rows, media, what handoffs held, journal, settings. An ingest may go on.

    Every blob is read and compared with its row. What can be made again (derived/, index/) is left out. The same
    DataRoot gives the same bytes. Exits 4 when evidence is missing or damaged, and then writes nothing.
    """
    from pipeline.bundles.create import create_bundle
    from pipeline.runs.progress import choose_progress

    view = open_view(context, data_root, as_json)
    with choose_progress() as report:
        outcome = create_bundle(view.root, out, strict=strict, watch=_watch(report))
    return _print(outcome, as_json=view.as_json)


@bundle.command()
def verify(context: typer.Context, file: BundleFile, as_json: JsonOption = False) -> ExitCode:
    """Read a whole bundle and check all that a restore would check. Exits 4 when it cannot be restored."""
    from pipeline.bundles.verify import verify_bundle
    from pipeline.runs.progress import choose_progress

    with choose_progress() as report:
        outcome = verify_bundle(file, watch=_watch(report))
    return _print(outcome, as_json=as_json or context.obj.as_json)


@bundle.command()
def restore(
    context: typer.Context,
    file: BundleFile,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            help="Refuse a bundle with a conflicting row or a wrong blob; or keep the rest of it.",
        ),
    ] = True,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Bring a bundle's evidence into the DataRoot, a new one or one with evidence of its own.

    Nothing that is there is changed, and a killed restore is finished by running it again. Exits 2 when all was there
    before, 4 when the bundle was rejected, 6 when an ingest is at work.
    """
    from pipeline.bundles.restore import restore_bundle
    from pipeline.runs.progress import choose_progress

    view = open_view(context, data_root, as_json)
    with choose_progress() as report:
        outcome = restore_bundle(view.root, file, strict=strict, watch=_watch(report))
    return _print(outcome, as_json=view.as_json)


def _watch(report: ProgressReport) -> Watch:
    from pipeline.bundles.outcome import Watch

    return Watch(report.start, report.advance)


def _print(outcome: Outcome, *, as_json: bool) -> ExitCode:
    result = {**outcome.as_dict(), "exit_code": int(outcome.exit_code)}
    print_result(result, lambda console: _show(console, outcome), as_json=as_json)
    return outcome.exit_code


def _show(console: Console, outcome: Outcome) -> None:
    from pipeline.bundles.outcome import State

    files = f"{outcome.media_files} media files, {outcome.other_files} others, {outcome.bytes:,} bytes"
    frames = f"{outcome.frames} frames ({outcome.frames_complete} complete)"
    console.print(escape(f"{Path(outcome.path).name}: {outcome.state.value}: {outcome.rows} rows, {frames}, {files}"))
    if outcome.state not in (State.created, State.whole):
        rows = f"{outcome.inserted} rows new, {outcome.identical} known, {outcome.quarantined} quarantined"
        console.print(f"  {rows}; {outcome.files_added} files new")
    for warning in outcome.warnings[:_MOST_WARNINGS_SHOWN]:
        console.print(escape(f"  warning: {warning}"))
    if outcome.warning_count > _MOST_WARNINGS_SHOWN:
        console.print(f"  and {outcome.warning_count - _MOST_WARNINGS_SHOWN} more warnings (--json lists them)")
    if outcome.left_out:
        console.print(escape(f"  left out, since it is no evidence: {', '.join(outcome.left_out)}"))
