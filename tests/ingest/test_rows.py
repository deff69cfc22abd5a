"""Rows are added, never changed; what is wrong with one does not lose it `[handoff-3]`, `[meta-3]`, `[meta-4]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import (
    RUN,
    Handoff,
    canonical_blob,
    ingest_one,
    journal,
    kept,
    rows,
    tree,
    whole_handoff,
)

from pipeline.ingest.result import State

FRAME_ID = f"{RUN}/evidence.capture.frame/0"


def conflicting_pair(tmp_path: Path) -> tuple[Handoff, Handoff]:
    """Two handoffs with the same frame id and other payloads; the second has one more row."""
    first, second = Handoff(tmp_path / "first"), Handoff(tmp_path / "second")
    first.frame("0", b"one")
    second.frame("0", b"two")
    second.frame("1", b"three")
    return first, second


def test_rows_that_are_there_already_are_a_no_op(tmp_path: Path) -> None:
    first, second = whole_handoff(tmp_path / "a"), whole_handoff(tmp_path / "b")
    second.frame("2")
    ingest_one(tmp_path / "root", first.path)
    result = ingest_one(tmp_path / "root", second.path)
    assert (result.state, result.rows, result.inserted, result.identical) == (State.ingested, 5, 1, 4)


def test_a_conflicting_row_rejects_the_handoff_and_nothing_changes(tmp_path: Path) -> None:
    first, second = conflicting_pair(tmp_path)
    ingest_one(tmp_path / "root", first.path)
    before, source = tree(tmp_path / "root"), tree(second.path)
    result = ingest_one(tmp_path / "root", second.path)
    assert (result.state, int(result.exit_code)) == (State.rejected, 4)
    assert FRAME_ID in result.error
    assert "--no-strict" in result.remedy
    assert (tree(tmp_path / "root"), tree(second.path)) == (before, source)


def test_no_strict_quarantines_the_conflicting_row_keeps_the_rest_and_writes_no_marker(tmp_path: Path) -> None:
    first, second = conflicting_pair(tmp_path)
    ingest_one(tmp_path / "root", first.path)
    result = ingest_one(tmp_path / "root", second.path, strict=False)
    assert (result.state, result.rows) == (State.partial, 2)
    assert (result.inserted, result.identical, result.quarantined) == (1, 0, 1)
    assert not second.marker.exists()
    (file,) = (tmp_path / "root/derived/quarantine" / result.handoff_id).iterdir()
    quarantined = json.loads(file.read_bytes())
    assert quarantined["id"] == FRAME_ID
    assert json.loads(quarantined["payload"])["content_size"] == 3
    found = kept(tmp_path / "root")
    assert found[canonical_blob(FRAME_ID)] == b"one"
    assert found[f"handoffs/{result.handoff_id}/{canonical_blob(FRAME_ID)}"] == b"two"


def test_a_partial_handoff_is_the_same_on_a_rerun(tmp_path: Path) -> None:
    first, second = conflicting_pair(tmp_path)
    ingest_one(tmp_path / "root", first.path)
    ingest_one(tmp_path / "root", second.path, strict=False)
    before = tree(tmp_path / "root")
    result = ingest_one(tmp_path / "root", second.path, strict=False)
    assert (result.inserted, result.identical, result.quarantined) == (0, 1, 1)
    assert len(journal(tmp_path / "root")) == 2
    assert tree(tmp_path / "root") == before


@pytest.mark.parametrize(
    "payload",
    [
        "{not json",
        "[1, 2]",
        '"text"',
        "",
        "{}",
        '{"schema_version": 2, "record_type": "x.y", "run_id": "run-1", "ts_utc": "2026-03-01T10:00:00Z"}',
        '{"schema_version": 1, "record_type": "x.y", "run_id": 7, "ts_utc": "2026-03-01T10:00:00Z"}',
        '{"schema_version": 1, "record_type": "x.y", "run_id": "run-1"}',
        '{"schema_version": 1, "record_type": "x.y", "run_id": "run-1", "ts_utc": "2026-03-01T10:00:00Z"}',
        '{"a": "\\ud800"}',
        '{"a": 1, "a": 2}',
        "[" * 5000 + "]" * 5000,
        '{"a":' * 900 + "1" + "}" * 900,
    ],
)
def test_a_row_that_is_no_whole_record_is_kept_and_counted_and_the_rest_goes_on(tmp_path: Path, payload: str) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.raw_row(f"{RUN}/x.y/0", payload)
    handoff.frame("0")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows, result.inserted) == (State.ingested, 2, 2)
    assert (result.incomplete, result.frames_complete) == (1, 1)
    assert "incomplete row" in result.warnings[0]
    assert rows(tmp_path / "root")[f"{RUN}/x.y/0"][0] == payload
    assert handoff.marker.exists()


def test_a_payload_that_is_not_utf_8_is_kept_byte_for_byte(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.execute("INSERT INTO metadata VALUES (?, CAST(? AS TEXT), 'x', NULL, NULL)", f"{RUN}/x/0", b'{"a": "\xff"}')
    handoff.raw_row(f"{RUN}/x/1", b"\x00\xfe")
    handoff.raw_row(f"{RUN}/x/2", "{}")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.incomplete) == (State.ingested, 3)
    assert rows(tmp_path / "root")[f"{RUN}/x/0"][0] == b'{"a": "\xff"}'
    assert rows(tmp_path / "root")[f"{RUN}/x/1"][0] == b"\x00\xfe"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": None}, "width"),
        ({"width": "8"}, "width"),
        ({"content_hash": "ABC"}, "content_hash"),
        ({"ts_utc": "0000-01-01T00:00:00Z"}, "time"),
        ({"ts_utc": "yesterday"}, "time"),
        ({"ts_utc": "2026-03-01T10:00:00"}, "time"),
        ({"ts_utc": "0001-01-01T00:00:00+14:00"}, "time"),
        ({"run_id": "run-2"}, "begin with its run_id"),
    ],
)
def test_the_blob_of_an_incomplete_frame_is_kept_with_the_handoff(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture", **fields)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.incomplete, result.frames, result.frames_complete) == (State.ingested, 1, 1, 0)
    assert reason in result.warnings[0]
    assert kept(tmp_path / "root")[f"handoffs/{result.handoff_id}/{canonical_blob(FRAME_ID)}"] == b"picture"


def test_a_damaged_optional_field_is_a_warning(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", cursor={"x": "left"})
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.incomplete, result.frames_complete) == (0, 1)
    assert "cursor" in result.warnings[0]


def test_a_frame_from_year_1_is_ingested_with_a_warning(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", b"old", ts_utc="0001-02-03T00:00:00.000Z")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.frames_complete == 1
    assert "year 1" in result.warnings[0]
    assert kept(tmp_path / "root")[canonical_blob(frame, "0001-02-03")] == b"old"


def test_a_payload_hash_that_does_not_match_keeps_the_frame_from_being_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", payload_hash="0" * 64)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames_complete) == (State.ingested, 0)
    assert "payload_hash does not match" in result.warnings[0]


def test_the_payload_hash_of_a_payload_with_a_float_is_unverifiable(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", payload_hash="0" * 64, scale=1.5)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames_complete) == (State.ingested, 1)
    assert "unverifiable" in result.warnings[0]


def test_an_unknown_record_type_is_carried_untouched(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    record = handoff.record("evidence.brain.wave", "0", hertz=40)
    handoff.file("contract.json", b'{"contract_version": "1.0"}')
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.warning_count, result.incomplete) == (0, 0)
    assert json.loads(rows(tmp_path / "root")[record][0])["hertz"] == 40


def test_a_record_with_start_and_end_instead_of_ts_utc_is_whole(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    times = {"start_ts_utc": "2026-03-01T10:00:00Z", "end_ts_utc": "2026-03-01T10:01:00Z"}
    handoff.record("derived.input.summary", "0", ts_utc=None, **times)
    assert ingest_one(tmp_path / "root", handoff.path).incomplete == 0


def test_columns_that_contradict_the_payload_are_reported(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0")
    handoff.execute("UPDATE metadata SET record_type = 'evidence.window.meta'")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.frames == 1
    assert "record_type" in result.warnings[0]


def test_a_handoff_without_rows_is_whole(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows) == (State.ingested, 0)
    assert handoff.marker.exists()


def test_ids_with_control_characters_and_nul_are_carried(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    record = handoff.record("x.y", "a\x00b\x1b[31m")
    assert ingest_one(tmp_path / "root", handoff.path).inserted == 1
    assert record in rows(tmp_path / "root")


def test_a_frame_id_too_long_for_a_file_name_is_an_incomplete_row(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("n" * 300, blob=False)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.incomplete) == (State.ingested, 1)
    assert "too long" in result.warnings[0]
