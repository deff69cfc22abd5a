"""Which table of a metadata database holds its records, and what a row of `records` is called `[meta-1]`, `[meta-2]`.

a table metadata, some payload of it JSON  → Variant A
else a table records                       → Variant B: beside an encrypted, empty or missing metadata
neither has a row                          → Variant A, else B
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.errors import ContractInvalid
from pipeline.stores.metadata import MetadataRow, Value, as_bytes

_A = ("id", "payload", "record_type", "ts_utc", "run_id")
_B = ("record_type", "ts_utc", "json")
_OWN_IDS = ("id", "record_id")
_PROBES = 200
_MOST_NAMED = 8
_EXPECTED = f"expected a table metadata with {', '.join(_A)} and the primary key id, or records with {', '.join(_B)}"
_REMEDY = "have the producer hand it off again as Variant A or B (docs/operating.md); it was left as it is"
_REMEDY_UNREADABLE = "have the producer hand it off with rows that can be read; or keep them as they are:"


class Backend(StrEnum):
    """Which table records are read from; `auto` takes `metadata` if that can be read, else `records`."""

    auto = "auto"
    metadata_table = "metadata_table"
    records_table = "records_table"


@dataclass(frozen=True, slots=True)
class Choice:
    """The table that is read, and for `records` why it is not `metadata`."""

    backend: Backend
    why: str
    columns: tuple[str, ...]
    """What to select, in the order of `MetadataRow`'s fields."""
    is_alone: bool
    """Whether the database holds nothing else: no other table, column, view or trigger."""

    @property
    def query(self) -> str:
        """The SELECT of all its rows, in no order."""
        table = "metadata" if self.backend is Backend.metadata_table else "records"
        return f"SELECT {', '.join(self.columns)} FROM {table}"  # noqa: S608 fixed names


@dataclass(frozen=True, slots=True)
class _Table:
    """What was found of a table; without columns it is not there, or not as we read it."""

    columns: tuple[str, ...] = ()
    """In order; an empty name for one that is hidden or generated."""
    has_rows: bool = False
    is_readable: bool = False
    """Whether one of its first rows holds a JSON object."""


@dataclass(frozen=True, slots=True)
class _Object:
    """A row of SQLite's schema."""

    kind: str
    name: str
    root: Value

    def __str__(self) -> str:
        return f"{self.kind} {self.name[:60]!r}"


def choose_table(connection: sqlite3.Connection, wanted: Backend = Backend.auto) -> Choice:
    """Find the table to read. The connection has its guards, `text_or_bytes` too.

    Raises ContractInvalid, naming what was found, when there is none, sqlite3.Error.
    """
    objects = _objects(connection)
    tables = {
        Backend.metadata_table: _look_at(connection, objects, "metadata", _A, "payload"),
        Backend.records_table: _look_at(connection, objects, "records", _B, "json"),
    }
    is_empty = not any(table.has_rows for table in tables.values())
    for backend, table in tables.items():
        fits = table.is_readable or (is_empty and wanted is Backend.auto)
        if table.columns and (wanted is backend or (fits and wanted is Backend.auto)):
            return _chosen(backend, tables, wanted, is_alone=len(objects) == 1)
    raise _neither(objects, connection, tables, wanted)


def _chosen(backend: Backend, tables: Mapping[Backend, _Table], wanted: Backend, *, is_alone: bool) -> Choice:
    columns, other = tables[backend].columns, tables[Backend.metadata_table]
    if backend is Backend.metadata_table:
        return Choice(backend, "", _A, is_alone and len(columns) == len(_A))
    own = next((name for name in _OWN_IDS if name in columns), "NULL")
    select = (own, "json", "record_type", "ts_utc", "run_id" if "run_id" in columns else "NULL")
    if wanted is backend:
        why = "as --metadata-backend asks"
    elif not other.columns:
        why = "there is no table metadata as Variant A has it"
    else:
        why = f"the table metadata {'cannot be read: no payload is a JSON object' if other.has_rows else 'has no rows'}"
    return Choice(backend, why, select, is_alone=False)


def records_row(given_id: Value, payload: Value, record_type: Value, ts_utc: Value, run_id: Value) -> MetadataRow:
    """Make of a row of `records` what a row of `metadata` would be; its JSON text stays as it is.

    Its id is the first of the column `id` or `record_id` and the JSON's `record_id` and `id` that begins with
    `run_id/` `[meta-4]`; else `run_id/record_type/` and 32 hex digits of the SHA-256 of its JSON text.
    Raises ValueError when there is no JSON text.
    """
    if not isinstance(payload, str | bytes):
        raise ValueError("a row of the table records has no JSON")
    fields = read_object(payload) or {}
    run = _name(fields.get("run_id")) or _name(run_id)
    kind = _name(record_type) or _name(fields.get("record_type"))
    own = [_name(value) for value in (given_id, fields.get("record_id"), fields.get("id"))]
    named = [name for name in own if run and name.startswith(f"{run}/") and len(name) > len(run) + 1]
    import hashlib  # late: most databases have ids, and the process that reads them starts often

    digest = hashlib.sha256(as_bytes(payload)).hexdigest()[:32]
    return MetadataRow(
        record_id=named[0] if named else f"{run or 'unknown'}/{kind or 'unknown'}/{digest}",
        payload=payload,
        record_type=kind or record_type,
        ts_utc=ts_utc if ts_utc is not None else _name(fields.get("ts_utc")) or None,
        run_id=run or run_id,
    )


def read_object(payload: str | bytes) -> dict[str, Any] | None:
    """Parse a payload; None when it is no JSON object in UTF-8."""
    try:
        fields = json.loads(as_bytes(payload).decode())
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _name(value: object) -> str:
    """A text that can stand in an id; empty for anything else."""
    try:
        return value if isinstance(value, str) and value.encode() else ""
    except UnicodeEncodeError:
        return ""


def _objects(connection: sqlite3.Connection) -> list[_Object]:
    """All tables, views and triggers. Not by `PRAGMA table_list`, which expands every view there is."""
    found = []
    for kind, name, root, sql in connection.execute("SELECT type, name, rootpage, sql FROM sqlite_schema"):
        text, label = (value if isinstance(value, str) else repr(value) for value in (kind, name))
        if label.startswith("sqlite_") or text == "index":
            continue
        is_virtual = isinstance(sql, str) and sql[:14].upper() == "CREATE VIRTUAL"
        found.append(_Object("virtual table" if is_virtual else text, label, root))
    return found


def _look_at(
    connection: sqlite3.Connection, objects: Sequence[_Object], table: str, wanted: Sequence[str], payload: str
) -> _Table:
    """See whether an ordinary table is there with all columns that are wanted, and whether it can be read."""
    (root,) = [item.root for item in objects if item.kind == "table" and item.name.lower() == table] or (None,)
    if root is None:
        return _Table()  # a view of that name is not even looked into: that can take for ever
    rows = connection.execute("SELECT name, hidden, pk FROM pragma_table_xinfo(?)", (table,)).fetchall()
    columns = tuple("" if hidden else str(name) for name, hidden, _ in rows)
    keys = [name for name, _, place in rows if place]
    is_known = set(columns) >= set(wanted) and (table == "records" or keys == ["id"])
    if not is_known or not _is_read_from(connection, table, root):
        return _Table()
    return _Table(columns, *_probe(connection, payload, table))


def _is_read_from(connection: sqlite3.Connection, table: str, root: Value) -> bool:
    """Tell whether a SELECT opens that table itself: a schema written by hand can say one thing and be another."""
    program = connection.execute(f"EXPLAIN SELECT 1 FROM {table} NOT INDEXED")  # noqa: S608 fixed names
    return [row[3] for row in program if row[1] == "OpenRead"] == [root]


def _probe(connection: sqlite3.Connection, column: str, table: str) -> tuple[bool, bool]:
    """Whether there are rows at all, and whether one of the first two hundred holds a JSON object."""
    held = False
    for (payload,) in connection.execute(f"SELECT {column} FROM {table} LIMIT {_PROBES}"):  # noqa: S608 fixed names
        held = True
        if isinstance(payload, str | bytes) and read_object(payload) is not None:
            return True, True
    return held, False


def _neither(
    objects: Sequence[_Object], connection: sqlite3.Connection, tables: Mapping[Backend, _Table], wanted: Backend
) -> ContractInvalid:
    unreadable = [backend for backend, table in tables.items() if table.has_rows]
    if unreadable and wanted is Backend.auto:
        names = " and ".join(backend.value.removesuffix("_table") for backend in unreadable)
        return ContractInvalid(
            f"metadata.db cannot be read: no row of its table {names} holds a JSON object (is it encrypted?)",
            remedy=f"{_REMEDY_UNREADABLE} --metadata-backend {unreadable[0].value}",
        )
    asked = "" if wanted is Backend.auto else f"; --metadata-backend asks for {wanted.value}"
    for table in ("metadata", "records"):
        if any(item.kind == "table" and item.name.lower() == table for item in objects):
            rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) LIMIT 12", (table,)).fetchall()
            columns = ", ".join(str(name)[:60] for (name,) in rows)
            return ContractInvalid(
                f"the table {table} of metadata.db has the columns {columns}; {_EXPECTED}{asked}", remedy=_REMEDY
            )
    found = ", ".join(sorted(str(item) for item in objects)[:_MOST_NAMED]) or "no table at all"
    return ContractInvalid(f"metadata.db holds {found}; {_EXPECTED}{asked}", remedy=_REMEDY)
