"""The console script `pipeline`: its commands, and the one switch from an error to an exit code."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Annotated

import orjson
import typer
from typer.exceptions import Abort, TyperException

from pipeline import __version__
from pipeline.cli.context import DataRootOption, Invocation, JsonOption, SetOption
from pipeline.cli.logs import is_json, say, set_up_logs
from pipeline.errors import Blocked, ExitCode, NothingToDo, PipelineError, Terminated, disk_refused
from pipeline.network_guard import guard_network

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


_MODULES = {
    "ingest": "ingest", "run": "run", "query": "query", "cite": "cite", "sql": "sql", "landscape": "landscape",
    "status": "reports", "doctor": "reports", "settings": "reports", "plan": "plan", "runs": "history",
    "failures": "history", "contract": "contract", "verify": "verify",
    "bundle": "bundle", "models": "models", "prompts": "prompts", "workers": "workers", "worker": "worker",
}  # fmt: skip
"""The module under `pipeline.cli` that registers each command, in the order in which --help lists them."""
_registered: set[str] = set()


def register(words: Iterable[str] = ()) -> typer.Typer:
    """Register the commands that are among `words`, all where none is: only what is asked for is imported."""
    wanted = [module for name, module in _MODULES.items() if name in words] or list(_MODULES.values())
    for module in dict.fromkeys(wanted):
        if module not in _registered:
            _registered.add(module)
            import_module(f"pipeline.cli.{module}").add(app)
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    os.umask(0o077)
    set_up_logs()
    guard_network()
    # Plugins of pydantic's, which any installed package may bring, would be shown what the screen said.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    code = run(sys.argv[1:])
    gc.freeze()  # the process ends: looking for garbage among all that is still there takes a fifth of a second
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. An unexpected error is left to Python, which exits with 1."""
    try:
        result = register(arguments)(args=arguments, prog_name="pipeline", standalone_mode=False)
    except TyperException as error:
        message = error.format_message()
        is_help = message.startswith("Usage:")  # no arguments at all
        say(message if is_help else f"error: {message}\n  → see: pipeline --help", logging.ERROR)
        return ExitCode.USAGE
    except PipelineError as error:
        _report(error, as_json="--json" in arguments)
        return error.exit_code
    except OSError as error:
        refused = disk_refused(error)
        if refused is None:
            raise
        _report(refused, as_json="--json" in arguments)
        return refused.exit_code
    except (Abort, KeyboardInterrupt):
        say("interrupted")
        return 130
    except Terminated as ended:
        return 128 + ended.signal
    return int(result) if isinstance(result, int) else ExitCode.OK


def _report(error: PipelineError, *, as_json: bool) -> None:
    """Say what went wrong: a line and its remedy on stderr, and for programs the one JSON object on stdout."""
    prefix = "" if isinstance(error, NothingToDo) else "error: "
    done = dict(error.done) if isinstance(error, Blocked) else {}
    if is_json():
        fields = {"exit_code": int(error.exit_code), "remedy": error.remedy, **({"done": done} if done else {})}
        say(error.message, logging.ERROR if prefix else logging.INFO, **fields)
    else:
        say(f"{prefix}{error}")
        if done:
            say(f"  done before: {', '.join(f'{stage} {_counts(done[stage])}' for stage in sorted(done))}")
    if as_json:
        content = {"ok": False, "exit_code": int(error.exit_code), "error": error.message, "remedy": error.remedy}
        content |= {"done": done} if done else {}
        sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")


def _counts(counts: Mapping[str, int]) -> str:
    return " and ".join(f"{number} {status}" for status, number in sorted(counts.items()))
