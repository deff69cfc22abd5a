"""A DataRoot as a sidecar fills it directly, to break one thing at a time."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.dataroot import DataRoot, rid
from pipeline.reports.deep.examine import examine_deeply
from pipeline.reports.deep.findings import Findings
from schemas.canonical import canonical_json, ledger_entry_hash, payload_hash
from schemas.contract_version import CONTRACT_VERSION

RUN = "run-1"
FRAME, WINDOW = "evidence.capture.frame", "evidence.window.meta"
A = "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
B = "CREATE TABLE records(id TEXT, record_type TEXT, ts_utc TEXT, json TEXT)"
MOMENT = "2026-03-01T10:00:00.000Z"


class Silent:
    """Progress that nobody looks at."""

    def start(self, stage: str, total: int) -> None: ...
    def advance(self, count: int) -> None: ...


class SidecarRoot:
    """Everything lies on disk at once."""

    def __init__(self, path: Path, schema: str = A) -> None:
        self.path = path
        self.table = "records" if schema == B else "metadata"
        path.mkdir(parents=True)
        self.execute(schema)

    @property
    def root(self) -> DataRoot:
        return DataRoot(self.path)

    def execute(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path / "metadata.db")) as connection, connection:
            connection.execute(statement, values)

    def file(self, relative: str, content: bytes) -> Path:
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def row(self, record_id: object, payload: object, record_type: object, ts_utc: object = MOMENT) -> None:
        if self.table == "records":
            self.execute("INSERT INTO records VALUES (?, ?, ?, ?)", record_id, record_type, ts_utc, payload)
        else:
            self.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", record_id, payload, record_type, ts_utc, RUN)

    def record(self, record_type: str, name: str, **fields: Any) -> str:
        """Add a record; a field given as None is left out."""
        body = {"schema_version": 1, "record_type": record_type, "run_id": RUN, "ts_utc": MOMENT, **fields}
        body = {key: value for key, value in body.items() if value is not None}
        if "payload_hash" not in fields:
            body["payload_hash"] = payload_hash(body)
        record_id = f"{RUN}/{record_type}/{name}"
        self.row(record_id, json.dumps(body), record_type, body.get("ts_utc"))
        return record_id

    def blob(self, name: str, moment: str = MOMENT) -> Path:
        """Where a frame's blob belongs."""
        day = moment[:10].replace("-", "/")
        return self.path / "media" / rid(RUN) / "evidence" / day / f"{rid(f'{RUN}/{FRAME}/{name}')}.blob"

    def frame(self, name: str, *, has_blob: bool = True, **fields: Any) -> str:
        """Add a frame and its blob."""
        content = b"\x89PNG\r\n\x1a\n" + name.encode()
        blob = self.blob(name, fields.get("ts_utc", MOMENT))
        if has_blob:
            self.file(str(blob.relative_to(self.path)), content)
        given = {"width": 8, "height": 6, "content_hash": sha256(content), "content_size": len(content), **fields}
        return self.record(FRAME, name, **given)

    def journal(self, *sequences: int, path: str = "journal.ndjson", **fields: Any) -> Path:
        """Write a journal with these sequence numbers."""
        return self.file(path, b"".join(canonical_json(event(item, **fields)) + b"\n" for item in sequences))

    def ledger(self, entries: int, path: str = "ledger.ndjson") -> list[dict[str, Any]]:
        """Write a sound ledger and give its entries, to be broken and written again."""
        found: list[dict[str, Any]] = []
        for number in range(entries):
            entry: dict[str, Any] = {
                "record_type": "ledger.entry",
                "schema_version": 1,
                "entry_id": f"e{number}",
                "ts_utc": MOMENT,
                "stage": "capture",
                "inputs": [],
                "outputs": [],
                "policy_snapshot_hash": "0" * 64,
                "prev_hash": found[-1]["entry_hash"] if found else None,
            }
            found.append({**entry, "entry_hash": ledger_entry_hash(entry)})
        self.write_ledger(found, path)
        return found

    def write_ledger(self, entries: list[dict[str, Any]], path: str = "ledger.ndjson") -> None:
        self.file(path, b"".join(canonical_json(entry) + b"\n" for entry in entries))

    def signal(self, **fields: Any) -> Path:
        """Put the activity signal in place as a producer does."""
        content = {"ts_utc": datetime.now(UTC).isoformat(), "idle_seconds": 9, "user_active": False, "seq": 1, **fields}
        path = self.file("activity/.new", json.dumps(content).encode())
        target = path.with_name("activity_signal.json")
        path.rename(target)
        return target

    def examine(self, sample: int | None = None) -> Findings:
        return examine_deeply(self.root, Silent(), sample=sample)

    def codes(self) -> dict[str, list[str]]:
        """The codes of all findings, with their examples."""
        found = self.examine()
        return {item.code: item.examples for level in ("failure", "warning") for item in found.reasons(level)}


def event(sequence: int, **fields: Any) -> dict[str, Any]:
    return {"schema_version": 1, "event_id": f"{RUN}/{sequence}", "sequence": sequence, "ts_utc": MOMENT, "tzid": "UTC",
            "offset_minutes": 0, "event_type": "capture.started", "payload": {}, "run_id": RUN, **fields}  # fmt: skip


def whole_root(path: Path, schema: str = A) -> SidecarRoot:
    """A DataRoot in which nothing is wrong, its signal fresh."""
    root = SidecarRoot(path, schema)
    window = root.record(WINDOW, "0", window={"title": "a"})
    root.frame("0", window_ref={"record_id": window})
    root.frame("1", window_ref={"record_id": window})
    root.journal(0, 1, 2)
    root.ledger(3)
    snapshot = canonical_json({"schema_version": 1, "record_type": "evidence.uia.snapshot", "run_id": RUN})
    root.file("uia/latest.snap.json", snapshot)
    root.file("uia/latest.snap.sha256", sha256(snapshot).encode() + b"\n")
    root.file("contract.json", json.dumps({"contract_version": CONTRACT_VERSION}).encode())
    root.signal(ts_utc=MOMENT)
    return root


def content(path: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a directory, its content and when it was written."""
    files = (item for item in sorted(path.rglob("*")) if item.is_file())
    return {os.fspath(item.relative_to(path)): (item.read_bytes(), item.stat().st_mtime_ns) for item in files}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
