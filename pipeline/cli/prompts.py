"""`pipeline prompts`: which prompts there are, how they differ, and how good one is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.at_work import gate_terms
from pipeline.cli.context import DataRootOption, JsonOption, SetOption, open_session

prompts = typer.Typer(no_args_is_help=True)

_PROMPT = "A prompt: NAME/VERSION, the beginning of its hash, or a file that ends in .toml."


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(prompts, name="prompts", help="List the prompts, compare two, try one on frames that are known.")


@prompts.command(name="list")
def list_(
    context: typer.Context, data_root: DataRootOption = None, as_json: JsonOption = False, overrides: SetOption = None
) -> None:
    """List every prompt with its hash and the records made with it; also prompts that only records hold."""
    from pipeline.reports.prompts import known_prompts

    session = open_session(context, data_root, as_json, overrides)
    rows = [
        {
            "name": item.name or None,
            "version": item.version or None,
            "prompt_hash": item.sha256,
            "records": item.records,
        }
        for item in known_prompts(session.root.require())
    ]

    def show(console: Console) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("prompt", "hash", "records"):
            table.add_column(title, overflow="fold")
        for row in rows:
            label = f"{row['name']}/{row['version']}" if row["name"] else "(only in records)"
            table.add_row(label, str(row["prompt_hash"])[:16], str(row["records"]))
        console.print(table)

    session.print({"prompts": rows}, show)


@prompts.command()
def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_PROMPT)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Show how two prompts differ: wording, decoder parameters and the schema of the reply, line by line."""
    from pipeline.reports.prompts import diff_prompts

    session = open_session(context, data_root, as_json, overrides)
    result = diff_prompts(session.root.require(), a, b)
    session.print(result, lambda console: console.print("\n".join(result["diff"]) or "the same prompt"))


@prompts.command(name="eval")
def eval_(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="NAME/VERSION, or a file that ends in .toml.")],
    truth: Annotated[
        Path, typer.Option("--truth", metavar="FILE", help="What is on some frames: a JSON object a line.")
    ],
    again: Annotated[bool, typer.Option("--again", help="Ask again what was answered before.")] = False,
    assume_idle: Annotated[
        bool, typer.Option("--assume-idle-when-missing", help="Work without an activity signal.")
    ] = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Have the VLM describe frames whose content is known, and say how much of it is right.

    What it says is kept in derived/evaluations: the same prompt, model and truth are not asked for again and
    give the same figures. Exits with 3 when the user is active, with 5 when there is no VLM.
    """
    from pipeline.gate import Gate
    from pipeline.runs.evaluate_prompt import evaluate_prompt, read_truth
    from pipeline.runs.models import prompted_vlm
    from pipeline.runs.progress import choose_progress
    from pipeline.runs.work import require_idle

    session = open_session(context, data_root, as_json, overrides)
    settings, root = session.settings, session.root.require_writable()
    chosen, screens = _prompt(prompt), read_truth(truth)
    gate = Gate(root.activity_signal, **gate_terms(settings, assume_idle=assume_idle))
    require_idle(gate)
    model = prompted_vlm(root, settings, gate, chosen)
    progress = choose_progress()
    with progress:
        progress.start(f"{chosen.name}/{chosen.version}", len(screens))
        result = evaluate_prompt(
            root, chosen, screens, model.identity, model.describe, again=again, answered=lambda: progress.advance(1)
        )
    told = {key: value for key, value in result.items() if key != "replies"}
    session.print(told, lambda console: _show(console, told))


def _prompt(wanted: str) -> Any:
    """Raises UsageError."""
    from pipeline.errors import UsageError
    from pipeline.prompts import load_prompt
    from pipeline.reports.prompts import load_candidate

    if Path(wanted).suffix == ".toml":
        return load_candidate(Path(wanted))
    name, slash, version = wanted.partition("/")
    if not slash:
        raise UsageError(f"{wanted!r} names no prompt", remedy="name it as NAME/VERSION; see: pipeline prompts list")
    return load_prompt(name, version)


def _show(console: Console, result: dict[str, Any]) -> None:
    scores = result["scores"]
    console.print(f"{result['prompt']['name']}/{result['prompt']['version']} by {result['model']['model_id']}")
    console.print(f"frames answered: {scores['answered']} of {scores['frames']}")
    for code, number in result["failures"].items():
        console.print(f"failed: {number} {code}")
    for name in ("recall", "precision", "label", "kind"):
        console.print(f"{name:<10} {scores[f'{name}_permille'] / 10:.1f} %")
    console.print(f"kept as derived/evaluations/{result['evaluation']}.json")
