"""A handoff dir on disk: what lies in it, seen without following a link or changing anything `[handoff-11]`."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataroot import REAP_MARKER
from pipeline.errors import ContractInvalid
from pipeline.stores.atomic import TEMPORARY_PREFIX
from schemas.canonical import canonical_sha256

DATABASE = "metadata.db"
WAL = "metadata.db-wal"
_PASSED_OVER = {REAP_MARKER, WAL, "metadata.db-shm"}
_MARKER_TEMPORARY = f"{TEMPORARY_PREFIX}{REAP_MARKER}-"
_MAX_DEPTH = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
_READ_BYTES = 1 << 20


class StillBeingWritten(Exception):
    """The handoff changed under our eyes: it is left for the next run. Says what changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file in the handoff; `path` is relative, with `/`."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True)
class Look:
    """What the handoff dir held at one moment."""

    files: dict[str, Entry]
    """Every regular file by path, but the marker and SQLite's `-wal` and `-shm`."""
    wal: Entry | None
    """The write-ahead log beside the database, when it holds anything."""
    newest_ns: int
    """The latest modification or change of anything, in ns since 1970."""
    seen_at: float
    stat_sha256: str
    """Digest over path, size, mtime and inode of all files, and the paths of all directories."""


def path_text(path: str | Path) -> str:
    """Write a path as text that JSON can hold: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(path).decode(errors="backslashreplace")


class HandoffDirectory:
    """An open handoff dir. Use as a context manager; what it opens stays inside it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when it cannot be opened as a directory."""
        self.path = path
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent = ("", os.dup(self._root))

    def __enter__(self) -> HandoffDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._parent[1])
        os.close(self._root)

    def look(self, monotonic: Callable[[], float] = time.monotonic) -> Look:
        """List what is there. Raises ContractInvalid for a link or device, StillBeingWritten, OSError."""
        scan = _Scan()
        descriptor = os.open(".", _DIRECTORY, dir_fd=self._root)
        try:
            scan.walk(descriptor, "", 0)
        except FileNotFoundError as error:
            raise StillBeingWritten("a file went away while the handoff was listed") from error
        wal = scan.wal if scan.wal is not None and scan.wal.size else None
        rows: list[list[str | int]] = [[f"{path_text(path)}/", 0, 0, 0] for path in scan.directories]
        known = [*scan.files.values(), *([wal] if wal else [])]
        rows += [[path_text(file.path), file.size, file.mtime_ns, file.inode] for file in known]
        return Look(scan.files, wal, scan.newest_ns, monotonic(), canonical_sha256(sorted(rows)))

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[int]:
        """Open a file that a look found, and prove before and after that it is the same, unchanged.

        Raises StillBeingWritten, OSError.
        """
        try:
            descriptor = self._open_inside(entry.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StillBeingWritten(f"{path_text(entry.path)} went away") from error
        try:
            self._require_same(descriptor, entry)
            yield descriptor
            self._require_same(descriptor, entry)
        finally:
            os.close(descriptor)

    def hash_file(self, entry: Entry) -> str:
        """Hash a file. Raises StillBeingWritten, OSError."""
        with self.opened(entry) as descriptor:
            return hash_descriptor(descriptor)

    def copy_file(self, entry: Entry, target: int) -> str:
        """Copy a file into an open descriptor; returns its hash. Raises StillBeingWritten, OSError."""
        digest = hashlib.sha256()
        with self.opened(entry) as descriptor:
            while block := os.read(descriptor, _READ_BYTES):
                digest.update(block)
                _write_all(target, block)
        return digest.hexdigest()

    def _open_inside(self, relative: str) -> int:
        """Open a file below the root, component by component, following no link anywhere."""
        parent, _, name = relative.rpartition("/")
        if self._parent[0] != parent:
            descriptor = os.dup(self._root)
            for part in parent.split("/") if parent else ():
                descriptor = _open_and_close(part, descriptor)
            os.close(self._parent[1])
            self._parent = (parent, descriptor)
        return os.open(name, _FILE, dir_fd=self._parent[1])

    def _require_same(self, descriptor: int, entry: Entry) -> None:
        found = os.fstat(descriptor)
        now = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
        if not stat.S_ISREG(found.st_mode) or now != (entry.size, entry.mtime_ns, entry.inode, entry.device):
            raise StillBeingWritten(f"{path_text(entry.path)} changed while it was read")


def hash_descriptor(descriptor: int) -> str:
    """Hash what an open file holds from its present position on."""
    digest = hashlib.sha256()
    while block := os.read(descriptor, _READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def marker_leftovers(handoff: Path) -> list[Path]:
    """Temporary files of a marker that a crash kept from being published."""
    return sorted(handoff.glob(f"{_MARKER_TEMPORARY}*"))


class _Scan:
    """One walk over a handoff dir."""

    def __init__(self) -> None:
        self.files: dict[str, Entry] = {}
        self.directories: list[str] = []
        self.wal: Entry | None = None
        self.newest_ns = 0

    def walk(self, descriptor: int, prefix: str, depth: int) -> None:
        """List an open directory and all below it; closes the descriptor."""
        try:
            if depth > _MAX_DEPTH:
                raise ContractInvalid(
                    f"directories are nested deeper than {_MAX_DEPTH}: {path_text(prefix)}",
                    remedy="flatten the handoff dir; it was left as it is",
                )
            with os.scandir(descriptor) as entries:
                for item in sorted(entries, key=lambda entry: entry.name):
                    self._add(descriptor, prefix, item, depth)
        finally:
            os.close(descriptor)

    def _add(self, descriptor: int, prefix: str, item: os.DirEntry[str], depth: int) -> None:
        path = prefix + item.name
        found = item.stat(follow_symlinks=False)
        ours = not prefix and (item.name == REAP_MARKER or item.name.startswith(_MARKER_TEMPORARY))
        if not ours:
            self.newest_ns = max(self.newest_ns, found.st_mtime_ns, found.st_ctime_ns)
        if stat.S_ISDIR(found.st_mode) and not ours:
            self.directories.append(path)
            self.walk(os.open(item.name, _DIRECTORY, dir_fd=descriptor), f"{path}/", depth + 1)
            return
        if not stat.S_ISREG(found.st_mode):
            raise _not_a_file(path, found.st_mode)
        entry = Entry(path, found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
        if path == WAL:
            self.wal = entry
        elif not ours and path not in _PASSED_OVER:
            self.files[path] = entry


def _not_a_file(path: str, mode: int) -> ContractInvalid:
    kind = _KINDS.get(stat.S_IFMT(mode), "a directory" if stat.S_ISDIR(mode) else "a device")
    return ContractInvalid(
        f"{path_text(path)!r} is {kind}; a handoff holds regular files and directories only",
        remedy="remove it, or have the producer hand the dir off again; it was left as it is",
    )


def _open_and_close(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
