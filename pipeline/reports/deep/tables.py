"""Rows out of a private copy of a metadata.db, of either variant, trusting nothing in it `[meta-1]`, `[meta-2]`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.stores.metadata import APPLICATION_ID, CHUNK, Value, text_or_bytes

MAX_VALUE_BYTES = 16 * 1024 * 1024
_BUDGET_S = 10.0
_BYTES_PER_BUDGET_S = 20 * 1024 * 1024
_OPERATIONS_PER_CHECK = 10_000
_PROBES = 200
_A = ("id", "payload", "record_type", "ts_utc", "run_id")
_B = ("record_type", "ts_utc", "json")
_B_IDS = ("id", "record_id")


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as it stands there; None for a column that the table does not have."""

    record_id: Value
    payload: Value
    record_type: Value
    ts_utc: Value
    run_id: Value


@dataclass(frozen=True, slots=True)
class Variant:
    """Which table is read, and why. Without one, `name` is empty."""

    name: str
    why: str
    columns: tuple[str, ...] = ()
    is_encrypted: bool = False
    """Whether there is a table `metadata` whose payloads cannot be read."""

    @property
    def table(self) -> str:
        """The table's name."""
        return {"A": "metadata", "B": "records"}[self.name]


class CopiedDatabase:
    """A private copy, open. Use as a context manager; what it raises is sqlite3.Error.

    Views, triggers and virtual tables stand in for nothing, values are limited to 16 MiB, each step has a time budget
    that grows with the file.
    """

    def __init__(self, path: Path) -> None:
        self._budget_s = _BUDGET_S + path.stat().st_size / _BYTES_PER_BUDGET_S
        self._deadline = time.monotonic() + self._budget_s
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.text_factory = text_or_bytes
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _OPERATIONS_PER_CHECK)

    def __enter__(self) -> CopiedDatabase:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            self._connection.execute(f"PRAGMA {pragma}")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def is_ours(self) -> bool:
        """Whether Stage 1 made the database; else a sidecar owns it."""
        return bool(self._one("PRAGMA application_id") == APPLICATION_ID)

    def is_sound(self) -> bool:
        """Let SQLite check every page and index."""
        return bool(self._one("PRAGMA integrity_check(1)") == "ok")

    def choose_variant(self) -> Variant:
        """Take a readable `metadata`, else `records`; an empty `metadata` beside rows in `records` is passed over."""
        found_a, found_b = self._usable("metadata", _A), self._usable("records", _B)
        read, probed = self._probe("metadata", "payload") if found_a else (0, 0)
        rows_b = self._probe("records", "json") if found_b else (0, 0)
        is_encrypted = probed > 0 and not read
        if found_a and (read or not (probed or rows_b[0])):
            return Variant("A", "the table metadata is readable" if read else "the table metadata has no rows", _A)
        if found_b and (rows_b[0] or not rows_b[1]):
            why = "its payloads cannot be read" if is_encrypted else "has no rows" if found_a else "is not there"
            return Variant("B", f"the table records is readable; the table metadata {why}",
                           self._columns_b(found_b), is_encrypted)  # fmt: skip
        return Variant("", f"found {self._objects()}", is_encrypted=is_encrypted)

    def count(self, variant: Variant) -> int:
        """Count the rows."""
        return int(self._one(f"SELECT count(*) FROM {variant.table}"))  # type: ignore[arg-type]  # noqa: S608

    def rows(self, variant: Variant, record_type: str | None = None) -> Iterator[FoundRow]:
        """Walk over all rows, or those of a record type, in the order in which they are stored."""
        columns = ", ".join(name or "NULL" for name in variant.columns)
        query = f"SELECT {columns} FROM {variant.table}"  # noqa: S608 fixed names
        given = () if record_type is None else (record_type,)
        self._restart_budget()
        cursor = self._connection.execute(query + " WHERE record_type = ?" * len(given), given)
        try:
            while chunk := cursor.fetchmany(CHUNK):
                for values in chunk:
                    yield FoundRow(*values)
                self._restart_budget()
        finally:
            cursor.close()

    def _restart_budget(self) -> None:
        self._deadline = time.monotonic() + self._budget_s

    def _one(self, query: str) -> Value:
        self._restart_budget()
        value: Value = self._connection.execute(query).fetchone()[0]
        return value

    def _usable(self, table: str, wanted: tuple[str, ...]) -> set[str]:
        """The columns of an ordinary table that has all that are wanted; empty for anything else."""
        self._restart_budget()
        kinds = [row[0] for row in self._connection.execute(
            "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,))]  # fmt: skip
        columns = {str(row[0]) for row in self._connection.execute(
            "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,))}  # fmt: skip
        return columns if kinds == ["table"] and columns.issuperset(wanted) else set()

    def _columns_b(self, found: set[str]) -> tuple[str, ...]:
        record_id = next((name for name in _B_IDS if name in found), "")
        return (record_id, "json", "record_type", "ts_utc", "run_id" if "run_id" in found else "")

    def _probe(self, table: str, column: str) -> tuple[int, int]:
        """Of some rows: how many hold a JSON object, and how many there are."""
        self._restart_budget()
        query = f"SELECT {column} FROM {table} LIMIT {_PROBES}"  # noqa: S608 fixed names
        values = [row[0] for row in self._connection.execute(query)]
        return sum(_is_object(value) for value in values), len(values)

    def _objects(self) -> str:
        names = self._connection.execute(
            "SELECT type, name FROM pragma_table_list WHERE schema = 'main' ORDER BY name LIMIT 20"
        )
        found = [f"{kind} {_name(name)}" for kind, name in names if not _name(name).startswith("sqlite_")]
        return ", ".join(found[:8]) or "no table at all"


def payload_bytes(value: Value) -> bytes:
    """A payload as bytes; empty for what is none."""
    return (
        value.encode(errors="surrogateescape") if isinstance(value, str) else value if isinstance(value, bytes) else b""
    )


def read_object(value: Value, loads: Callable[[bytes], object] = json.loads) -> dict[str, object] | None:
    """Parse a payload; None when it is no JSON object."""
    try:
        fields = loads(payload_bytes(value))
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _is_object(value: Value) -> bool:
    return read_object(value) is not None


def _name(value: Value) -> str:
    return repr(value)[:60].strip("'")
