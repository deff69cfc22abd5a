"""The files of a DataRoot that belong into a bundle, found and read without following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.bundles.names import FOLDERS, LINES, Part, member_name
from pipeline.dataroot import DataRoot
from pipeline.ingest.check_handoff import Notes
from pipeline.ingest.handoff_directory import path_text
from pipeline.stores.atomic import TEMPORARY_PREFIX

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file of a DataRoot; `path` is relative to it."""

    name: str
    part: Part
    path: str
    size: int


def find_files(root: DataRoot, faults: Notes) -> Iterator[Found]:
    """Find what belongs into a bundle but the database; what is there and is no regular file is a fault.

    The parts themselves may be links: a `media` on another disk is the user's own doing. Raises OSError.
    """
    for part in sorted(set(Part) - {Part.database}):
        place = root.path / part
        if part in FOLDERS:
            if place.is_dir():
                yield from _below(root, part, part, faults)
        elif place.is_file():
            yield Found(part, part, part, place.stat().st_size)
        elif os.path.lexists(place):
            faults.add(f"{part} is no regular file")


def left_out(root: DataRoot) -> list[str]:
    """Name what lies in a DataRoot and goes into no bundle, but for what can be made again."""
    beside = {f"{Part.database}{end}" for end in ("-wal", "-shm", "-journal")}
    known = {*Part, *beside, root.derived.name, root.index.name}
    return sorted(path_text(name) for item in root.path.iterdir() if (name := item.name) not in known)


def line_end(path: Path) -> int:
    """Where the last whole line of a file ends; 0 for a file that is not there. Raises OSError."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            while position:
                start = max(0, position - _TAIL)
                file.seek(start)
                newline = file.read(position - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                position = start
    except FileNotFoundError:
        pass
    return 0


def line_ends(root: DataRoot) -> dict[Part, int]:
    """Where the last whole line ends of each file that is appended to. Raises OSError."""
    return {part: line_end(root.path / part) for part in LINES}


@contextmanager
def open_file(root: DataRoot, path: str) -> Iterator[IO[bytes] | None]:
    """Open a file of a DataRoot; None when it is no regular file any more. Raises OSError."""
    in_folder = "/" in path
    try:
        descriptor = os.open(root.path / path, _FILE if in_folder else _FILE & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _below(root: DataRoot, part: Part, folder: str, faults: Notes) -> Iterator[Found]:
    with os.scandir(root.path / folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for item in found:
        path = f"{folder}/{item.name}"
        if folder == part and item.name.startswith(TEMPORARY_PREFIX):  # copies in progress, or left of a crash
            continue
        if item.is_dir(follow_symlinks=False):
            yield from _below(root, part, path, faults)
        elif item.is_file(follow_symlinks=False):
            yield Found(member_name(path), part, path, item.stat(follow_symlinks=False).st_size)
        else:
            faults.add(f"{path_text(path)!r} is no regular file")
