"""Spools for `bench_ingest`: handoff dirs of frames with rows, blobs of bytes that no two share."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from pipeline.dataroot import blob_path  # noqa: E402
from schemas.canonical import payload_hash  # noqa: E402
from schemas.fields import parse_utc  # noqa: E402

_TABLE = "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
_BLOCK = sha256(b"bench").digest() * 32_768
"""1 MiB; each blob is its beginning with its own number in front."""


def make_handoff(path: Path, first: int, frames: int, blob_bytes: int, other_rows: int = 0) -> None:
    """Write one handoff dir: frames with blobs, each with a window, and as many rows again as asked for."""
    path.mkdir(parents=True)
    made: set[Path] = set()
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_TABLE)
        insert = "INSERT INTO metadata VALUES (?, ?, ?, ?, ?)"
        connection.executemany(insert, _frames(path, first, frames, blob_bytes, made))
        connection.executemany(insert, (_window(first + number) for number in range(other_rows)))


def make_spool(path: Path, handoffs: int, frames: int, blob_bytes: int) -> Path:
    """Write a spool of handoff dirs that share no id."""
    for number in range(handoffs):
        make_handoff(path / f"handoff-{number:06}", number * frames, frames, blob_bytes)
    return path


def _frames(path: Path, first: int, count: int, blob_bytes: int, made: set[Path]) -> Iterator[tuple[str, ...]]:
    for number in range(first, first + count):
        content = number.to_bytes(8, "big") + _BLOCK[: blob_bytes - 8]
        row = _record("evidence.capture.frame", number, {
            "width": 1920, "height": 1080, "content_type": "image/png", "encoding": "png",
            "content_hash": sha256(content).hexdigest(), "content_size": len(content),
            "cursor": {"x": number % 1920, "y": 540, "visible": True},
        })  # fmt: skip
        place = path / blob_path("bench", row[0], row[2], parse_utc(row[3]))
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, content)
        os.close(descriptor)
        yield row


def _window(number: int) -> tuple[str, ...]:
    window = {"title": f"window {number}", "process_path": "/usr/bin/editor", "pid": 4711}
    return _record("evidence.window.meta", number, {"window": window, "content_hash": "0" * 64})


def _record(record_type: str, number: int, fields: dict[str, Any]) -> tuple[str, ...]:
    record_id = f"bench/{record_type}/{number:08}"
    seconds = number // 2 % 86_400
    moment = f"2026-03-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{number % 2 * 500:03}Z"
    body = {"schema_version": 1, "record_type": record_type, "run_id": "bench", "ts_utc": moment, **fields}
    body["payload_hash"] = payload_hash(body)
    return record_id, json.dumps(body), record_type, moment, "bench"
