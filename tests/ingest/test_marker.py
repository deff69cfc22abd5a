"""The marker and its records: written when, and only when, all is safe `[handoff-2]`, `[handoff-5]`, `[handoff-6]`."""

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
    of_type,
    rows,
    sha256,
    tree,
    whole_handoff,
)

from pipeline.dataroot import rid
from pipeline.ingest.result import State
from schemas.canonical import payload_hash
from schemas.handoff import ReapMarker


def marker_of(handoff: Handoff) -> dict[str, Any]:
    marker: dict[str, Any] = json.loads(handoff.marker.read_bytes())
    return marker


def test_everything_of_a_whole_handoff_is_in_the_data_root(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    before = tree(handoff.path)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.ingested
    assert (result.rows, result.inserted, result.identical, result.quarantined) == (4, 4, 0, 0)
    assert (result.frames, result.frames_complete) == (2, 2)
    found = kept(tmp_path / "root")
    frame = f"{RUN}/evidence.capture.frame/0"
    assert found[canonical_blob(frame)] == before[canonical_blob(frame)]
    assert found[f"handoffs/{result.handoff_id}/activity/activity_signal.json"] == b'{"user_active": false}'
    assert found[f"handoffs/{result.handoff_id}/journal.ndjson"] == b"{}\n"
    assert "activity/activity_signal.json" not in found


def test_the_payload_text_is_kept_byte_for_byte(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    text = (
        '{ "schema_version":1,\t"record_type":"x.y", "run_id":"run-1","zz":  "é\\u00e9", "ts_utc":"2026-03-01T10:00Z"}'
    )
    handoff.raw_row(f"{RUN}/x.y/0", text)
    ingest_one(tmp_path / "root", handoff.path)
    assert rows(tmp_path / "root")[f"{RUN}/x.y/0"] == (text, "x.y", None, RUN)


def test_reading_changes_nothing_in_the_handoff_but_the_marker(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    before = tree(handoff.path)
    ingest_one(tmp_path / "root", handoff.path)
    after = tree(handoff.path)
    assert after.keys() - before.keys() == {"reap_eligible.json"}
    assert {name: after[name] for name in before} == before


def test_the_marker_holds_what_the_contract_says(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    marker = marker_of(handoff)
    ReapMarker.model_validate(marker)
    assert marker["schema"] == "autocapture.handoff.reap_eligible.v1"
    assert marker["handoff_root"] == str(handoff.path)
    assert marker["dest_data_root"] == str(tmp_path / "root")
    assert marker["ingest_run_id"].startswith("ingest_")
    assert marker["counts"]["metadata_rows_copied"] == 4
    assert marker["counts"]["media_files_linked"] == 2
    assert marker["counts"]["media_files_copied"] == 0
    assert result.handoff_id == f"h-{marker['integrity']['handoff_manifest_sha256'][:16]}"


def test_the_completion_record_and_the_journal_event_tell_of_the_handoff(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    manifest = marker_of(handoff)["integrity"]["handoff_manifest_sha256"]
    (completed,) = of_type(tmp_path / "root", "system.ingest.handoff.completed")
    assert f"system.ingest/system.ingest.handoff.completed/{manifest}" in rows(tmp_path / "root")
    assert completed["handoff_id"] == result.handoff_id
    assert completed["errors"] == []
    assert completed["payload_hash"] == payload_hash(completed)
    (event,) = journal(tmp_path / "root")
    assert event["event_id"] == f"system.ingest/handoff.completed/{manifest}"
    assert event["payload"]["counts"] == completed["counts"]
    assert (event["sequence"], event["run_id"], event["event_type"]) == (0, "system.ingest", completed["record_type"])


def test_each_complete_frame_gets_its_two_records(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0")
    ingest_one(tmp_path / "root", handoff.path)
    found = rows(tmp_path / "root")
    complete = json.loads(found[f"{RUN}/derived.ingest.stage1.complete/{rid(frame)}"][0])
    eligible = json.loads(found[f"{RUN}/retention.eligible/{rid(frame)}"][0])
    assert (complete["source_record_id"], complete["source_record_type"]) == (frame, "evidence.capture.frame")
    assert complete["complete"] is True
    assert eligible["stage1_contract_validated"] is True
    assert eligible["quarantine_pending"] is False
    assert eligible["payload_hash"] == payload_hash(eligible)


def test_a_frame_whose_reference_does_not_resolve_is_kept_and_is_not_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", window_ref={"record_id": f"{RUN}/evidence.window.meta/nowhere"})
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames, result.frames_complete) == (State.ingested, 1, 0)
    assert frame in rows(tmp_path / "root")
    assert of_type(tmp_path / "root", "retention.eligible") == []


def test_a_reference_may_resolve_in_the_data_root(tmp_path: Path) -> None:
    earlier = Handoff(tmp_path / "a")
    window = earlier.record("evidence.window.meta", "0", window={"title": "a"})
    later = Handoff(tmp_path / "b")
    later.frame("0", window_ref={"record_id": window})
    ingest_one(tmp_path / "root", earlier.path)
    assert ingest_one(tmp_path / "root", later.path).frames_complete == 1


@pytest.mark.parametrize("reference", [{"record_id": 7}, {}, "text"])
def test_a_damaged_reference_leaves_the_frame_incomplete(tmp_path: Path, reference: object) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", cursor_ref=reference)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames_complete) == (State.ingested, 0)


def test_a_rerun_does_nothing_and_writes_the_same_marker_again(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    marker, before = handoff.marker.read_bytes(), kept(tmp_path / "root")
    handoff.marker.unlink()
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.inserted, result.identical) == (State.already, 0, 4)
    assert handoff.marker.read_bytes() == marker
    assert kept(tmp_path / "root") == before


def test_a_marker_that_was_tampered_with_is_put_right(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    marker = handoff.marker.read_bytes()
    handoff.marker.write_bytes(marker.replace(b'"metadata_rows_copied":4', b'"metadata_rows_copied":9'))
    assert ingest_one(tmp_path / "root", handoff.path).state is State.already
    assert handoff.marker.read_bytes() == marker


def test_a_marked_handoff_is_recognised_without_reading_its_files(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows, result.identical) == (State.already, 4, 4)
    assert result.frames is None


def test_rows_added_after_the_marker_are_ingested_under_a_new_manifest(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    first = ingest_one(tmp_path / "root", handoff.path)
    handoff.frame("2")
    second = ingest_one(tmp_path / "root", handoff.path)
    assert (second.state, second.inserted, second.identical) == (State.ingested, 1, 4)
    assert second.handoff_id != first.handoff_id
    assert marker_of(handoff)["counts"]["metadata_rows_copied"] == 5


def test_an_old_marker_is_taken_back_when_the_handoff_turned_bad(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    handoff.frame("2", blob=False)
    assert ingest_one(tmp_path / "root", handoff.path).state is State.rejected
    assert not handoff.marker.exists()


def test_a_marker_of_another_data_root_is_left_alone_when_the_handoff_is_rejected(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "a", handoff.path)
    other = Handoff(tmp_path / "other")
    other.frame("0", b"another picture")
    ingest_one(tmp_path / "b", other.path)
    marker = handoff.marker.read_bytes()
    assert ingest_one(tmp_path / "b", handoff.path).state is State.rejected
    assert handoff.marker.read_bytes() == marker


def test_a_blob_lost_from_the_data_root_is_put_back_before_it_is_marked_again(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", b"picture")
    ingest_one(tmp_path / "root", handoff.path)
    (tmp_path / "root" / canonical_blob(frame)).unlink()
    handoff.marker.unlink()
    ingest_one(tmp_path / "root", handoff.path)
    assert sha256((tmp_path / "root" / canonical_blob(frame)).read_bytes()) == sha256(b"picture")
    assert handoff.marker.exists()


@pytest.mark.parametrize(
    "record_id",
    [
        "system.ingest/system.ingest.handoff.completed/" + "0" * 64,
        "run-1/derived.ingest.stage1.complete/x",
        "run-1/retention.eligible/x",
    ],
)
def test_a_handoff_cannot_bring_records_that_only_stage_1_writes(tmp_path: Path, record_id: str) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.raw_row(record_id, "{}")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert "only Stage 1 may write" in result.error
