"""`pipeline models`: which models have read what was captured, where two disagree, and which one counts."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.at_work import gate_terms
from pipeline.cli.context import DataRootOption, JsonOption, SetOption, open_session

models = typer.Typer(no_args_is_help=True)

StageOption = Annotated[
    str, typer.Option("--stage", metavar="S", help="The stage whose models are meant, by its name or kind of model.")
]
_LONGEST_TEXT = 60


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(models, name="models", help="List the models that have read frames, compare two, put one in use.")


@models.command(name="list")
def list_(
    context: typer.Context, data_root: DataRootOption = None, as_json: JsonOption = False, overrides: SetOption = None
) -> None:
    """List every model that a stage has asked: how much it has read, and how much of that is in use."""
    from pipeline.reports.models import list_models

    session = open_session(context, data_root, as_json, overrides)
    result = list_models(session.root)
    session.print(result, lambda console: _show_models(console, result))


@models.command()
def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="A model: its name, model id, or its digest's beginning.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    stage: StageOption = "ocr",
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=0, help="Show at most N frames on which they disagree.")
    ] = 20,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Show where two models disagree, on the frames that both have read: frame by frame, place by place.

    Exits with 64 when a name means no model or several, with 7 when nothing was read yet.
    """
    from pipeline.reports.models import diff_models, lines_stage

    session = open_session(context, data_root, as_json, overrides)
    result = diff_models(session.root, lines_stage(stage), a, b, frames)
    session.print(result, lambda console: _show_diff(console, result))


@models.command()
def promote(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name, model id, or its digest's beginning.")],
    stage: StageOption = "ocr",
    assume_idle: Annotated[
        bool, typer.Option("--assume-idle-when-missing", help="Build at once where there is no activity signal.")
    ] = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Have facts and questions use what a model has read, and runs ask it from now on; no model is asked here.

    What was in use is kept beside: promoting that again goes back. Exits with 2 when the model is in use already, with
    7 when it has read nothing.
    """
    from pipeline.dag import stage as find_stage
    from pipeline.gate import Gate
    from pipeline.runs.progress import choose_progress
    from pipeline.runs.promotion import promote_model

    session = open_session(context, data_root, as_json, overrides)
    settings, root = session.settings, session.root
    gate = Gate(root.activity_signal, **gate_terms(settings, assume_idle=assume_idle))
    done = promote_model(root.require(), settings, find_stage(stage), model, gate, choose_progress())
    result = {
        "promoted": done.model.name or None,
        "fingerprint": done.model.fingerprint,
        "samples": done.samples,
        "shown_to_questions": not done.waits,
        "waits_because": done.waits or None,
    }

    def show(console: Console) -> None:
        console.print(f"{done.model.label} is in use: {done.samples} frames changed hands")
        if done.waits:
            console.print(f"questions see it after the next run ({done.waits})\n  → pipeline run --until-done")

    session.print(result, show)


def _show_models(console: Console, result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "name", "model", "digest", "read", "in use", "failed", "parked", "from", "to"):
        table.add_column(title, overflow="fold")
    for row in result["models"]:
        cells = (row["model_id"], (row["model_digest"] or "")[:12], *(row[key] for key in _COUNTS))
        name = row["name"] or ""
        asked = " (asked)" if name and name == result["asked"][row["stage"]] else ""
        table.add_row(row["stage"], name + asked, *("" if cell is None else str(cell) for cell in cells))
    console.print(table)


_COUNTS = ("done", "in_use", "failed", "parked", "first_utc", "last_utc")


def _show_diff(console: Console, result: dict[str, Any]) -> None:
    a, b, places = result["a"], result["b"], result["places"]
    console.print(f"a: {a['name'] or a['model_id']} ({a['model_digest'][:12]})")
    console.print(f"b: {b['name'] or b['model_id']} ({b['model_digest'][:12]})")
    console.print(
        f"{result['frames']} frames read by both, {result['frames_the_same']} of them the same;"
        f" {result['frames_only_a']} read by a only, {result['frames_only_b']} by b only"
    )
    console.print(", ".join(f"{kind} {number}" for kind, number in places.items()))
    for frame in result["disagreements"]:
        console.print(f"\n{frame['ts_utc']}  {frame['frame_id']}")
        for place in frame["places"]:
            console.print(f"  {place['kind']:<7} {list(place['box'])}")
            for side in ("a", "b"):
                if place[f"text_{side}"]:
                    console.print(f"    {side}: {_short(place[f'text_{side}'])}")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
