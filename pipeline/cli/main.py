"""The console script `pipeline`: its commands, and the one switch from an error to an exit code."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from pipeline import __version__
from pipeline.cli import ingest
from pipeline.cli.context import DataRootOption, Invocation, JsonOption, SetOption
from pipeline.errors import ExitCode, PipelineError

app = typer.Typer(
    name="pipeline",
    help="Your own screen memory: ingest what was captured, read it while you are away, query it with proof.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"pipeline {__version__}\n")
        raise typer.Exit


@app.callback()
def _invocation(
    context: typer.Context,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version  # its callback has printed it
    context.obj = Invocation(data_root, as_json, list(overrides or []))


ingest.add(app)


def main() -> None:
    """Run the command line and exit with its code."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. An unexpected error is left to Python, which exits with 1."""
    try:
        result = app(args=arguments, prog_name="pipeline", standalone_mode=False)
    except TyperException as error:
        sys.stderr.write(f"error: {error.format_message()}\n  → see: pipeline --help\n")
        return ExitCode.USAGE
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return 130
    return int(result) if isinstance(result, int) else ExitCode.OK
