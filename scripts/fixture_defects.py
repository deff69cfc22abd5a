"""Handoff dirs named by their one defect, each written from a healthy one."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from fixture_handoff import (
    FRAME,
    Handoff,
    insert,
    make_row,
    open_store,
    plain_handoff,
    put_frame,
    with_payload,
)
from fixture_wal import fix_salts

from schemas.canonical import canonical_json, payload_hash


def write_defects(fixtures: Path) -> None:
    """Write every fixture that is named by its defect, and the healthy `plain`."""
    for write in WRITERS:
        name = write.__name__.removeprefix("_")
        write(plain_handoff(f"fixture-{name}"), fixtures / name)


def _plain(handoff: Handoff, target: Path) -> None:
    handoff.write(target)


def _torn_write(handoff: Handoff, target: Path) -> None:
    whole = handoff.files[handoff.blob(1)]
    handoff.files[handoff.blob(1)] = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    handoff.write(target)


def _damaged_png(handoff: Handoff, target: Path) -> None:
    whole = handoff.files[handoff.blob(1)]
    put_frame(handoff, 1, handoff.row(f"{FRAME}/1").ts_utc, whole[: len(whole) // 2])
    handoff.write(target)


def _missing_blob(handoff: Handoff, target: Path) -> None:
    del handoff.files[handoff.blob(1)]
    handoff.write(target)


def _symlink_blob(handoff: Handoff, target: Path) -> None:
    blob = handoff.blob(1)
    handoff.files["elsewhere.png"] = handoff.files.pop(blob)
    handoff.write(target)
    (target / blob).symlink_to("../" * (blob.count("/")) + "elsewhere.png")


def _not_sqlite(handoff: Handoff, target: Path) -> None:
    handoff.write(target)
    (target / "metadata.db").write_bytes(b"This file is no database.\n" * 40)


def _view_named_metadata(handoff: Handoff, target: Path) -> None:
    handoff.write(target)
    connection = sqlite3.connect(target / "metadata.db", isolation_level=None)
    connection.execute("DROP TABLE metadata")
    connection.execute(
        "CREATE VIEW metadata AS WITH RECURSIVE forever(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM forever)"
        " SELECT 'fixture-view/' || n AS id, '{}' AS payload, 'evidence.window.meta' AS record_type,"
        " '2026-04-01T09:00:00.000Z' AS ts_utc, 'fixture-view' AS run_id FROM forever"
    )
    connection.execute("VACUUM")
    connection.close()


def _unreadable_payload(handoff: Handoff, target: Path) -> None:
    row = handoff.row(f"{FRAME}/1")
    handoff.put(with_payload(row, row.payload[: len(row.payload) // 2]))
    handoff.write(target)


def _year_one(handoff: Handoff, target: Path) -> None:
    plain_handoff(handoff.run_id, moments={1: "0001-01-01T00:00:00.000Z"}).write(target)


def _unknown_record_type(handoff: Handoff, target: Path) -> None:
    moment = "2026-04-01T09:00:03.000Z"
    handoff.put(make_row(handoff.run_id, "evidence.hologram", 0, moment, {"depth_mm": 40, "labels": ["é", "z"]}))
    handoff.write(target)


def _no_frames(handoff: Handoff, target: Path) -> None:
    plain_handoff(handoff.run_id, frames=0).write(target)


def _conflicting_row(_: Handoff, target: Path) -> None:
    handoff = plain_handoff("fixture-plain")
    row = handoff.row(f"{FRAME}/1")
    record = {**json.loads(row.payload), "cursor": {"x": 1, "y": 2, "visible": True}}
    handoff.put(with_payload(row, canonical_json({**record, "payload_hash": payload_hash(record)}).decode()))
    handoff.write(target)


def _wal_left_behind(handoff: Handoff, target: Path) -> None:
    late = handoff.row(f"{FRAME}/1")
    handoff.write(target)
    with tempfile.TemporaryDirectory() as folder:
        connection = open_store(Path(folder, "metadata.db"))
        insert(connection, [row for row in handoff.rows if row.id != late.id])
        connection.execute("PRAGMA journal_mode = WAL")
        insert(connection, [late])
        (target / "metadata.db").write_bytes(Path(folder, "metadata.db").read_bytes())
        (target / "metadata.db-wal").write_bytes(fix_salts(Path(folder, "metadata.db-wal").read_bytes()))
        connection.close()


WRITERS: tuple[Callable[[Handoff, Path], None], ...] = (
    _plain,
    _torn_write,
    _damaged_png,
    _missing_blob,
    _symlink_blob,
    _not_sqlite,
    _view_named_metadata,
    _unreadable_payload,
    _year_one,
    _unknown_record_type,
    _no_frames,
    _conflicting_row,
    _wal_left_behind,
)
