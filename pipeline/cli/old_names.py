"""The console scripts `autocapture` and `autocapture-prime`: old names of commands, handed on to `pipeline`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cli.main import main as pipeline_main
from pipeline.errors import ExitCode

COMMANDS = {
    ("handoff", "ingest"): ("ingest",),
    ("handoff", "drain"): ("ingest",),
    ("chronicle", "ingest"): ("ingest",),
    ("batch", "run"): ("run", "--until-done"),
    ("process", "once"): ("run", "--once"),
    ("query",): ("query",),
}
"""What each old command is called now."""

_DATA_ROOT = "--data-dir"
_PATHS = ("--handoff-root", "--spool-root")


class UnknownName(Exception):
    """The words are no old command, or an old option lacks its value."""


def main() -> None:
    """Say on stderr what the command is called now, run that, and exit with its code."""
    name, given = Path(sys.argv[0]).name, sys.argv[1:]
    try:
        arguments = translate(given)
    except UnknownName as error:
        names = "\n".join(
            f"  {name} {' '.join(words):<16} now: pipeline {' '.join(COMMANDS[words])}" for words in COMMANDS
        )
        sys.stderr.write(f"{error}; the old commands are:\n{names}\n  → see: pipeline --help\n")
        sys.exit(ExitCode.OK if "--help" in given else ExitCode.USAGE)
    old = next(words for words in COMMANDS if tuple(given[: len(words)]) == words)
    sys.stderr.write(f"deprecated: {name} {_words(old)} is now: pipeline {_words(COMMANDS[old])}\n")
    sys.argv = ["pipeline", *arguments]
    pipeline_main()


def translate(given: Sequence[str]) -> list[str]:
    """Arguments of an old command as `pipeline` takes them; what is not an old name stays. Raises UnknownName."""
    for words, command in COMMANDS.items():
        if tuple(given[: len(words)]) == words:
            return [*command, *_options(given[len(words) :])]
    raise UnknownName("no old command" if given else "no command was given")


def _options(given: Sequence[str]) -> Iterator[str]:
    rest = iter(given)
    for word in rest:
        option, equals, value = word.partition("=")
        if option not in (_DATA_ROOT, *_PATHS):
            yield word
            continue
        found = value if equals else next(rest, None)
        if not found:
            raise UnknownName(f"{option} lacks its value")
        if option == _DATA_ROOT:
            yield "--data-root"
        yield found


def _words(command: tuple[str, ...]) -> str:
    return " ".join(command)
