"""Batches out of zstd streams: whole, in pieces, in any bytes at all."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from chronicle_builder import START_NS, Session, mouse, png, ticks, whole_session, zstd
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle_session import read_session
from pipeline.ingest.chronicle_streams import Budget, read_items
from pipeline.ingest.session_pictures import Picture
from schemas import chronicle_pb2 as pb
from schemas.canonical import payload_hash
from schemas.fields import parse_utc


def written(folder: Path, data: bytes) -> Path:
    path = folder / "input.pb.zst"
    path.write_bytes(data)
    return path


def numbers(path: Path) -> list[int]:
    return [event.event_index for event in read_items(path, "meta/input.pb.zst", pb.InputEvent, Budget([path]))]


def batch(*indexes: int) -> bytes:
    return pb.InputEventBatch(items=[pb.InputEvent(event_index=index) for index in indexes]).SerializeToString()


def test_batches_and_zstd_frames_that_follow_one_another_are_one(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"
    data = zstd.compress(batch(1, 2) + batch(3)) + skippable + zstd.compress(b"") + zstd.compress(batch(4))
    assert numbers(written(tmp_path, data)) == [1, 2, 3, 4]


def test_an_item_may_lie_across_all_borders(tmp_path: Path) -> None:
    events = [
        pb.InputEvent(event_index=index, device_id="x" * size) for index, size in enumerate((900_000, 3, 300_000))
    ]
    raw = pb.InputEventBatch(items=events).SerializeToString()
    data = b"".join(zstd.compress(raw[start : start + 99_991]) for start in range(0, len(raw), 99_991))
    path = written(tmp_path, data)
    found = list(read_items(path, "x", pb.InputEvent, Budget([path])))
    assert [(event.event_index, len(event.device_id)) for event in found] == [(0, 900_000), (1, 3), (2, 300_000)]


def test_reading_is_given_up_after_its_time(tmp_path: Path) -> None:
    clock = iter([0.0, *[7.0] * 5, *[9.0] * 1000])
    path = written(tmp_path, zstd.compress(batch(*range(20_000))))
    budget = Budget([path], cpu_time=lambda: next(clock))
    with pytest.raises(ContractInvalid, match=re.escape("meta/x takes too long to read: it was given up")):
        list(read_items(path, "meta/x", pb.InputEvent, budget))


def test_what_lies_before_the_damage_is_not_believed_either(tmp_path: Path) -> None:
    path = written(tmp_path, zstd.compress(batch(*range(50_000)))[:-20])
    with pytest.raises(ContractInvalid):
        numbers(path)


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_are_items_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        for content in (data, zstd.compress(data)):
            path = written(Path(folder), content)
            for kind in (pb.FrameMeta, pb.InputEvent, pb.DetectionFrame):
                assert read_or_refuse(path, kind) in (True, False)


def read_or_refuse(path: Path, kind: type[Message]) -> bool:
    try:
        return all(isinstance(item, kind) for item in read_items(path, "x", kind, Budget([path])))
    except ContractInvalid as error:
        return not error.message


RECTS = st.builds(pb.RectI32, x=st.integers(-(2**31), 2**31 - 1), w=st.integers(-(2**31), 2**31 - 1))
WINDOWS = st.builds(
    pb.ActiveWindow, title=st.text(max_size=9), pid=st.integers(-(2**63), 2**63 - 1), rect=RECTS, hwnd=st.integers(0, 9)
)
FRAMES = st.builds(
    pb.FrameMeta,
    session_id=st.sampled_from(["", "", "s", "other"]),
    frame_index=st.integers(0, 3) | st.integers(0, 2**64 - 1),
    qpc_ticks=st.integers(ticks(-5), ticks(5)) | st.integers(-(2**63), 2**63 - 1),
    unix_ns=st.integers(-(2**63), 2**63 - 1),
    width=st.just(4) | st.integers(0, 2**32 - 1),
    height=st.just(3),
    desktop_rect=RECTS,
    dirty_rects=st.lists(RECTS, max_size=2),
    dpi=st.builds(pb.DpiInfo, scale_x=st.floats(width=32)),
    artifact_path=st.sampled_from(["", "frames/a.png", "frames\\a.png", "../a.png"]) | st.text(max_size=9),
    sha256=st.sampled_from([b"", bytes(32), b"x"]),
    active_window=st.none() | WINDOWS,
)
EVENTS = st.builds(
    pb.InputEvent,
    qpc_ticks=st.integers(ticks(-5), ticks(500)) | st.integers(-(2**63), 2**63 - 1),
    device_id=st.text(max_size=2),
    mouse=st.builds(pb.MouseEvent, buttons=st.integers(0, 2**32 - 1), wheel_delta=st.integers(-(2**31), 2**31 - 1)),
)
DETECTIONS = st.builds(
    pb.DetectionFrame,
    frame_index=st.integers(0, 2**64 - 1),
    qpc_ticks=st.integers(ticks(-5), ticks(500)),
    elements=st.lists(
        st.builds(
            pb.UiElement, type=st.integers(0, 2**31 - 1), confidence=st.floats(width=32), text=st.text(max_size=5)
        ),
        max_size=3,
    ),
)
USUAL = {"session_id": "s", "qpc_frequency_hz": 10_000_000, "start_qpc_ticks": ticks(0), "start_unix_ns": START_NS}
MANIFESTS = st.just(USUAL) | st.fixed_dictionaries(
    {"session_id": st.just("s")},
    optional={
        "qpc_frequency_hz": st.just(10_000_000) | st.sampled_from([1, 0, -1, 2**62]),
        "start_unix_ns": st.just(START_NS) | st.integers(-(2**63), 2**63 - 1),
        "start_qpc_ticks": st.just(ticks(0)) | st.integers(-(2**63), 2**63 - 1),
        "end_unix_ns": st.integers(START_NS, START_NS + 10**12) | st.integers(-(2**63), 2**63 - 1),
        "end_qpc_ticks": st.integers(ticks(0), ticks(5000)) | st.integers(-(2**63), 2**63 - 1),
        "config_json": st.text(max_size=5),
    },
)


@settings(max_examples=80)
@given(
    MANIFESTS,
    st.lists(FRAMES, max_size=4),
    st.lists(EVENTS, max_size=5),
    st.lists(DETECTIONS, max_size=2),
    st.none() | st.tuples(st.integers(0, 400), st.integers(0, 255)),
)
def test_any_session_is_read_or_refused_in_words(
    manifest: dict[str, object],
    frames: list[pb.FrameMeta],
    events: list[pb.InputEvent],
    detections: list[pb.DetectionFrame],
    flipped: tuple[int, int] | None,
) -> None:
    with TemporaryDirectory() as folder:
        session = Session(Path(folder) / "session_s")
        session.manifest, session.frames, session.events, session.detections = manifest, frames, events, detections
        session.write()
        if flipped is not None:
            flip(session.path / "meta/frames.pb.zst", *flipped)
        pictures = {"frames/a.png": Picture("0" * 64, png()[:33])}
        assert is_read_or_refused(session.path, pictures, Path(folder) / "rows.db")


def is_read_or_refused(session: Path, pictures: dict[str, Picture], database: Path) -> bool:
    """Read a session; tells whether a refusal is in words, or all that was read is in order."""
    try:
        findings = read_session(session, "session_s", pictures, database)
    except ContractInvalid as error:
        return bool(error.message and error.remedy)
    return all(findings.faults.values()) and all(is_in_order(row) for row in read_rows(database))


def read_rows(database: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT * FROM metadata").fetchall()


def is_in_order(row: tuple[str, ...]) -> bool:
    record = json.loads(row[1])
    same = [record[name] for name in ("record_type", "ts_utc", "run_id")] == list(row[2:])
    named = row[0].startswith(f"session_s/{row[2]}/")
    return same and named and record["payload_hash"] == payload_hash(record) and parse_utc(row[3]).year >= 1999


def flip(path: Path, position: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= value
    path.write_bytes(data)


def test_a_long_session_is_read_item_by_item(tmp_path: Path) -> None:
    session = whole_session(tmp_path / "session_long")
    session.frames = [
        pb.FrameMeta(frame_index=index, qpc_ticks=ticks(index), width=4, height=3, artifact_path="frames/a.png")
        for index in range(10_000)
    ]
    session.events = [mouse(index / 100, index % 500, 7) for index in range(10_000)]
    session.write()
    pictures = {"frames/a.png": Picture("0" * 64, png()[:33])}
    findings = read_session(session.path, "session_long", pictures, tmp_path / "rows.db")
    assert (findings.faults, len(findings.warnings)) == ({}, 1)
    assert Counter(row[2] for row in read_rows(tmp_path / "rows.db")) == {
        "evidence.capture.frame": 10_000,
        "derived.input.summary": 2,
        "derived.chronicle.detections": 1,
    }
