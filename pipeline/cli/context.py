"""What every command shares: where the DataRoot is, the settings given as flags, and how to print."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from pipeline.dataroot import DataRoot
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.settings import Settings

DATA_ROOT_VARIABLES = ["PIPELINE_DATA_ROOT", "AP_DATA_ROOT"]

DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="PATH", help="The DataRoot. [env: PIPELINE_DATA_ROOT, AP_DATA_ROOT]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a setting (see: pipeline settings). May be repeated."),
]


@dataclass
class Invocation:
    """What was given before the command's name; a command's own flags win over it."""

    data_root: Path | None = None
    as_json: bool = False
    overrides: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """A command at work that only reads and that no setting concerns."""

    root: DataRoot
    as_json: bool

    def print(self, result: dict[str, Any], show: Callable[[Console], None]) -> None:
        """Print a result: as one JSON object, or for people by `show`."""
        print_result(result, show, as_json=self.as_json)


@dataclass(frozen=True)
class Session(View):
    """One command at work."""

    settings: Settings
    flags: dict[str, str]


def print_result(result: dict[str, Any], show: Callable[[Console], None], *, as_json: bool) -> None:
    """Print a result: as one JSON object, or for people by `show`."""
    if as_json:
        print_json(result)
    else:
        from rich.console import Console  # late: programs, which read JSON, do without

        show(Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty()))


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one JSON object."""
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def open_view(context: typer.Context, data_root: Path | None, as_json: bool) -> View:
    """Settle where the DataRoot is, without loading the settings. Raises UsageError when none was named."""
    invocation: Invocation = context.obj
    path = data_root or invocation.data_root or _from_environment()
    if path is None:
        raise UsageError("no DataRoot was named", remedy="give --data-root PATH, or set PIPELINE_DATA_ROOT")
    return View(DataRoot(path), as_json or invocation.as_json)


def open_session(
    context: typer.Context, data_root: Path | None, as_json: bool, overrides: list[str] | None = None
) -> Session:
    """Settle where the DataRoot is and what is set. Raises UsageError when no DataRoot was named."""
    from pipeline.settings import load_settings

    view = open_view(context, data_root, as_json)
    flags = dict(_split(item) for item in [*context.obj.overrides, *(overrides or [])])
    return Session(view.root, view.as_json, load_settings(view.root.settings_file, flags), flags)


def _from_environment() -> Path | None:
    return next((Path(os.environ[name]) for name in DATA_ROOT_VARIABLES if os.environ.get(name)), None)


def _split(item: str) -> tuple[str, str]:
    from pipeline.settings import Settings

    name, equals, value = item.partition("=")
    if not equals or name not in Settings.model_fields:
        raise UsageError(f"--set {item!r} names no setting", remedy="see: pipeline settings")
    return name, value
