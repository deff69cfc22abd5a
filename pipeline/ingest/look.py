"""What lies in a handoff dir at one moment, seen without following a link or changing anything `[handoff-11]`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from pipeline.dataroot import REAP_MARKER
from pipeline.errors import ContractInvalid
from pipeline.stores.atomic import TEMPORARY_PREFIX
from schemas.canonical import canonical_sha256, sha256_hex

DATABASE = "metadata.db"
WAL = "metadata.db-wal"
_PASSED_OVER = {REAP_MARKER, WAL, "metadata.db-shm"}
_MARKER_TEMPORARY = f"{TEMPORARY_PREFIX}{REAP_MARKER}-"
_MAX_DEPTH = 64
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Row = tuple[str, int, int, int]
"""Path, size, time and inode of a file; a directory's path ends in `/`, and the rest is 0."""
_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


class StillBeingWritten(Exception):
    """The handoff changed under our eyes: it is left for the next run. Says what changed."""


class Entry(NamedTuple):
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
    leftovers: tuple[str, ...] = ()
    """Names of a marker's temporary files that a crash kept from being published."""


def is_there(path: str | Path) -> bool:
    """Tell whether a path names anything, be it a link that leads nowhere. Raises OSError where that cannot be seen."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def path_text(path: str | Path) -> str:
    """Write a path as text that JSON can hold: bytes that are not UTF-8 become `\\xNN`."""
    if type(path) is str and path.isascii():
        return path
    return os.fsencode(path).decode(errors="backslashreplace")


def take_look(root: int, seen_at: float) -> Look:
    """List what is in an open directory. Raises ContractInvalid for a link or device, StillBeingWritten, OSError."""
    scan = _Scan()
    descriptor = os.open(".", DIRECTORY, dir_fd=root)
    try:
        scan.walk(descriptor, "", 0)
    except FileNotFoundError as error:
        raise StillBeingWritten("a file went away while the handoff was listed") from error
    wal = scan.wal if scan.wal is not None and scan.wal.size else None
    rows: list[_Row] = [(f"{path}/", 0, 0, 0) for path in scan.directories]
    known = [*scan.files.values(), *([wal] if wal else [])]
    rows += [(path, size, mtime_ns, inode) for path, size, mtime_ns, inode, _ in known]
    return Look(scan.files, wal, scan.newest_ns, seen_at, _digest_of(rows), tuple(sorted(scan.leftovers)))


def quick_digest(handoff: str) -> str | None:
    """The `stat_sha256` of a look at a handoff dir; None where something lies there that only `take_look` judges.

    Goes by paths: a link that is put in a directory's place meanwhile is followed, to names whose inodes tell. For a
    handoff that is marked, and compared with what it was; it takes half the time. Raises OSError.
    """
    rows: list[_Row] = []
    folders = [(handoff, "", 0)]
    while folders:
        folder, prefix, depth = folders.pop()
        with os.scandir(folder) as entries:
            for item in entries:
                path = prefix + item.name
                if item.is_dir(follow_symlinks=False):
                    if depth == _MAX_DEPTH:
                        return None
                    path += "/"
                    rows.append((path, 0, 0, 0))
                    folders.append((item.path, path, depth + 1))
                elif not item.is_file(follow_symlinks=False) or path.startswith(_MARKER_TEMPORARY):
                    return None
                elif path not in _PASSED_OVER:
                    found = item.stat(follow_symlinks=False)
                    rows.append((path, found.st_size, found.st_mtime_ns, found.st_ino))
                elif path == WAL and item.stat(follow_symlinks=False).st_size:
                    return None
    return _digest_of(rows)


def _digest_of(rows: list[_Row]) -> str:
    """Hash the canonical JSON of rows, by path."""
    rows.sort()
    try:
        plain = orjson.dumps(rows)
    except orjson.JSONEncodeError:  # a name that is not UTF-8
        plain = None
    # Without letters beyond ASCII this is canonical JSON already; the long way costs as much as all the rest.
    if plain is not None and plain.isascii():
        return sha256_hex(plain)
    return canonical_sha256(sorted([path_text(path), *status] for path, *status in rows))


class _Scan:
    """One walk over a handoff dir."""

    def __init__(self) -> None:
        self.files: dict[str, Entry] = {}
        self.directories: list[str] = []
        self.leftovers: list[str] = []
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
                found = [(item.name, item.stat(follow_symlinks=False)) for item in entries]
            found.sort()
            for name, status in found:
                if prefix and stat.S_ISREG(status.st_mode):
                    self._add_file(prefix + name, status)
                elif prefix or not self._is_ours(name, status):
                    self._add(descriptor, prefix + name, name, status, depth)
        finally:
            os.close(descriptor)

    def _is_ours(self, name: str, status: os.stat_result) -> bool:
        """Tell whether it is a marker, or one that was never published: it does not count as a change."""
        is_leftover = name.startswith(_MARKER_TEMPORARY)
        if name != REAP_MARKER and not is_leftover:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(name, status.st_mode)
        if is_leftover:
            self.leftovers.append(name)
        return True

    def _add_file(self, path: str, status: os.stat_result) -> None:
        """Note a file that lies in a directory of the handoff dir: nearly everything does."""
        mtime_ns, changed_ns = status.st_mtime_ns, status.st_ctime_ns
        newest_ns = changed_ns if changed_ns > mtime_ns else mtime_ns
        if newest_ns > self.newest_ns:
            self.newest_ns = newest_ns
        self.files[path] = Entry(path, status.st_size, mtime_ns, status.st_ino, status.st_dev)

    def _add(self, descriptor: int, path: str, name: str, status: os.stat_result, depth: int) -> None:
        self.newest_ns = max(self.newest_ns, status.st_mtime_ns, status.st_ctime_ns)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            if path not in _PASSED_OVER:
                self._add_file(path, status)
            elif path == WAL:
                self.wal = Entry(path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
        elif kind == stat.S_IFDIR:
            self.directories.append(path)
            self.walk(os.open(name, DIRECTORY, dir_fd=descriptor), f"{path}/", depth + 1)
        else:
            raise _not_a_file(path, status.st_mode)


def _not_a_file(path: str, mode: int) -> ContractInvalid:
    kind = _KINDS.get(stat.S_IFMT(mode), "a directory" if stat.S_ISDIR(mode) else "a device")
    return ContractInvalid(
        f"{path_text(path)!r} is {kind}; a handoff holds regular files and directories only",
        remedy="remove it, or have the producer hand the dir off again; it was left as it is",
    )
