"""Rows out of a database that somebody else wrote: checked, limited, and handed over as plain values `[meta-1]`.

This is where SQLite meets foreign bytes. Ingest has it done in a process of its own (`reader.py`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from pipeline.errors import ContractInvalid
from pipeline.stores.metadata import CHUNK, VARIANT_A, MetadataRow, Value, as_bytes, text_or_bytes
from pipeline.stores.variants import Backend, Choice, choose_table, records_row

MAX_VALUE_BYTES = 16 * 1024 * 1024
MAX_ROW_BYTES = MAX_VALUE_BYTES + (1 << 20)
CHUNK_BYTES = 1 << 20
BUDGET_S = 8.0
BYTES_PER_BUDGET_S = 20 * 1024 * 1024
REMEDY = "have the producer hand it off again as Variant A or B (docs/operating.md); it was left as it is"
_COLUMNS = ("id", "payload", "record_type", "ts_utc", "run_id")
_OPERATIONS_PER_CHECK = 10_000
_ORDERED = "ordered.db"


class ForeignRows(Protocol):
    """The rows of a handoff, whoever reads them."""

    @property
    def holds_more(self) -> bool:
        """Whether the database holds anything else than these rows: other tables or columns, views, triggers."""

    def chunks(self) -> Iterator[list[MetadataRow]]:
        """Hand over all rows in the order of their ids, which differ; may be walked more than once."""


class ForeignDatabase:
    """A private snapshot of a handoff's database, open. Use as a context manager.

    Nothing in it is trusted: no view, trigger or virtual table stands in for the table, no function of its schema is
    run but harmless ones, values are limited to 16 MiB and rows to 17, and every step has a time budget.
    """

    def __init__(
        self, path: Path, backend: Backend = Backend.metadata_table, is_forsaken: Callable[[], bool] = lambda: False
    ) -> None:
        """Open and check a snapshot, in a folder that is ours; `is_forsaken` ends a step early when nobody waits.

        Raises ContractInvalid, saying what was found.
        """
        self._budget_s = BUDGET_S + path.stat().st_size / BYTES_PER_BUDGET_S
        self._is_forsaken = is_forsaken
        self._deadline = 0.0
        self._connection = self._open(path)
        self._query = f"SELECT {', '.join(_COLUMNS)} FROM metadata ORDER BY id COLLATE BINARY"  # noqa: S608 fixed names
        self.repeated = 0
        """Rows of `records` that stand there more than once, byte for byte: read once."""
        try:
            self._guard()
            self._check_pages()
            self._restart_budget()
            self.choice = choose_table(self._connection, backend)
            self._put_in_order(path.with_name(_ORDERED))
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error | UnicodeError):
                raise _rejected(error) from error
            raise

    def __enter__(self) -> ForeignDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the snapshot."""
        self._connection.close()

    @property
    def holds_more(self) -> bool:
        """Whether there is anything else than the ordinary table: other tables or columns, views, triggers."""
        return not self.choice.is_alone

    def chunks(self) -> Iterator[list[MetadataRow]]:
        """Hand over all rows in the order of their ids, some hundred or a MiB at a time; may be walked again.

        Raises ContractInvalid for a row that cannot be named or kept.
        """
        self._restart_budget()
        try:
            with closing(self._connection.execute(self._query)) as cursor:
                chunk: list[MetadataRow] = []
                size = 0
                for values in cursor:
                    chunk.append(_row(*values))
                    size += _size(values)
                    if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                        yield chunk
                        chunk, size = [], 0
                        self._restart_budget()
                if chunk:
                    yield chunk
        except (sqlite3.Error, UnicodeError) as error:
            raise _rejected(error) from error

    def _open(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.text_factory = text_or_bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        return connection

    def _guard(self) -> None:
        self._connection.set_progress_handler(self._is_over, _OPERATIONS_PER_CHECK)
        self._restart_budget()
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            self._connection.execute(f"PRAGMA {pragma}")

    def _is_over(self) -> bool:
        return time.monotonic() > self._deadline or self._is_forsaken()

    def _restart_budget(self) -> None:
        self._deadline = time.monotonic() + self._budget_s

    def _check_pages(self) -> None:
        """Check the whole file, indexes included: the rows are walked by one, and none may be hidden by it."""
        self._restart_budget()
        verdict = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != ("ok",):
            raise ContractInvalid("metadata.db is damaged: SQLite's integrity check failed", remedy=REMEDY)

    def _put_in_order(self, path: Path) -> None:
        """Rows without ids, and those that SQLite orders as UTF-16, are copied into a table of ours beside."""
        encoding = self._connection.execute("PRAGMA encoding").fetchone()[0]
        if self.choice.backend is Backend.metadata_table and encoding == "UTF-8":
            return
        path.unlink(missing_ok=True)
        ordered = self._open(path)
        try:
            # Private and made anew after a crash: it need not survive one.
            for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", VARIANT_A, "BEGIN"):
                ordered.execute(statement)
            for values in self._connection.execute(self.choice.query):
                self._copy_row(ordered, _named_row(self.choice, *values))
                self._restart_budget()
            ordered.execute("COMMIT")
        except BaseException:
            ordered.close()
            raise
        self._connection.close()
        self._connection = ordered

    def _copy_row(self, ordered: sqlite3.Connection, row: MetadataRow) -> None:
        values = (row.record_id, row.payload, row.record_type, row.ts_utc, row.run_id)
        if ordered.execute("INSERT OR IGNORE INTO metadata VALUES (?, ?, ?, ?, ?)", values).rowcount:
            return
        ((payload,),) = ordered.execute("SELECT payload FROM metadata WHERE id = ?", (row.record_id,)).fetchall()
        if as_bytes(payload) != row.payload_bytes:
            raise ContractInvalid(
                f"two rows of metadata.db have the id {row.record_id[:160]!r} and different content", remedy=REMEDY
            )
        self.repeated += 1


def _named_row(
    choice: Choice, record_id: Value, payload: Value, record_type: Value, ts_utc: Value, run_id: Value
) -> MetadataRow:
    if choice.backend is Backend.metadata_table:
        return _row(record_id, payload, record_type, ts_utc, run_id)
    try:
        row = records_row(record_id, payload, record_type, ts_utc, run_id)
    except ValueError as error:
        raise ContractInvalid(str(error), remedy=REMEDY) from error
    return _row(row.record_id, row.payload, row.record_type, row.ts_utc, row.run_id)


def _row(record_id: Value, payload: Value, record_type: Value, ts_utc: Value, run_id: Value) -> MetadataRow:
    if not isinstance(record_id, str):
        raise ContractInvalid("a row of metadata.db has an id that is no text", remedy=REMEDY)
    if not isinstance(payload, str | bytes):
        raise ContractInvalid(f"the row {record_id[:200]!r} has no payload", remedy=REMEDY)
    if _size((record_id, payload, record_type, ts_utc, run_id)) > MAX_ROW_BYTES:
        raise ContractInvalid(f"metadata.db holds a row larger than {MAX_ROW_BYTES >> 20} MiB", remedy=REMEDY)
    return MetadataRow(record_id, payload, record_type, ts_utc, run_id)


def _size(values: tuple[Value, ...]) -> int:
    """About how many bytes a row has; a text may have up to four times as many as are counted."""
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def _rejected(error: sqlite3.Error | UnicodeError) -> ContractInvalid:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        text = "metadata.db takes too long to read: it was given up"
    elif code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        text = f"metadata.db holds a value larger than {MAX_VALUE_BYTES // 2**20} MiB"
    elif code == sqlite3.SQLITE_NOTADB:
        text = "metadata.db is not a SQLite database"
    else:
        text = f"metadata.db cannot be read by SQLite ({getattr(error, 'sqlite_errorname', 'error')})"
    return ContractInvalid(text, remedy=REMEDY)
