"""A private copy of a metadata.db that somebody may be writing: consistent, and the DataRoot is not touched."""

from __future__ import annotations

import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path

ATTEMPTS = 5
_PAUSE_S = 0.3
_WAL_HEADER_BYTES = 32
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class CannotCopy(Exception):
    """Why there is no copy: `code` is that of a finding."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class _State:
    """What a copy stands on; equal before and after, nothing that was copied had changed.

    A WAL may grow meanwhile: what was added is not copied, or its torn end is passed over. It may not begin anew.
    """

    database: tuple[int, int, int]
    journal: tuple[int, int, int] | None
    wal: tuple[int, bytes] | None


def copy_database(database: Path, folder: Path) -> Path:
    """Copy a database with its WAL and rollback journal into a private folder, which must be empty.

    No lock is taken, so that a producer is never kept waiting; the copy is made again when the producer wrote to the
    database itself meanwhile. Raises CannotCopy, OSError.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S)
        before = _state(database)
        for ending in ("", "-wal", "-journal"):
            _copy(_beside(database, ending), folder / f"copy.db{ending}")
        if _state(database) == before:
            return folder / "copy.db"
    raise CannotCopy("database_busy")


def _state(database: Path) -> _State:
    found = _stat(database)
    if found is None:
        raise CannotCopy("metadata_missing")
    journal = _beside(database, "-journal")
    _refuse_super_journal(journal)
    return _State(found, _stat(journal), _wal(_beside(database, "-wal")))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise CannotCopy("layout_not_a_file")
    return found.st_size, found.st_mtime_ns, found.st_ino


def _wal(path: Path) -> tuple[int, bytes] | None:
    found = _stat(path)
    if found is None or not found[0]:
        return None
    return found[2], _read(path, _WAL_HEADER_BYTES, 0)


def _read(path: Path, size: int, offset: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _refuse_super_journal(journal: Path) -> None:
    """SQLite deletes the file that a journal names as its super-journal: nobody may choose such a file."""
    found = _stat(journal)
    size = found[0] if found else 0
    if (
        size >= len(_JOURNAL_MAGIC)
        and _read(journal, len(_JOURNAL_MAGIC), size - len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC
    ):
        raise CannotCopy("database_unreadable")


def _copy(source: Path, target: Path) -> None:
    """Copy a regular file, or take away an older copy of what is gone. Raises CannotCopy, OSError."""
    try:
        descriptor = os.open(source, _FLAGS)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return
    with os.fdopen(descriptor, "rb") as read:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CannotCopy("layout_not_a_file")
        with target.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)


def _beside(database: Path, ending: str) -> Path:
    return database.with_name(database.name + ending)
