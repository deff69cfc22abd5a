"""From a handoff dir to the marker, rule by rule `[handoff-1]`–`[handoff-8]`, `[handoff-11]`."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance_handoff import (
    FRAME,
    RUN,
    WINDOW,
    Handoff,
    blob_place,
    canonical,
    evidence,
    files,
    journal,
    of_type,
    payload_hash,
    rows,
    whole_handoff,
)
from conformance_stage1 import stage1

COMPLETED = "system.ingest.handoff.completed"
STAGE1_COMPLETE, RETENTION = "derived.ingest.stage1.complete", "retention.eligible"
MODEL_CODE = {"torch", "ray", "lancedb", "transformers", "onnxruntime", "rapidocr", "vllm", "openvino", "paddle"}


@dataclass(frozen=True)
class Ingested:
    """A whole handoff after it was ingested."""

    handoff: Handoff
    root: Path
    exit_code: int

    @property
    def marker(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.handoff.marker.read_bytes())
        return found


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """A whole handoff, ingested once for all tests that only look."""
    folder = tmp_path_factory.mktemp("whole")
    handoff = whole_handoff(folder / "h")
    done = stage1(folder / "root", handoff.path)
    return Ingested(handoff, folder / "root", done.returncode)


def test_handoff_1_a_handoff_without_metadata_db_is_rejected(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    (handoff.path / "metadata.db").unlink()
    assert stage1(tmp_path / "root", handoff.path).returncode == 4
    assert not handoff.marker.exists()


def test_handoff_1_media_activity_and_logs_are_optional(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.record(WINDOW, "0", window={})
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert handoff.marker.exists()


def test_handoff_2_the_marker_says_what_the_contract_says(ingested: Ingested) -> None:
    assert ingested.exit_code == 0
    marker = ingested.marker
    assert marker["schema"] == "autocapture.handoff.reap_eligible.v1"
    assert Path(marker["handoff_root"]) == ingested.handoff.path
    assert Path(marker["dest_data_root"]) == ingested.root
    assert marker["ingested_at_utc"].endswith("Z")
    assert marker["ingest_run_id"].startswith("ingest_")
    counts = marker["counts"]
    assert counts["metadata_rows_copied"] == 3
    assert counts["media_files_linked"] + counts["media_files_copied"] == 2
    assert counts["bytes_ingested"] > 0
    assert len(marker["integrity"]["handoff_manifest_sha256"]) == 64


def test_handoff_2_every_other_file_is_kept_and_its_signal_is_not_made_the_live_one(ingested: Ingested) -> None:
    folder = f"handoffs/h-{ingested.marker['integrity']['handoff_manifest_sha256'][:16]}"
    kept = evidence(ingested.root)
    assert kept[f"{folder}/input/keys.log"] == b"keys"
    assert kept[f"{folder}/activity/activity_signal.json"] == b'{"user_active": false}'
    assert not any(name in kept for name in ("activity/activity_signal.json", "activity_signal.json"))


def test_handoff_2_a_rerun_writes_the_same_marker_again(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    stage1(tmp_path / "root", handoff.path)
    marker, before = json.loads(handoff.marker.read_bytes()), evidence(tmp_path / "root")
    handoff.marker.unlink()
    assert stage1(tmp_path / "root", handoff.path).returncode == 2
    assert json.loads(handoff.marker.read_bytes()) == marker
    assert evidence(tmp_path / "root") == before


def test_handoff_3_a_conflict_rejects_the_handoff_and_changes_nothing(tmp_path: Path) -> None:
    first, second = Handoff(tmp_path / "a"), Handoff(tmp_path / "b")
    first.record(WINDOW, "0", window={"title": "a"})
    second.record(WINDOW, "0", window={"title": "b"})
    second.record(WINDOW, "1", window={})
    stage1(tmp_path / "root", first.path)
    before = evidence(tmp_path / "root")
    assert stage1(tmp_path / "root", second.path).returncode == 4
    assert evidence(tmp_path / "root") == before
    assert not second.marker.exists()


def test_handoff_3_without_strict_the_rest_is_kept_and_there_is_no_marker(tmp_path: Path) -> None:
    first, second = Handoff(tmp_path / "a"), Handoff(tmp_path / "b")
    kept = first.record(WINDOW, "0", window={"title": "a"})
    second.record(WINDOW, "0", window={"title": "b"})
    added = second.record(WINDOW, "1", window={})
    stage1(tmp_path / "root", first.path)
    before = rows(tmp_path / "root")[kept]
    assert stage1(tmp_path / "root", second.path, "--no-strict").returncode == 0
    assert rows(tmp_path / "root")[kept] == before
    assert added in rows(tmp_path / "root")
    assert not second.marker.exists()


@pytest.mark.parametrize("fault", ["missing", "another hash", "another size"])
def test_handoff_3_a_missing_or_wrong_blob_rejects_the_handoff(tmp_path: Path, fault: str) -> None:
    handoff = Handoff(tmp_path / "h")
    if fault == "another hash":
        handoff.frame("0", content_hash="0" * 64)
    elif fault == "another size":
        handoff.frame("0", content_size=1)
    else:
        handoff.frame("0", has_blob=False)
    assert stage1(tmp_path / "root", handoff.path).returncode == 4
    assert rows(tmp_path / "root") == {}
    assert not handoff.marker.exists()


@pytest.mark.parametrize("mode", ["hardlink", "copy"])
def test_handoff_4_blobs_are_linked_or_copied(tmp_path: Path, mode: str) -> None:
    handoff = Handoff(tmp_path / "h")
    place = blob_place(handoff.frame("0"))
    stage1(tmp_path / "root", handoff.path, "--mode", mode)
    placed, source = (tmp_path / "root" / place).stat(), (handoff.path / place).stat()
    assert (tmp_path / "root" / place).read_bytes() == (handoff.path / place).read_bytes()
    counts = json.loads(handoff.marker.read_bytes())["counts"]
    is_linked = (placed.st_ino, placed.st_dev) == (source.st_ino, source.st_dev)
    assert (counts["media_files_linked"], counts["media_files_copied"]) == ((1, 0) if is_linked else (0, 1))
    assert not (mode == "copy" and is_linked)


def test_handoff_4_an_identical_blob_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    first, second = Handoff(tmp_path / "a"), Handoff(tmp_path / "b")
    place = blob_place(first.frame("0"))
    second.frame("0")
    stage1(tmp_path / "root", first.path, "--mode", "copy")
    before = (tmp_path / "root" / place).stat()
    second.record(WINDOW, "0", window={})
    assert stage1(tmp_path / "root", second.path, "--mode", "copy").returncode == 0
    after = (tmp_path / "root" / place).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_handoff_5_the_journal_and_a_record_tell_of_the_handoff(ingested: Ingested) -> None:
    (completed,) = of_type(ingested.root, COMPLETED)
    for name in ("handoff_id", "ingest_run_id", "counts", "bytes", "started_utc", "ended_utc", "errors"):
        assert name in completed
    assert completed["run_id"] == "system.ingest"
    assert completed["counts"] == ingested.marker["counts"]
    events = [json.loads(line) for line in journal(ingested.root)]
    assert [event["event_type"] for event in events] == [COMPLETED]
    assert events[0]["payload"]["handoff_id"] == completed["handoff_id"]


def test_handoff_5_its_id_follows_from_what_the_handoff_holds(ingested: Ingested, tmp_path: Path) -> None:
    (known,) = [name for name in rows(ingested.root) if COMPLETED in name]
    shutil.copytree(ingested.handoff.path, tmp_path / "h", ignore=shutil.ignore_patterns("reap_eligible.json"))
    stage1(tmp_path / "root", tmp_path / "h")
    assert [name for name in rows(tmp_path / "root") if COMPLETED in name] == [known]


def test_handoff_6_each_complete_frame_has_its_two_records(ingested: Ingested) -> None:
    frames = {f"{RUN}/{FRAME}/0", f"{RUN}/{FRAME}/1"}
    complete, eligible = of_type(ingested.root, STAGE1_COMPLETE), of_type(ingested.root, RETENTION)
    assert {record["source_record_id"] for record in complete} == frames
    assert {record["source_record_id"] for record in eligible} == frames
    assert all(record["source_record_type"] == FRAME and record["complete"] is True for record in complete)
    assert all(record["stage1_contract_validated"] is True for record in eligible)
    assert all(record["quarantine_pending"] is False for record in eligible)


def test_handoff_6_a_frame_with_a_reference_to_nothing_is_kept_and_not_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    nowhere = {"record_id": f"{RUN}/nowhere"}
    frames = {
        handoff.frame("0", window_ref=nowhere),
        handoff.frame("1", uia_ref=nowhere),
        handoff.frame("2", input_ref=nowhere),
        handoff.frame("3", hologram_ref=nowhere),
    }
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert frames <= rows(tmp_path / "root").keys()
    assert of_type(tmp_path / "root", RETENTION) == []


def test_handoff_7_no_model_code_is_loaded(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    done = stage1(tmp_path / "root", handoff.path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    if "json" not in imported:
        pytest.skip("the implementation under test does not tell what it loads")
    assert imported & MODEL_CODE == set()


def test_handoff_8_rows_in_the_wal_of_a_dead_producer_count_and_nothing_is_changed(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "living")
    with closing(sqlite3.connect(handoff.path / "metadata.db")) as producer:
        producer.execute("PRAGMA journal_mode = WAL")
        producer.execute("INSERT INTO metadata VALUES ('run-1/x/0', '{}', 'x', NULL, 'run-1')")
        producer.commit()
        shutil.copytree(handoff.path, tmp_path / "dead", ignore=shutil.ignore_patterns("*-shm"))
    before = files(tmp_path / "dead")
    assert before["metadata.db-wal"]
    assert stage1(tmp_path / "root", tmp_path / "dead").returncode == 0
    assert "run-1/x/0" in rows(tmp_path / "root")
    after = files(tmp_path / "dead")
    del after["reap_eligible.json"]
    assert after == before


def test_handoff_11_a_handoff_that_is_being_written_is_not_marked_and_the_next_run_finishes_it(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h", contract={"contract_version": "1.0"})
    stop = threading.Event()

    def write() -> None:
        with (handoff.path / "input/keys.log").open("ab") as log:
            while not stop.wait(0.05):
                log.write(b"k")
                log.flush()

    producer = threading.Thread(target=write)
    producer.start()
    try:
        stage1(tmp_path / "root", handoff.path)
    finally:
        stop.set()
        producer.join()
    assert not handoff.marker.exists()
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert handoff.marker.exists()


def test_handoff_11_the_manifest_covers_rows_and_files_and_not_where_they_lie(
    ingested: Ingested, tmp_path: Path
) -> None:
    known = ingested.marker["integrity"]["handoff_manifest_sha256"]
    digests = {}
    for change in ("none", "file", "row"):
        target = tmp_path / change
        shutil.copytree(ingested.handoff.path, target, ignore=shutil.ignore_patterns("reap_eligible.json"))
        if change == "file":
            (target / "input/keys.log").write_bytes(b"KEYS")
        elif change == "row":
            with closing(sqlite3.connect(target / "metadata.db")) as connection, connection:
                connection.execute("INSERT INTO metadata VALUES ('run-1/x/0', '{}', 'x', NULL, 'run-1')")
        stage1(tmp_path / f"root-{change}", target)
        marker = json.loads((target / "reap_eligible.json").read_bytes())
        digests[change] = marker["integrity"]["handoff_manifest_sha256"]
    assert digests["none"] == known
    assert len(set(digests.values())) == 3


def test_hash_1_what_is_written_is_canonical_json(ingested: Ingested) -> None:
    for line in journal(ingested.root):
        assert canonical(json.loads(line)) == line


def test_hash_1_text_is_hashed_in_nfc(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", comment="e\u0301")
    stage1(tmp_path / "root", handoff.path)
    assert len(of_type(tmp_path / "root", STAGE1_COMPLETE)) == 1


def test_hash_1_a_payload_with_a_float_is_kept_and_its_frame_is_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", ratio=0.5, payload_hash="0" * 64)
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert json.loads(rows(tmp_path / "root")[frame][0])["ratio"] == 0.5
    assert len(of_type(tmp_path / "root", STAGE1_COMPLETE)) == 1


def test_hash_2_every_record_that_is_written_has_its_payload_hash(ingested: Ingested) -> None:
    written = [record for kind in (COMPLETED, STAGE1_COMPLETE, RETENTION) for record in of_type(ingested.root, kind)]
    assert len(written) == 5
    assert all(record["payload_hash"] == payload_hash(record) for record in written)


def test_hash_2_a_frame_whose_payload_hash_is_wrong_is_kept_and_not_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", payload_hash="0" * 64)
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert frame in rows(tmp_path / "root")
    assert of_type(tmp_path / "root", RETENTION) == []


def test_hash_4_journal_events_have_their_fields_and_a_rising_sequence(tmp_path: Path) -> None:
    for name in ("a", "b"):
        handoff = Handoff(tmp_path / name)
        handoff.record(WINDOW, name, window={})
        stage1(tmp_path / "root", handoff.path)
    events = [json.loads(line) for line in journal(tmp_path / "root")]
    assert [event["sequence"] for event in events] == sorted({event["sequence"] for event in events})
    for event in events:
        assert event["schema_version"] == 1
        assert event["event_id"].startswith(event["run_id"])
        assert {"ts_utc", "tzid", "offset_minutes", "event_type", "payload"} <= event.keys()


def test_root_2_nothing_that_was_kept_goes_away(tmp_path: Path) -> None:
    first = whole_handoff(tmp_path / "a")
    stage1(tmp_path / "root", first.path)
    before = evidence(tmp_path / "root")
    second = Handoff(tmp_path / "b")
    second.record(WINDOW, "0", window={"title": "other"})
    stage1(tmp_path / "root", second.path, "--no-strict")
    shutil.rmtree(first.path)
    after = evidence(tmp_path / "root")
    unchanged = {name for name in before if name not in ("metadata.db", "journal.ndjson")}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert after["journal.ndjson"].startswith(before["journal.ndjson"])
    assert (tmp_path / "root" / "metadata.db").exists()
