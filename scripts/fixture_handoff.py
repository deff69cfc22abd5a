"""Writes handoff dirs as a sidecar does, made of a few small drawn frames."""

from __future__ import annotations

import io
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from pipeline.dataroot import blob_path
from schemas.canonical import canonical_json, payload_hash, sha256_hex
from schemas.fields import parse_utc

FRAME, WINDOW, INPUT = "evidence.capture.frame", "evidence.window.meta", "derived.input.summary"
SIZE = (320, 240)


class Row(NamedTuple):
    """A row of Variant A `[meta-1]`."""

    id: str
    payload: str
    record_type: str
    ts_utc: str
    run_id: str


@dataclass
class Handoff:
    """A handoff dir to be: rows, and files by their path in it."""

    run_id: str
    rows: list[Row] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def row(self, suffix: str) -> Row:
        """The row whose id ends so."""
        (found,) = [row for row in self.rows if row.id.endswith(suffix)]
        return found

    def blob(self, number: int) -> str:
        """The path of a frame's blob."""
        row = self.row(f"{FRAME}/{number}")
        return str(blob_path(self.run_id, row.id, FRAME, parse_utc(row.ts_utc)))

    def put(self, row: Row) -> None:
        """Add a row, or replace the one with its id."""
        self.rows = [item for item in self.rows if item.id != row.id] + [row]

    def write(self, target: Path) -> None:
        """Write the handoff dir anew."""
        create_store(target, self.rows)
        for name, data in self.files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)


def plain_handoff(run_id: str, frames: int = 2, moments: dict[int, str] | None = None) -> Handoff:
    """Make a healthy handoff: a window, an input summary, and frames that show a line of text each."""
    handoff = Handoff(run_id)
    window = {"hwnd": 4711, "pid": 42, "process_path": "/usr/bin/viewer", "rect": [0, 0, *SIZE], "title": "Viewer"}
    start = "2026-04-01T09:00:00.000Z"
    handoff.put(make_row(run_id, WINDOW, 0, start, {"text": "Viewer", "window": window}))
    handoff.put(
        make_row(
            run_id,
            INPUT,
            0,
            start,
            {
                "start_ts_utc": start,
                "end_ts_utc": start,
                "event_id": "0",
                "event_count": 0,
            },
        )
    )
    for number in range(frames):
        moment = (moments or {}).get(number, f"2026-04-01T09:00:0{number + 1}.000Z")
        put_frame(handoff, number, moment, draw_text(f"Page {number + 1} of the manual"))
    return handoff


def put_frame(handoff: Handoff, number: int, moment: str, image: bytes) -> None:
    """Add a frame with its blob."""
    name = f"{handoff.run_id}/{FRAME}/{number}"
    path = str(blob_path(handoff.run_id, name, FRAME, parse_utc(moment)))
    handoff.files[path] = image
    handoff.put(
        make_row(
            handoff.run_id,
            FRAME,
            number,
            moment,
            {
                "blob_path": path,
                "content_hash": sha256_hex(image),
                "content_size": len(image),
                "content_type": "image/png",
                "encoding": "png",
                "width": SIZE[0],
                "height": SIZE[1],
                "input_ref": {"record_id": f"{handoff.run_id}/{INPUT}/0", "idle_seconds": 0, "event_count": 0},
                "window_ref": {"record_id": f"{handoff.run_id}/{WINDOW}/0"},
            },
        )
    )


def make_row(run_id: str, record_type: str, number: int, moment: str, fields: dict[str, Any]) -> Row:
    """Make a row whose payload is canonical JSON with its `payload_hash`."""
    record = {"schema_version": 1, "record_type": record_type, "run_id": run_id, "ts_utc": moment, **fields}
    payload = canonical_json({**record, "payload_hash": payload_hash(record)}).decode()
    return Row(f"{run_id}/{record_type}/{number}", payload, record_type, moment, run_id)


def with_payload(row: Row, payload: str) -> Row:
    """The row with another payload."""
    return row._replace(payload=payload)


def draw_text(text: str) -> bytes:
    """Draw black text on white and give the PNG's bytes."""
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).text((20, 100), text, fill="black", font=ImageFont.load_default(size=26))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def create_store(target: Path, rows: list[Row]) -> None:
    """Create a handoff dir with a `metadata.db` of these rows, in their order."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    connection = open_store(target / "metadata.db")
    insert(connection, rows)
    connection.close()


def open_store(path: Path) -> sqlite3.Connection:
    """Create a Variant A database."""
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
    )
    for column in ("record_type", "ts_utc", "run_id"):
        connection.execute(f"CREATE INDEX idx_metadata_{column} ON metadata({column})")
    connection.commit()
    return connection


def insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Add rows and commit."""
    connection.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
