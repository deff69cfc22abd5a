"""The evidence, read-only: rows of `metadata.db` (Variant A) and the blobs they point at `[meta-1]`, `[meta-5]`."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pipeline.dataroot import DataRoot, blob_key
from pipeline.errors import Busy, ContractInvalid, SampleError
from schemas.canonical import sha256_hex

_COLUMNS = {"id", "payload", "record_type", "ts_utc", "run_id"}
_REMEDY = "pipeline ingest SPOOL fills it; pipeline doctor says more"
_CHUNK = 500
MAX_BLOB_BYTES = 256 * 1024 * 1024
_BLOB_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: a FIFO in a blob's place must not hang the run."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A row of the metadata store, as it stands there; SQLite holds any type in any column."""

    rowid: int
    record_id: str
    payload: str
    record_type: str | None
    ts_utc: str | None
    run_id: str | None


class EvidenceStore:
    """Reads a DataRoot's evidence; nothing in it can write. Use as a context manager.

    What walks or looks up raises ContractInvalid when the database turns out to be damaged, Busy when it stays locked.
    """

    def __init__(self, root: DataRoot) -> None:
        """Open the store. Raises ContractInvalid when there is no readable Variant A table."""
        self.root = root
        self._connection = _open_read_only(root.metadata_db)

    def __enter__(self) -> EvidenceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def count(self, record_types: Sequence[str]) -> int:
        """Count the rows of some record types."""
        marks = ",".join("?" * len(record_types))
        query = f"SELECT count(*) FROM metadata WHERE record_type IN ({marks})"  # noqa: S608 only question marks
        with self._readable():
            return int(self._connection.execute(query, list(record_types)).fetchone()[0])

    def count_after(self, record_types: Sequence[str], rowid: int) -> int:
        """Count the rows of some record types that were added after a rowid: quick where those are few."""
        marks = ",".join("?" * len(record_types))
        query = f"SELECT count(*) FROM metadata NOT INDEXED WHERE rowid > ? AND record_type IN ({marks})"  # noqa: S608
        with self._readable():
            return int(self._connection.execute(query, [rowid, *record_types]).fetchone()[0])

    def scan(self, record_types: Sequence[str], after_rowid: int) -> Iterator[EvidenceRow]:
        """Walk over the rows of some record types that were added after a rowid, in the order they were added."""
        marks = ",".join("?" * len(record_types))
        yield from self._select(f"WHERE rowid > ? AND record_type IN ({marks}) ORDER BY rowid",
                                [after_rowid, *record_types])  # fmt: skip

    def rows(self, record_ids: Iterable[str]) -> dict[str, EvidenceRow]:
        """Look rows up by their ids; an id that is not there is not in the result."""
        wanted = list(record_ids)
        found: dict[str, EvidenceRow] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            found.update((row.record_id, row) for row in self._select(f"WHERE id IN ({marks})", chunk))
        return found

    def rows_between(self, record_type: str, run_id: str, start: str, end: str) -> Iterator[EvidenceRow]:
        """Walk over rows of a type and run whose `ts_utc` text lies in [start, end), in order of time."""
        yield from self._select("WHERE record_type = ? AND run_id = ? AND ts_utc >= ? AND ts_utc < ?"
                                " ORDER BY ts_utc, id", [record_type, run_id, start, end])  # fmt: skip

    def locate_blob(self, run_id: str, record_id: str, record_type: str, moment: datetime, named: str | None) -> str:
        """Say where a record's blob lies, relative to the DataRoot.

        The canonical place; only where nothing is there, the path that the payload names, if it stays inside the
        DataRoot (a sidecar may fill it with another layout).
        """
        canonical = blob_key(run_id, record_id, record_type, moment)
        try:
            if not named or named == canonical or os.path.lexists(self.root.path / canonical):
                return canonical
            candidate = PurePosixPath(named)
            resolved = (self.root.path / candidate).resolve()
            inside = not candidate.is_absolute() and resolved.is_relative_to(self.root.path.resolve())
            return str(candidate) if inside and resolved.is_file() else canonical
        except (OSError, ValueError, RuntimeError):  # too long for a file name, a NUL in it, links in a circle
            return canonical

    def _select(self, where: str, parameters: Sequence[object]) -> Iterator[EvidenceRow]:
        query = f"SELECT rowid, id, payload, record_type, ts_utc, run_id FROM metadata {where}"  # noqa: S608 our own
        with self._readable():
            for values in self._connection.execute(query, parameters):
                yield EvidenceRow(*values)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unreadable(self.root.metadata_db, error) from error


def load_blob(root: DataRoot, relative: str, content_hash: str) -> bytes:
    """Read a blob and prove that it is the one the record means. Raises SampleError."""
    try:
        descriptor = os.open(f"{root.path}/{relative}", _BLOB_FLAGS)
    except FileNotFoundError as error:
        raise SampleError("blob_missing", "the frame's blob is not in the DataRoot", retryable=True) from error
    except (OSError, ValueError) as error:
        raise _blob_unreadable(error) from error
    try:
        data = _read_blob(descriptor)
    except OSError as error:
        raise _blob_unreadable(error) from error
    finally:
        os.close(descriptor)
    if sha256_hex(data) != content_hash:
        raise SampleError("blob_hash_differs", "the frame's blob does not hash to its content_hash")
    return data


def _read_blob(descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SampleError("blob_unreadable", "the frame's blob is no regular file")
    if status.st_size > MAX_BLOB_BYTES:
        raise SampleError(
            "blob_too_large", f"the frame's blob has {status.st_size} bytes; the limit is {MAX_BLOB_BYTES}"
        )
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read()


def _blob_unreadable(error: OSError | ValueError) -> SampleError:
    reason = error.strerror if isinstance(error, OSError) else "no usable path"
    return SampleError("blob_unreadable", f"the frame's blob cannot be read: {reason}")


def open_database_read_only(path: Path) -> sqlite3.Connection:
    """Open an SQLite database so that a write fails, also where its directory cannot be written.

    Not `immutable` beside a journal that a crash left: that would show what was never committed, or not all that was.
    Raises sqlite3.Error.
    """
    left = [file for end in ("-journal", "-wal") if (file := _beside(path, end)).exists() and file.stat().st_size]
    mode = "mode=ro" if left or os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open_read_only(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ContractInvalid(f"no metadata store: {path} is not there", remedy=_REMEDY)
    try:
        _roll_back_crashed_writer(path)
        connection = open_database_read_only(path)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        _require_variant_a(path, connection)
    except sqlite3.Error as error:
        connection.close()
        raise _unreadable(path, error) from error
    except ContractInvalid:
        connection.close()
        raise
    connection.text_factory = _text
    return connection


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _roll_back_crashed_writer(path: Path) -> None:
    """Let SQLite undo what a killed writer had not committed; a reader cannot look past its journal."""
    if _beside(path, "-journal").exists() and os.access(path.parent, os.W_OK):
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        finally:
            connection.close()


def _require_variant_a(path: Path, connection: sqlite3.Connection) -> None:
    """Raises ContractInvalid for anything but a plain table: a view of that name could run for ever."""
    kinds = [row[2] for row in connection.execute("PRAGMA table_list(metadata)") if row[0] == "main"]
    columns = {row[1] for row in connection.execute("PRAGMA table_info(metadata)")}
    if kinds == ["table"] and columns >= _COLUMNS:
        return
    found = "no table metadata"
    if kinds:
        found = f"a {kinds[0]} metadata with {', '.join(sorted(columns))}"
    raise ContractInvalid(
        f"{path} has {found}; expected Variant A: a table with {', '.join(sorted(_COLUMNS))}", remedy=_REMEDY
    )


def _unreadable(path: Path, error: sqlite3.Error) -> ContractInvalid | Busy:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return Busy(f"{path} is locked by a writer", remedy="wait until it ends, then run again")
    return ContractInvalid(f"{path} is no readable SQLite database: {error}", remedy=_REMEDY)


def _text(raw: bytes) -> str:
    """Text that is not UTF-8 is a damaged row, not a damaged database; no such text passes for JSON."""
    return raw.decode(errors="surrogateescape")
