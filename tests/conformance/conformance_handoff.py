"""Handoffs as a producer writes them, and what to look at in a DataRoot; stands on Python's own library alone.

Nothing here comes from the pipeline: what both sides have to agree on is written down a second time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import unicodedata
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FRAME, WINDOW = "evidence.capture.frame", "evidence.window.meta"
RUN = "run-1"
MOMENT = "2026-03-01T10:00:00.000Z"
VARIANT_A = (
    "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """Canonical JSON `[hash-1]`."""
    return json.dumps(_nfc(value), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _nfc(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {_nfc(key): _nfc(item) for key, item in value.items()}
    return [_nfc(item) for item in value] if isinstance(value, list) else value


def payload_hash(record: dict[str, Any]) -> str:
    """`[hash-2]`."""
    return sha256(canonical({key: item for key, item in record.items() if key != "payload_hash"}))


def rid(text: str) -> str:
    """`[root-1]`."""
    return "rid_" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def blob_place(record_id: str, run_id: str = RUN, moment: str = MOMENT) -> str:
    """`[root-1]`: the date is that of `ts_utc`, in UTC."""
    day = datetime.fromisoformat(moment).astimezone(UTC)
    return f"media/{rid(run_id)}/evidence/{day:%Y/%m/%d}/{rid(record_id)}.blob"


class Handoff:
    """A handoff dir; sealed, so that nobody waits for it to settle, unless it says otherwise."""

    def __init__(self, path: Path, *, run_id: str = RUN, contract: dict[str, Any] | None = None) -> None:
        self.path = path
        self.run_id = run_id
        path.mkdir(parents=True)
        self.execute(VARIANT_A)
        given = {"contract_version": "1.0", "sealed": True} if contract is None else contract
        if given:
            self.file("contract.json", json.dumps(given).encode())

    @property
    def marker(self) -> Path:
        return self.path / "reap_eligible.json"

    def execute(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path / "metadata.db")) as connection, connection:
            connection.execute(statement, values)

    def file(self, relative: str, content: bytes) -> Path:
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def row(self, record_id: str, payload: str, record_type: str, ts_utc: str | None = MOMENT) -> None:
        values = (record_id, payload, record_type, ts_utc, self.run_id)
        self.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", *values)

    def record(self, record_type: str, name: str, *, lacks: str = "", **fields: Any) -> str:
        """Add a record, without the field that it `lacks`."""
        body = {"schema_version": 1, "record_type": record_type, "run_id": self.run_id, "ts_utc": MOMENT, **fields}
        body.pop(lacks, None)
        body.setdefault("payload_hash", payload_hash(body))
        record_id = f"{self.run_id}/{record_type}/{name}"
        self.row(record_id, json.dumps(body), record_type, body.get("ts_utc"))
        return record_id

    def frame(self, name: str, content: bytes | None = None, *, has_blob: bool = True, **fields: Any) -> str:
        """Add a frame with its blob in the canonical place."""
        content = b"\x89PNG\r\n\x1a\n" + name.encode() if content is None else content
        record_id = f"{self.run_id}/{FRAME}/{name}"
        if has_blob:
            self.file(blob_place(record_id, self.run_id, fields.get("ts_utc", MOMENT)), content)
        given = {"width": 8, "height": 6, "content_hash": sha256(content), "content_size": len(content), **fields}
        return self.record(FRAME, name, **given)


def whole_handoff(path: Path, **options: Any) -> Handoff:
    """Two frames that refer to a window, and files that no record names."""
    handoff = Handoff(path, **options)
    window = handoff.record(WINDOW, "0", window={"title": "a"})
    for name in ("0", "1"):
        handoff.frame(name, window_ref={"record_id": window})
    handoff.file("activity/activity_signal.json", b'{"user_active": false}')
    handoff.file("input/keys.log", b"keys")
    return handoff


def files(path: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(item.relative_to(path)): item.read_bytes() for item in sorted(path.rglob("*")) if item.is_file()}


def evidence(root: Path) -> dict[str, bytes]:
    """Every file of a DataRoot but those under `derived/`, which can be rebuilt."""
    return {name: content for name, content in files(root).items() if not name.startswith("derived/")}


def rows(root: Path) -> dict[str, tuple[Any, ...]]:
    """All rows of a DataRoot: id → (payload, record_type, ts_utc, run_id)."""
    if not (root / "metadata.db").exists():
        return {}
    with closing(sqlite3.connect(root / "metadata.db")) as connection:
        query = "SELECT id, payload, record_type, ts_utc, run_id FROM metadata"
        return {row[0]: row[1:] for row in connection.execute(query)}


def of_type(root: Path, record_type: str) -> list[dict[str, Any]]:
    """Payloads of one record type."""
    return [json.loads(row[0]) for row in rows(root).values() if row[1] == record_type]


def journal(root: Path) -> list[bytes]:
    """The lines of a DataRoot's journal."""
    path = root / "journal.ndjson"
    return path.read_bytes().splitlines() if path.exists() else []
