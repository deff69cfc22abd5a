"""Rows out of a database that somebody else wrote: checked, limited, and handed over as plain values `[meta-1]`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ContractInvalid
from pipeline.stores.metadata import CHUNK, MetadataRow, Value, text_or_bytes

MAX_VALUE_BYTES = 16 * 1024 * 1024
_COLUMNS = ("id", "payload", "record_type", "ts_utc", "run_id")
_BUDGET_S = 8.0
_BYTES_PER_BUDGET_S = 20 * 1024 * 1024
_OPERATIONS_PER_CHECK = 10_000
_REMEDY = "have the producer hand it off again as Variant A (docs/design.md); the handoff was left as it is"


class ForeignDatabase:
    """A private snapshot of a handoff's database, open. Use as a context manager.

    Nothing in it is trusted: no view, trigger or virtual table stands in for the table, no function of its schema is
    run but harmless ones, values are limited to 16 MiB, and every step has a time budget.
    """

    def __init__(self, path: Path) -> None:
        """Open and check a snapshot. Raises ContractInvalid, saying what was found."""
        self._budget_s = _BUDGET_S + path.stat().st_size / _BYTES_PER_BUDGET_S
        self._deadline = 0.0
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.text_factory = text_or_bytes
        self.holds_more = False
        """Whether there is anything else than the ordinary table: other tables or columns, views, triggers."""
        try:
            self._guard()
            self._check_schema()
            self._check_pages()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise _rejected(error) from error
            raise

    def __enter__(self) -> ForeignDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def chunks(self) -> Iterator[list[MetadataRow]]:
        """Hand over all rows in the order of their ids, some hundred at a time; may be walked more than once.

        Raises ContractInvalid for a row that cannot be named or kept.
        """
        query = f"SELECT {', '.join(_COLUMNS)} FROM metadata ORDER BY id COLLATE BINARY"  # noqa: S608 fixed names
        cursor: sqlite3.Cursor | None = None
        try:
            while True:
                self._restart_budget()
                cursor = cursor or self._connection.execute(query)
                chunk = cursor.fetchmany(CHUNK)
                if not chunk:
                    return
                yield [_row(*values) for values in chunk]
        except sqlite3.Error as error:
            raise _rejected(error) from error
        finally:
            if cursor is not None:
                cursor.close()

    def _guard(self) -> None:
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _OPERATIONS_PER_CHECK)
        self._restart_budget()
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            self._connection.execute(f"PRAGMA {pragma}")

    def _restart_budget(self) -> None:
        self._deadline = time.monotonic() + self._budget_s

    def _check_schema(self) -> None:
        objects = {
            str(name).lower(): (str(name), str(kind))
            for name, kind in self._connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
            if not str(name).startswith("sqlite_")
        }
        if "metadata" not in objects or objects["metadata"][1] != "table":
            found = ", ".join(f"{kind} {name!r}" for name, kind in sorted(objects.values())[:8]) or "no table at all"
            raise ContractInvalid(f"metadata.db holds {found}; expected a table metadata", remedy=_REMEDY)
        columns = {
            str(name): (hidden, key)
            for name, hidden, key in self._connection.execute(
                "SELECT name, hidden, pk FROM pragma_table_xinfo('metadata')"
            )
        }
        usable = {name for name, (hidden, _) in columns.items() if not hidden}
        if not usable.issuperset(_COLUMNS) or [name for name, (_, key) in columns.items() if key] != ["id"]:
            found = ", ".join(sorted(columns)[:12])
            raise ContractInvalid(
                f"the table metadata has the columns {found}; expected {', '.join(_COLUMNS)} with the primary key id",
                remedy=_REMEDY,
            )
        triggers = self._connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").fetchone()[0]
        self.holds_more = bool(len(objects) > 1 or len(columns) > len(_COLUMNS) or triggers)

    def _check_pages(self) -> None:
        """Check the whole file, indexes included: the rows are walked by one, and none may be hidden by it."""
        self._restart_budget()
        verdict = str(self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if verdict != "ok":
            raise ContractInvalid("metadata.db is damaged: SQLite's integrity check failed", remedy=_REMEDY)


def _row(record_id: Value, payload: Value, record_type: Value, ts_utc: Value, run_id: Value) -> MetadataRow:
    if not isinstance(record_id, str):
        raise ContractInvalid("a row of metadata.db has an id that is no text", remedy=_REMEDY)
    if not isinstance(payload, str | bytes):
        raise ContractInvalid(f"the row {record_id[:200]!r} has no payload", remedy=_REMEDY)
    return MetadataRow(record_id, payload, record_type, ts_utc, run_id)


def _rejected(error: sqlite3.Error) -> ContractInvalid:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_INTERRUPT:
        text = "metadata.db takes too long to read: it was given up"
    elif code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        text = f"metadata.db holds a value larger than {MAX_VALUE_BYTES // 2**20} MiB"
    elif code == sqlite3.SQLITE_NOTADB:
        text = "metadata.db is not a SQLite database"
    else:
        text = f"metadata.db cannot be read by SQLite ({getattr(error, 'sqlite_errorname', 'error')})"
    return ContractInvalid(text, remedy=_REMEDY)
