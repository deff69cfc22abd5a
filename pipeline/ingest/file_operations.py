"""What is done to many files of one handoff: hashed and synced, linked, marked, surveyed. The same in any process.

Each takes the open handoff dir, or its path, and plain values, and says nothing but plain values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from pipeline.ingest.inside import Inside, hash_descriptor, link_file, require_finished, require_same
from pipeline.ingest.look import Entry, StillBeingWritten, quick_digest, take_look
from pipeline.ingest.marker_file import marker_bytes, write_marker

SYNCS_AT_ONCE = 16
"""Files that are synced side by side: a disk's flush costs the same for one as for all that wait for it."""

_FREE: AbstractContextManager[None] = nullcontext()
Turn = Callable[[], AbstractContextManager[None]]
"""Held for one file at a time, where somebody decides how fast it may go."""


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


def hash_files(
    root: int, entries: Iterable[Entry], sync: bool, turn: Turn = lambda: _FREE, syncs: Executor | None = None
) -> list[str]:
    """Hash files, and make them durable where asked, all at once where there are `syncs`.

    Raises StillBeingWritten, OSError.
    """
    hashes: list[str] = []
    opened: list[tuple[int, Entry]] = []
    inside = Inside(root)
    try:
        for entry in entries:
            with turn():
                descriptor = inside.open(entry.path)
                opened.append((descriptor, entry))
                require_finished(descriptor, entry)
                hashes.append(hash_descriptor(descriptor))
        if sync:
            # A producer need not have synced what it wrote, and once linked it is our evidence. What is synced here
            # is what is linked later: `require_same` looks at both moments.
            _sync_all([descriptor for descriptor, _ in opened], syncs)
        for descriptor, entry in opened:
            require_same(descriptor, entry)
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)
        inside.close()
    return hashes


def _sync_all(descriptors: list[int], syncs: Executor | None) -> None:
    """Sync open files, one after the other or side by side: the disk takes many that wait for it in one go."""
    if syncs is None:
        _sync(descriptors)
        return
    parts = min(SYNCS_AT_ONCE, -(-len(descriptors) // 2))  # to hand over one alone costs as much as to sync it
    shares = [descriptors[start::parts] for start in range(parts)]
    syncing = [syncs.submit(_sync, share) for share in shares]
    wait(syncing)  # whoever closes a file is not to close it under another's sync
    for one in syncing:
        one.result()


def _sync(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)


def link_files(root: int, links: Sequence[Link], turn: Turn = lambda: _FREE) -> list[int]:
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
