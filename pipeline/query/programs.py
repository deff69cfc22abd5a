"""What people call a program: the name of its folder or file, with its capitals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PureWindowsPath


@dataclass(frozen=True)
class Program:
    """A program as facts name it, and as people do."""

    app: str
    name: str


def known_programs(rows: Iterable[tuple[str, str]]) -> list[Program]:
    """Programs by their facts' name and file; each once."""
    found: dict[str, Program] = {}
    for app, path in rows:
        found.setdefault(app, Program(app, program_name(app, path)))
    return list(found.values())


def program_name(app: str, path: str) -> str:
    """The name with its capitals, where a folder of the path gives it; else the file's own.

    C:\\Program Files\\XTerm\\xterm.exe  →  XTerm
    /usr/bin/gedit                       →  gedit
    """
    parts = PureWindowsPath(path.replace("/", "\\")).parts
    plain = app.casefold().replace(" ", "")
    same = [part for part in parts[:-1] if part.casefold().replace(" ", "") == plain]
    if same:
        return same[-1]
    stem = parts[-1] if parts else app
    return stem[:-4] if stem.casefold().endswith(".exe") else stem
