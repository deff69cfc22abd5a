"""`pipeline cite`: what a citation points at, and a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.cli.context import DataRootOption, JsonOption, open_view

if TYPE_CHECKING:
    from pipeline.query.cite import Place


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="cite")(cite)


def cite(
    context: typer.Context,
    record: Annotated[
        str, typer.Argument(metavar="RECORD", help="Id of a text record, line track, page visit, window or frame.")
    ],
    line: Annotated[
        int | None, typer.Option("--line", metavar="N", min=0, help="Which line of a text record, from 0.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="OUT", help="Draw the box on the frame and save it here.")
    ] = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve a citation to its frame and box, check it, and draw it if asked to."""
    from pipeline.query.cite import draw, resolve

    view = open_view(context, data_root, as_json)
    root = view.root.require()
    place = resolve(root, record, line)
    if png is not None:
        draw(root, place, png)
    view.print({**place.content(), "png": str(png) if png else None}, lambda console: _show(place, png, console))


def _show(place: Place, png: Path | None, console: Console) -> None:
    for name, value in place.content().items():
        if value is not None:
            console.print(f"{name:<13} {value if str(value).isprintable() else repr(value)}")
    if png is not None:
        console.print(f"{'drawn':<13} {png}")
