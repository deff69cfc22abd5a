"""Files that are there whole or not at all, and stay after a power cut."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
"""Names that begin so are never finished files; readers and globs pass over them."""


def fsync_directory(directory: Path) -> None:
    """Make the entries of a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(directory: Path) -> None:
    """Create a directory and its parents, each entry durable in its parent. Raises OSError."""
    missing = []
    current = directory
    while not current.exists():
        missing.append(current)
        current = current.parent
    for item in reversed(missing):
        item.mkdir(exist_ok=True)
        fsync_directory(item.parent)


def temporary_beside(target: Path) -> Path:
    """Name a file for work in progress in the directory of its target; it exists, empty, mode 600."""
    descriptor, name = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{target.name}-", dir=target.parent)
    os.close(descriptor)
    return Path(name)


def publish(temporary: Path, target: Path) -> None:
    """Make a written temporary file durable and give it its name, replacing what was there. Raises OSError."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(target)
    fsync_directory(target.parent)


def replace_file(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then publish it as `target`; on any error nothing changed.

    The directory of `target` must exist. Raises OSError, and what `write` raises.
    """
    temporary = temporary_beside(target)
    try:
        write(temporary)
        publish(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_bytes(target: Path, data: bytes) -> None:
    """Publish bytes as a file, atomically and durably. Raises OSError."""
    replace_file(target, lambda temporary: _write(temporary, data))


def remove_leftovers(directory: Path) -> int:
    """Delete temporary files that a crash left in a directory; tells how many. For the holder of the lock only."""
    leftovers = list(directory.glob(f"{TEMPORARY_PREFIX}*"))
    for item in leftovers:
        item.unlink(missing_ok=True)
    return len(leftovers)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class DirectorySync:
    """Makes directories durable in one go: `make` and `entered` note what changed, `flush` syncs each once.

    A directory seen for the first time brings the chain above it, up to `top`: an earlier process may have made it
    and died before its entry was durable.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self._seen: set[Path] = set()
        self._pending: set[Path] = set()

    def make(self, directory: Path) -> None:
        """Create a directory below `top` with its parents. Raises OSError."""
        if directory not in self._seen:
            directory.mkdir(parents=True, exist_ok=True)
            self._note_chain(directory)

    def entered(self, directory: Path) -> None:
        """Note that a directory gained an entry."""
        self._note_chain(directory)
        self._pending.add(directory)

    def flush(self) -> None:
        """Make all noted directories durable. Raises OSError; then nothing that was noted can be relied on."""
        pending, self._pending = self._pending, set()
        try:
            for directory in sorted(pending, key=str, reverse=True):
                fsync_directory(directory)
        except OSError:
            self._seen.clear()
            raise

    def _note_chain(self, directory: Path) -> None:
        while directory not in self._seen:
            self._seen.add(directory)
            self._pending.add(directory)
            if directory == self.top:
                return
            directory = directory.parent
