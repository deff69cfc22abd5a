"""`pipeline contract`: by which contract we read and write."""

from __future__ import annotations

import typer
from rich.console import Console

from pipeline import __version__
from pipeline.cli.context import Invocation, JsonOption, print_result


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="contract")(contract)


def contract(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the version and the schema hash of the contract with producers, and what is read and written by it."""
    from schemas.contract import READS, WRITES
    from schemas.contract_version import CONTRACT_VERSION, SCHEMA_HASH

    invocation: Invocation = context.obj
    sides = {
        "reads": {name: model.__name__ for name, model in READS.items()},
        "writes": {name: model.__name__ for name, model in WRITES.items()},
    }
    result = {
        "contract_version": CONTRACT_VERSION,
        "schema_hash": SCHEMA_HASH,
        "pipeline_version": __version__,
        **sides,
    }

    def show(console: Console) -> None:
        console.print(f"contract version  {CONTRACT_VERSION}")
        console.print(f"schema hash       {SCHEMA_HASH}")
        for side, models in sides.items():
            console.print(f"{side}:")
            for name, model in models.items():
                console.print(f"  {name:<34} schemas/generated/{model}.schema.json")

    print_result(result, show, as_json=as_json or invocation.as_json)
