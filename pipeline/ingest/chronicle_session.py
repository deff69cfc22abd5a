"""A chronicle session, read as what a stranger wrote, into rows as a handoff has them `[handoff-9]`.

    manifest.json ── clock
    meta/frames.pb.zst ──── evidence.capture.frame, evidence.window.meta
    meta/input.pb.zst ───── derived.input.summary                             → Variant A, in a folder of ours
    meta/detections.pb.zst  derived.chronicle.detections

`read_session` is the one place where a session's bytes are parsed. It needs a folder of its own with copies of these
files, and the digests and first bytes of the pictures: nothing else, so that it can run in a process with limits.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle_clock import FARTHEST_S, SessionClock
from pipeline.ingest.chronicle_input import summarize_input
from pipeline.ingest.chronicle_manifest import (
    COMPLETE,
    MANIFEST,
    manifest_warnings,
    read_complete,
    read_manifest,
    session_clock,
)
from pipeline.ingest.chronicle_records import (
    Unusable,
    artifact_path,
    detection_fields,
    frame_fields,
    make_row,
    record_id,
    window_fields,
)
from pipeline.ingest.chronicle_streams import REMEDY, Budget, read_items
from pipeline.ingest.session_pictures import PNG_HEAD_BYTES, Picture
from pipeline.ingest.snapshot import Findings
from pipeline.stores.metadata import CHUNK, VARIANT_A, MetadataRow
from schemas import chronicle_pb2 as pb
from schemas.chronicle import DETECTIONS
from schemas.record_types import FRAME, INPUT, WINDOW

FRAMES, INPUTS, DETECTED = "meta/frames.pb.zst", "meta/input.pb.zst", "meta/detections.pb.zst"
_MOST_FAULTS = 10_000
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_SECOND_US = 1_000_000
_TOO_FAR = f"its ticks lie more than {FARTHEST_S // 3600} hours from every clock anchor"

Item = TypeVar("Item", pb.FrameMeta, pb.InputEvent, pb.DetectionFrame)


@dataclass
class _Session:
    """What the streams are read with, and what was found on the way."""

    folder: Path
    session_id: str
    clock: SessionClock
    pictures: Mapping[str, Picture]
    budget: Budget
    findings: Findings = field(default_factory=Findings)

    @property
    def run_id(self) -> str:
        return f"session_{self.session_id}"

    def fault(self, subject: str, text: str) -> None:
        if len(self.findings.faults) >= _MOST_FAULTS:
            raise ContractInvalid(f"more than {_MOST_FAULTS} frames of it are faulty", remedy=REMEDY)
        self.findings.faults[subject] = text

    def warn(self, count: int, what: str) -> None:
        if count:
            self.findings.warnings.append(f"{count} {what}")


def read_session(folder: Path, directory: str, pictures: Mapping[str, Picture], database: Path) -> Findings:
    """Read `manifest.json`, `COMPLETE.json` and `meta/` in a folder, and write their records into a new database.

    `directory` is the session directory's name, `pictures` the files below `frames/` by their path. A frame that
    contradicts its picture, or of which nothing can be made, is a fault in what is returned.
    Raises ContractInvalid when the session as a whole cannot be read, OSError, sqlite3.Error.
    """
    manifest = read_manifest(folder / MANIFEST)
    complete = read_complete(folder / COMPLETE, manifest)
    clock = session_clock(manifest)
    budget = Budget(folder / stream for stream in (FRAMES, INPUTS, DETECTED))
    session = _Session(folder, manifest.session_id, clock, pictures, budget)
    session.findings.warnings += manifest_warnings(manifest, clock, directory)
    session.findings.sealed.update({path.replace("\\", "/"): digest for path, digest in complete.files.items()})
    if not (folder / FRAMES).exists():
        raise ContractInvalid(f"no {FRAMES} in it; a chronicle session must have one", remedy=REMEDY)
    counts = complete.counts
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        # Private and made anew after a crash: it need not survive one.
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", VARIANT_A, "BEGIN"):
            connection.execute(statement)
        _fill(connection, FRAMES, _frame_rows(session, _items(session, FRAMES, pb.FrameMeta, counts.frames)))
        _fill(connection, INPUTS, _input_rows(session, _items(session, INPUTS, pb.InputEvent, counts.input_events)))
        detections = _items(session, DETECTED, pb.DetectionFrame, counts.detections)
        _fill(connection, DETECTED, _detection_rows(session, detections))
        session.warn(_count_unmatched(connection), "detections of frames that it does not have")
        connection.execute("COMMIT")
    return session.findings


def _items(session: _Session, stream: str, kind: type[Item], declared: int | None) -> Iterator[Item]:
    """Read a stream's items, all of this session, and as many as the recorder says."""
    path = session.folder / stream
    count = 0
    if path.exists():
        for item in read_items(path, stream, kind, session.budget):
            count += 1
            if item.session_id not in ("", session.session_id):
                raise ContractInvalid(f"{stream} holds an item of another session", remedy=REMEDY)
            yield item
    else:
        session.findings.warnings.append(f"no {stream} in it")
    if declared not in (None, count):
        raise ContractInvalid(f"{stream} holds {count} items; COMPLETE.json says {declared}", remedy=REMEDY)


def _fill(connection: sqlite3.Connection, stream: str, rows: Iterator[MetadataRow]) -> None:
    try:
        while chunk := list(islice(rows, CHUNK)):
            connection.executemany(
                "INSERT INTO metadata VALUES (?, ?, ?, ?, ?)",
                [(row.record_id, row.payload, row.record_type, row.ts_utc, row.run_id) for row in chunk],
            )
    except sqlite3.IntegrityError as error:
        raise ContractInvalid(f"{stream} has two items for one frame_index", remedy=REMEDY) from error


def _frame_rows(session: _Session, metas: Iterable[pb.FrameMeta]) -> Iterator[MetadataRow]:
    used: set[str] = set()
    window: dict[str, Any] | None = None
    reference: dict[str, Any] = {}
    misdated = 0
    for meta in metas:
        frame_id = record_id(session.run_id, FRAME, meta.frame_index)
        moment = session.clock.utc_microseconds(meta.qpc_ticks)
        try:
            fields = _frame_fields(session, frame_id, meta)
        except Unusable as reason:
            session.fault(frame_id, str(reason))
            continue
        if moment is None:
            session.fault(frame_id, _TOO_FAR)
            continue
        used.add(fields["blob_path"])
        misdated += bool(meta.unix_ns) and abs(meta.unix_ns // 1000 - moment) > _SECOND_US
        seen = window_fields(meta.active_window) if meta.HasField("active_window") else None
        if seen is not None and seen != window:
            row = make_row(session.run_id, WINDOW, meta.frame_index, moment, {"window": seen, "text": seen["title"]})
            reference = {"record_id": row.record_id, "ts_utc": row.ts_utc, "window": seen}
            yield row
        window = seen
        named = {"window_ref": reference} if seen is not None else {}
        yield make_row(session.run_id, FRAME, meta.frame_index, moment, {**fields, **named})
    session.warn(misdated, "frames whose unix_ns is more than a second from the time of their ticks")
    session.warn(len(session.pictures.keys() - used), "files in frames/ that no frame names: kept beside")


def _frame_fields(session: _Session, frame_id: str, meta: pb.FrameMeta) -> dict[str, Any]:
    """A frame's fields; a picture that contradicts them is a fault. Raises Unusable."""
    if len(meta.sha256) not in (0, 32):
        raise Unusable(f"its sha256 has {len(meta.sha256)} bytes; expected 32")
    picture = session.pictures.get(artifact_path(meta))
    content_hash = meta.sha256.hex() or (picture.sha256 if picture else "")
    if not content_hash:
        raise Unusable("its picture is missing")
    fields = frame_fields(meta, content_hash)
    if picture is not None:
        size = _png_size(picture.head)
        if size is None:
            session.fault(frame_id, "its picture is no PNG")
        elif size != (meta.width, meta.height):
            session.fault(
                frame_id, f"its PNG has {size[0]}×{size[1]} pixels; its metadata says {meta.width}×{meta.height}"
            )
    return fields


def _input_rows(session: _Session, events: Iterable[pb.InputEvent]) -> Iterator[MetadataRow]:
    undated = 0

    def dated() -> Iterator[tuple[int, pb.InputEvent]]:
        nonlocal undated
        for event in events:
            moment = session.clock.utc_microseconds(event.qpc_ticks)
            undated += moment is None
            if moment is not None:
                yield moment, event

    for number, (moment, fields) in enumerate(summarize_input(dated())):
        yield make_row(session.run_id, INPUT, number, moment, {"event_id": str(number), **fields})
    if undated:
        session.fault(INPUTS, f"{undated} events: their ticks lie more than a day from every clock anchor")


def _detection_rows(session: _Session, detections: Iterable[pb.DetectionFrame]) -> Iterator[MetadataRow]:
    for detection in detections:
        detection_id = record_id(session.run_id, DETECTIONS, detection.frame_index)
        moment = session.clock.utc_microseconds(detection.qpc_ticks)
        try:
            if moment is None:
                raise Unusable(_TOO_FAR)
            fields = detection_fields(detection, record_id(session.run_id, FRAME, detection.frame_index))
        except Unusable as reason:
            session.fault(detection_id, str(reason))
        else:
            yield make_row(session.run_id, DETECTIONS, detection.frame_index, moment, fields)


def _count_unmatched(connection: sqlite3.Connection) -> int:
    query = (
        "SELECT count(*) FROM metadata AS seen WHERE seen.record_type = ?"
        " AND NOT EXISTS (SELECT 1 FROM metadata AS frame WHERE frame.id = replace(seen.id, ?, ?))"
    )
    count: int = connection.execute(query, (DETECTIONS, f"/{DETECTIONS}/", f"/{FRAME}/")).fetchone()[0]
    return count


def _png_size(head: bytes) -> tuple[int, int] | None:
    """Read width and height out of a PNG's first chunk; None for anything else."""
    if len(head) < PNG_HEAD_BYTES or not head.startswith(_PNG_START):
        return None
    width, height, checksum = struct.unpack(">II5xI", head[16:PNG_HEAD_BYTES])
    return (width, height) if zlib.crc32(head[12:29]) == checksum else None
