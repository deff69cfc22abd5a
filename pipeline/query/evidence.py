"""The evidence as a question may touch it: opened so that a write fails, and that no file appears beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.stores.index_rows import Box
from pipeline.stores.indexed_texts import connect_immutable
from schemas.canonical import nfc
from schemas.fields import from_utc_microseconds, parse_utc, utc_microseconds
from schemas.record_types import FRAME

_CHUNK = 500
_WAL_FORMAT = 2


class Evidence:
    """Reads single records of `metadata.db` (Variant A). A context manager."""

    def __init__(self, root: DataRoot) -> None:
        """Open the store. Raises ContractInvalid when it cannot be read as it is."""
        self.root = root
        self._payloads: dict[str, dict[str, Any] | None] = {}
        try:
            self._connection = _connect(root.metadata_db)
            self._connection.execute("SELECT id, payload, record_type, ts_utc FROM metadata LIMIT 0")
        except (sqlite3.Error, OSError) as error:
            raise ContractInvalid(
                f"the metadata store {root.metadata_db} cannot be read: {error}", remedy="pipeline doctor says more"
            ) from error

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def fetch(self, record_ids: Iterable[str]) -> None:
        """Read records ahead, many at a time."""
        wanted = [name for name in dict.fromkeys(record_ids) if name not in self._payloads]
        for at in range(0, len(wanted), _CHUNK):
            chunk = wanted[at : at + _CHUNK]
            self._payloads.update(dict.fromkeys(chunk))
            marks = ",".join("?" * len(chunk))
            query = f"SELECT id, payload FROM metadata WHERE id IN ({marks})"  # noqa: S608 only question marks
            for name, payload in self._connection.execute(query, chunk):
                self._payloads[name] = _parse(payload)

    def payload(self, record_id: str) -> dict[str, Any] | None:
        """A record, or None when it is not there or is no JSON object."""
        if record_id not in self._payloads:
            self.fetch([record_id])
        return self._payloads[record_id]

    def node_box(self, record_id: str, value: str, width: int, height: int) -> Box | None:
        """Where a UIA snapshot shows a value, clipped to the frame; None when it does not."""
        for node in uia_nodes(self.payload(record_id) or {}):
            rect = node.get("rect")
            if shows(node, value) and isinstance(rect, list) and len(rect) == 4:
                left, right = (min(max(side, 0), width) for side in rect[0::2])
                top, bottom = (min(max(side, 0), height) for side in rect[1::2])
                if left < right and top < bottom:
                    return left, top, right, bottom
        return None

    def frames_after(self, rowid: int, start: int, end: int) -> int:
        """Count frames that were captured in [start, end) and came after the index had been built."""
        day = timedelta(days=1)  # the text of a time may be in any zone: a day more on both sides
        first, last = from_utc_microseconds(start), from_utc_microseconds(end)
        query = "SELECT ts_utc FROM metadata WHERE rowid > ? AND record_type = ? AND ts_utc >= ? AND ts_utc < ?"
        given = (rowid, FRAME, (first - day).date().isoformat(), (last + 2 * day).date().isoformat())
        return sum(_lies_in(text, start, end) for (text,) in self._connection.execute(query, given))


def uia_nodes(snapshot: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The nodes of a UIA snapshot that are what they should be."""
    for part in ("operables", "focus_path", "context_peers"):
        nodes = snapshot.get(part)
        yield from (node for node in nodes if isinstance(node, dict)) if isinstance(nodes, list) else ()


def shows(node: dict[str, Any], value: str) -> bool:
    """Whether a node's value is this text."""
    return isinstance(node.get("value"), str) and nfc(node["value"]).strip() == value


def _connect(path: Path) -> sqlite3.Connection:
    """A read-only connection that leaves no trace: a WAL database without a log is opened as one that never changes."""
    with path.open("rb") as stream:
        header = stream.read(20)
    log = path.with_name(path.name + "-wal")
    if header[18:19] == bytes([_WAL_FORMAT]) and not (log.exists() and log.stat().st_size):
        return connect_immutable(path)
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _parse(payload: object) -> dict[str, Any] | None:
    try:
        content = orjson.loads(payload) if isinstance(payload, str | bytes) else None
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _lies_in(text: object, start: int, end: int) -> bool:
    try:
        return isinstance(text, str) and start <= utc_microseconds(parse_utc(text)) < end
    except ValueError:
        return False
