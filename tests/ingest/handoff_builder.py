"""Small handoff dirs for tests, and what to look at afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.dataroot import DataRoot, rid
from pipeline.ingest.drain import DrainResult, drain
from pipeline.ingest.result import HandoffResult
from schemas.canonical import payload_hash

RUN = "run-1"
DAY = "2026-03-01"
PICTURE = b"\x89PNG\r\n\x1a\n picture "
VARIANT_A = (
    "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical_blob(record_id: str, day: str = DAY) -> str:
    """Where a frame's blob belongs, in a handoff and in a DataRoot."""
    return f"media/{rid(RUN)}/evidence/{day.replace('-', '/')}/{rid(record_id)}.blob"


class Handoff:
    """A handoff dir under construction; everything lies on disk at once."""

    def __init__(self, path: Path, schema: str = VARIANT_A) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.execute(schema)

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

    def raw_row(self, record_id: object, payload: object, record_type: object = "x.y", run_id: object = RUN) -> None:
        self.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", record_id, payload, record_type, None, run_id)

    def record(self, record_type: str, name: str, **fields: Any) -> str:
        """Add a record with the fields that every record has; a field given as None is left out."""
        record_id = f"{RUN}/{record_type}/{name}"
        body = {
            "schema_version": 1,
            "record_type": record_type,
            "run_id": RUN,
            "ts_utc": f"{DAY}T10:00:00.000Z",
            **fields,
        }
        body = {key: value for key, value in body.items() if value is not None}
        if "payload_hash" not in fields:
            body["payload_hash"] = payload_hash(body)
        columns = (record_id, json.dumps(body), record_type, body.get("ts_utc"), RUN)
        self.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", *columns)
        return record_id

    def frame(self, name: str, content: bytes | None = None, *, blob: bool = True, **fields: Any) -> str:
        """Add a frame, its blob in the canonical place unless `blob_path` says otherwise."""
        content = PICTURE + name.encode() if content is None else content
        record_id = f"{RUN}/evidence.capture.frame/{name}"
        given = {
            "width": 8,
            "height": 6,
            "content_type": "image/png",
            "content_hash": sha256(content),
            "content_size": len(content),
            "blob_path": canonical_blob(record_id),
            **fields,
        }
        if blob:
            self.file(given["blob_path"] or canonical_blob(record_id), content)
        return self.record("evidence.capture.frame", name, **given)


def whole_handoff(path: Path) -> Handoff:
    """A handoff with everything in it: two frames with references, a window, and files that no record names."""
    handoff = Handoff(path)
    window = handoff.record("evidence.window.meta", "0", window={"title": "a"})
    snapshot = handoff.record("evidence.uia.snapshot", "0", content_hash="c" * 64)
    handoff.frame("0", window_ref={"record_id": window}, uia_ref={"record_id": snapshot})
    handoff.frame("1", window_ref={"record_id": window})
    handoff.file("activity/activity_signal.json", b'{"user_active": false}')
    handoff.file("journal.ndjson", b"{}\n")
    return handoff


def leave_uncheckpointed(handoff: Handoff, journal_mode: str, statement: str, *, commit: bool) -> None:
    """Leave the database as a producer does that dies: its files copied while the connection was open."""
    database = handoff.path / "metadata.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute(statement)
        if commit:
            connection.commit()
        copies = handoff.path.parent / "copies"
        shutil.copytree(handoff.path, copies)
        connection.rollback()
    shutil.rmtree(handoff.path)
    copies.rename(handoff.path)
    (handoff.path / "metadata.db-shm").unlink(missing_ok=True)


def run_ingest(root: Path, *paths: Path, settle_s: float = 0.0, **options: Any) -> DrainResult:
    return drain(DataRoot(root), paths, settle_s=settle_s, **options)


def ingest_one(root: Path, path: Path, **options: Any) -> HandoffResult:
    (result,) = run_ingest(root, path, **options).results
    return result


def rows(root: Path) -> dict[str, Any]:
    """All rows of a DataRoot: id → (payload, record_type, ts_utc, run_id)."""
    if not (root / "metadata.db").exists():
        return {}
    with closing(sqlite3.connect(root / "metadata.db")) as connection:
        return {row[0]: row[1:] for row in connection.execute("SELECT * FROM metadata")}


def of_type(root: Path, record_type: str) -> list[dict[str, Any]]:
    """Payloads of one record type."""
    return [json.loads(row[0]) for row in rows(root).values() if row[1] == record_type]


def tree(path: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def kept(root: Path) -> dict[str, bytes]:
    """Everything in a DataRoot but `derived/`, which holds the lock."""
    return {name: content for name, content in tree(root).items() if not name.startswith("derived/")}


def journal(root: Path) -> list[dict[str, Any]]:
    path = root / "journal.ndjson"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
