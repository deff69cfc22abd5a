"""What is done to files of one handoff beside hashing them: linked, marked, surveyed. The same in any process.

Each takes the open handoff dir, or its path, and plain values, and says nothing but plain values.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.ingest.hash_files import FREE, Turn
from pipeline.ingest.inside import Inside, link_file
from pipeline.ingest.look import Entry, StillBeingWritten, quick_digest, take_look
from pipeline.ingest.marker_file import marker_bytes, write_marker


class Link(NamedTuple):
    """A file, the path outside that it is to be linked to, and whether it must be synced first."""

    entry: Entry
    target: str
    sync: bool


class Surveyed(NamedTuple):
    """A handoff dir that holds a marker, as far as a marked one needs to be known."""

    inode: int
    device: int
    marker: bytes
    stat_sha256: str


def link_files(root: int, links: Sequence[Link], turn: Turn = lambda: FREE) -> list[int]:
    """Link files, the very inodes that were hashed; returns the positions of those that cannot be linked.

    A path where something lies already is passed over, and named too. Raises StillBeingWritten, OSError.
    """
    unlinked = []
    inside = Inside(root)
    try:
        for position, link in enumerate(links):
            with turn():
                if not link_file(inside.open(link.entry.path), link.entry, link.target, sync=link.sync):
                    unlinked.append(position)
    finally:
        inside.close()
    return unlinked


def mark_unchanged(root: int, path: Path, stat_sha256: str, marker: bytes) -> None:
    """Write the marker, if the handoff dir is still as it was looked at `[handoff-11]`.

    Raises StillBeingWritten, ContractInvalid, OSError.
    """
    look = take_look(root, 0.0)
    if look.stat_sha256 != stat_sha256:
        raise StillBeingWritten("it changed while it was ingested")
    write_marker(path, marker, look.leftovers)


def survey(path: str) -> Surveyed | None:
    """Look at a handoff dir that holds a marker; None for one that must be looked at more closely."""
    marker = marker_bytes(path)
    if marker is None:
        return None
    try:
        status = os.lstat(path)
        digest = quick_digest(path)
    except OSError:
        return None
    return None if digest is None else Surveyed(status.st_ino, status.st_dev, marker, digest)
