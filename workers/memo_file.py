"""A memo on disk, in one SQLite file that any number of servers may share, and anybody may delete at any time.

An entry carries a checksum over its key and value: one that does not fit is none. When SQLite finds the file damaged
or gone bad, or the disk full, the file is let go of, and a later start begins a new one. Texts from the screen are in
it, so it is for its owner's eyes only.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from pathlib import Path

_BUSY_S = 0.2
_PAGE_BYTES = 4096
_WRITE_EVERY = 64
"""Entries that are written together: a transaction is short, so that servers that share a file do not wait."""

_WAIT_AT_MOST = 1024
"""Entries that wait while another server writes; then they are forgotten."""

_ROOM = 0.8
"""The share of its size that is left when it was full: making room one entry at a time would cost more."""

_LAYOUT = "CREATE TABLE IF NOT EXISTS entries(key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, sum BLOB NOT NULL)"
_log = logging.getLogger("workers")


class MemoFile:
    """Entries on disk, at most `max_bytes` of them; the oldest give way. Never raises: what it cannot do, it leaves."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_pages = max(16, max_bytes // _PAGE_BYTES)
        self._waiting: dict[bytes, bytes] = {}
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except (OSError, sqlite3.DatabaseError) as error:
            self._begin_anew(error)

    def get(self, key: bytes) -> bytes | None:
        """The value of an entry that is whole."""
        if key in self._waiting:
            return self._waiting[key]
        if self._database is None:
            return None
        try:
            row = self._database.execute("SELECT value, sum FROM entries WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        if row is None or not all(isinstance(part, bytes) for part in row) or row[1] != _sum(key, row[0]):
            return None
        value: bytes = row[0]
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Add an entry, or replace one; it is on disk a little later."""
        if self._database is None:
            return
        self._waiting[key] = value
        if len(self._waiting) % _WRITE_EVERY == 0:
            self.flush()
        if len(self._waiting) >= _WAIT_AT_MOST:
            self._waiting.clear()

    def flush(self) -> None:
        """Write what was added, and make room when there is too much."""
        if self._database is None or not self._waiting:
            return
        rows = [(key, value, _sum(key, value)) for key, value in self._waiting.items()]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
                if self._used_pages() > self._max_pages:
                    self._make_room()
        except sqlite3.Error as error:
            self._failed(error)
        else:
            self._waiting.clear()

    def close(self) -> None:
        """Write what was added, and let go of the file."""
        self.flush()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its journal files the mode of the database.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        self._path.chmod(0o600)
        database = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute(_LAYOUT)
            columns = [row[1] for row in database.execute("PRAGMA table_info(entries)")]
            kind = database.execute("SELECT type FROM sqlite_schema WHERE name = 'entries'").fetchone()
            if columns != ["key", "value", "sum"] or kind != ("table",):
                raise sqlite3.DatabaseError("not a memo of this version")
            database.commit()
        except BaseException:
            database.close()
            raise
        return database

    def _used_pages(self) -> int:
        assert self._database is not None
        ((pages,),) = self._database.execute("PRAGMA page_count").fetchall()
        ((free,),) = self._database.execute("PRAGMA freelist_count").fetchall()
        return int(pages) - int(free)

    def _make_room(self) -> None:
        assert self._database is not None
        keep = _ROOM * self._max_pages / self._used_pages()
        self._database.execute(
            "DELETE FROM entries WHERE rowid <= (SELECT max(rowid) - ? * (max(rowid) - min(rowid) + 1) FROM entries)",
            (keep,),
        )

    def _begin_anew(self, error: Exception) -> None:
        """Put an empty file in the place of one that cannot be used; without one when that fails too."""
        if _is_busy(error):
            self._let_go(error)
            return
        _log.info("the memo on disk is begun anew: %s", type(error).__name__)
        try:
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as again:
            self._let_go(again)

    def _failed(self, error: sqlite3.Error) -> None:
        if not _is_busy(error):
            self._let_go(error)

    def _let_go(self, error: Exception) -> None:
        _log.warning("going on without a memo on disk: %s", type(error).__name__)
        self._waiting.clear()
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error:
                _log.info("the memo on disk could not be closed")


def _is_busy(error: Exception) -> bool:
    """Whether another process has the file just now."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _sum(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(key + value).digest()[:16]
