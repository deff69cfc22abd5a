"""The evidence, read-only: rows of `metadata.db` (Variant A) and the blobs they point at `[meta-1]`, `[meta-5]`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pipeline.dataroot import DataRoot, blob_key
from pipeline.errors import ContractInvalid, SampleError
from schemas.canonical import sha256_hex

_COLUMNS = {"id", "payload", "record_type", "ts_utc", "run_id"}
_CHUNK = 500
MAX_BLOB_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A row of the metadata store, as it stands there."""

    rowid: int
    record_id: str
    payload: str
    record_type: str | None
    ts_utc: str | None
    run_id: str | None


class EvidenceStore:
    """Reads a DataRoot's evidence; nothing in it can write. Use as a context manager."""

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
        return int(self._connection.execute(query, list(record_types)).fetchone()[0])

    def scan(self, record_types: Sequence[str], after_rowid: int) -> Iterator[EvidenceRow]:
        """Walk over the rows of some record types that were added after a rowid, in the order they were added."""
        marks = ",".join("?" * len(record_types))
        yield from map(_row, self._connection.execute(
            f"SELECT rowid, id, payload, record_type, ts_utc, run_id FROM metadata"  # noqa: S608 only question marks
            f" WHERE rowid > ? AND record_type IN ({marks}) ORDER BY rowid",
            [after_rowid, *record_types],
        ))  # fmt: skip

    def rows(self, record_ids: Iterable[str]) -> dict[str, EvidenceRow]:
        """Look rows up by their ids; an id that is not there is not in the result."""
        wanted = list(record_ids)
        found: dict[str, EvidenceRow] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT rowid, id, payload, record_type, ts_utc, run_id FROM metadata WHERE id IN ({marks})"  # noqa: S608
            found.update((row.record_id, row) for row in map(_row, self._connection.execute(query, chunk)))
        return found

    def rows_between(self, record_type: str, run_id: str, start: str, end: str) -> Iterator[EvidenceRow]:
        """Walk over rows of a type and run whose `ts_utc` text lies in [start, end), in order of time."""
        yield from map(_row, self._connection.execute(
            "SELECT rowid, id, payload, record_type, ts_utc, run_id FROM metadata"
            " WHERE record_type = ? AND run_id = ? AND ts_utc >= ? AND ts_utc < ? ORDER BY ts_utc, id",
            [record_type, run_id, start, end],
        ))  # fmt: skip

    def locate_blob(self, run_id: str, record_id: str, record_type: str, moment: datetime, named: str | None) -> str:
        """Say where a record's blob lies, relative to the DataRoot.

        The canonical place; only where nothing is there, the path that the payload names, if it stays inside the
        DataRoot (a sidecar may fill it with another layout).
        """
        canonical = blob_key(run_id, record_id, record_type, moment)
        if not named or named == canonical or (self.root.path / canonical).exists():
            return canonical
        candidate = PurePosixPath(named)
        resolved = (self.root.path / candidate).resolve()
        inside = not candidate.is_absolute() and resolved.is_relative_to(self.root.path.resolve())
        return str(candidate) if inside and resolved.is_file() else canonical


def load_blob(root: DataRoot, relative: str, content_hash: str) -> bytes:
    """Read a blob and prove that it is the one the record means. Raises SampleError."""
    try:
        descriptor = os.open(f"{root.path}/{relative}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SampleError("blob_missing", "the frame's blob is not in the DataRoot", retryable=True) from error
    except OSError as error:
        raise SampleError("blob_unreadable", f"the frame's blob cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > MAX_BLOB_BYTES:
            raise SampleError("blob_too_large", f"the frame's blob has {size} bytes; the limit is {MAX_BLOB_BYTES}")
        data = file.read()
    if sha256_hex(data) != content_hash:
        raise SampleError("blob_hash_differs", "the frame's blob does not hash to its content_hash")
    return data


def open_database_read_only(path: Path) -> sqlite3.Connection:
    """Open an SQLite database so that a write fails, also where its directory cannot be written.

    Raises sqlite3.Error.
    """
    mode = "mode=ro" if os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open_read_only(path: Path) -> sqlite3.Connection:
    remedy = "pipeline ingest SPOOL fills it; pipeline doctor says more"
    if not path.is_file():
        raise ContractInvalid(f"no metadata store: {path} is not there", remedy=remedy)
    try:
        connection = open_database_read_only(path)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(metadata)")}
    except sqlite3.Error as error:
        raise ContractInvalid(f"{path} is no readable SQLite database: {error}", remedy=remedy) from error
    if not columns >= _COLUMNS:
        connection.close()
        found = f"a table metadata with {', '.join(sorted(columns))}" if columns else "no table metadata"
        raise ContractInvalid(f"{path} has {found}; expected Variant A: {', '.join(sorted(_COLUMNS))}", remedy=remedy)
    return connection


def _row(values: tuple[int, str, str, str | None, str | None, str | None]) -> EvidenceRow:
    return EvidenceRow(*values)
