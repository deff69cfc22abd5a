"""The metadata store that Stage 1 owns: Variant A; rows are added, never changed `[meta-1]`, `[handoff-3]`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from pipeline.errors import Busy, ContractInvalid

APPLICATION_ID = 0x41504D31
"""`APM1` in the header of a database that Stage 1 made; any other has another owner and is only read `[meta-2]`."""

CHUNK = 500
_BUSY_TIMEOUT_S = 30.0
VARIANT_A = (
    "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
)
_SCHEMA = (
    VARIANT_A,
    "CREATE INDEX idx_metadata_record_type ON metadata(record_type)",
    "CREATE INDEX idx_metadata_ts_utc ON metadata(ts_utc)",
    "CREATE INDEX idx_metadata_run_id ON metadata(run_id)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_INSERT = "INSERT INTO metadata(id, payload, record_type, ts_utc, run_id) VALUES (?, ?, ?, ?, ?)"
_INSERT_NEW = f"{_INSERT} ON CONFLICT(id) DO NOTHING"

Value = str | bytes | int | float | None
"""A column as SQLite holds it; bytes are a BLOB, or text that is not UTF-8."""


class MetadataRow(NamedTuple):
    """One row of a `metadata` table, as it stands there."""

    record_id: str
    payload: str | bytes
    record_type: Value
    ts_utc: Value
    run_id: Value

    @property
    def payload_bytes(self) -> bytes:
        """The payload byte for byte."""
        return as_bytes(self.payload)


def as_bytes(payload: str | bytes) -> bytes:
    """Turn a payload into its bytes, whichever way SQLite holds it."""
    return payload.encode() if isinstance(payload, str) else payload


def text_or_bytes(raw: bytes) -> str | bytes:
    """Read a text column: a str, or the bare bytes when they are not UTF-8. For `Connection.text_factory`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class MetadataStore:
    """Reads and adds rows; an absent database counts as empty until `create`. For the holder of the ingest lock."""

    def __init__(self, path: Path) -> None:
        """Open the store. Raises ContractInvalid when the database is not Stage 1's own."""
        self.path = path
        self._connection: sqlite3.Connection | None = None
        if path.exists() and not self._adopt():
            self.close()

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def create(self) -> None:
        """Make the database if it is not there; all of it, or nothing. Raises sqlite3.Error."""
        if self._connection is None:
            self._connect("rwc")
            with self.transaction():
                for statement in _SCHEMA:
                    self._writable.execute(statement)

    def payloads(self, record_ids: Sequence[str]) -> dict[str, str | bytes]:
        """Look up the payloads of some ids; an id that is not there is not in the result."""
        return {record_id: payload for record_id, payload in self._lookup("id, payload", record_ids)}

    def existing(self, record_ids: Sequence[str]) -> set[str]:
        """Tell which of some ids are there."""
        return {found[0] for found in self._lookup("id", record_ids)}

    def insert(self, rows: Iterable[MetadataRow]) -> None:
        """Add rows; an id that is already there is an error. Raises sqlite3.Error."""
        self._insert(_INSERT, rows)

    def insert_new(self, rows: Iterable[MetadataRow]) -> int:
        """Add the rows whose ids are not there yet; tells how many that were. Raises sqlite3.Error."""
        return self._insert(_INSERT_NEW, rows)

    def _insert(self, statement: str, rows: Iterable[MetadataRow]) -> int:
        before = self._writable.total_changes
        self._writable.executemany(statement, rows)
        return self._writable.total_changes - before

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing; durable when the block has been left. Raises Busy, sqlite3.Error."""
        try:
            self._writable.execute("BEGIN IMMEDIATE")
            yield
            self._writable.execute("COMMIT")
        except BaseException as error:
            if self._writable.in_transaction:
                self._writable.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise Busy(f"{self.path} is locked by a reader", remedy="end the long query, then run again") from error
            raise

    @property
    def _writable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the metadata store was not created")
        return self._connection

    def _lookup(self, columns: str, record_ids: Sequence[str]) -> Iterator[tuple[str, str | bytes]]:
        if self._connection is None:
            return
        for start in range(0, len(record_ids), CHUNK):
            chunk = record_ids[start : start + CHUNK]
            query = f"SELECT {columns} FROM metadata WHERE id IN ({','.join('?' * len(chunk))})"  # noqa: S608
            yield from self._connection.execute(query, chunk)

    def _adopt(self) -> bool:
        """Tell whether the database that is there has its table; one without any is as good as absent."""
        try:
            connection = self._connect("rw")
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            objects = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        except sqlite3.Error as error:
            self.close()
            raise ContractInvalid(
                f"{self.path} cannot be read as a SQLite database: {error}",
                remedy="restore it from a backup, or name another DataRoot with --data-root",
            ) from error
        if owner != APPLICATION_ID and objects:
            self.close()
            raise ContractInvalid(
                f"{self.path} was not made by `pipeline ingest`: a sidecar owns it, so it is only read",
                remedy="ingest into a DataRoot of its own: pipeline --data-root OTHER ingest PATH",
            )
        return bool(objects)

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S
        )
        self._connection = connection
        connection.text_factory = text_or_bytes
        # A rollback journal lets readers open the database without writing beside it; EXTRA makes the removal of the
        # journal, which is the commit, survive a power cut.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA cache_size = -65536")
        return connection
