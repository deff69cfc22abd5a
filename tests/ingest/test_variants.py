"""Which table of a database holds its records, and what rows without an id are called `[meta-1]`, `[meta-2]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import RUN, Handoff, canonical_blob, ingest_one, kept, of_type, rows, run_ingest, sha256

from pipeline.cli.main import run
from pipeline.ingest.result import State
from pipeline.stores.variants import Backend, records_row

VARIANT_B = "CREATE TABLE records(record_type, ts_utc, json)"
FRAME = "evidence.capture.frame"
TS = "2026-03-01T10:00:00.000Z"
SECRET = b"\x80\x91\xff ciphertext"


def record(record_type: str, **fields: Any) -> str:
    body = {"schema_version": 1, "record_type": record_type, "run_id": RUN, "ts_utc": TS, **fields}
    return json.dumps({"content_hash": "0" * 64, **body})


def add_b(handoff: Handoff, record_type: object, text: object, ts_utc: object = TS) -> None:
    handoff.execute("INSERT INTO records(record_type, ts_utc, json) VALUES (?, ?, ?)", record_type, ts_utc, text)


def variant_b(path: Path) -> Handoff:
    """A handoff of Variant B: a frame that knows its id and its window's, and the window."""
    handoff = Handoff(path, VARIANT_B)
    frame_id, window_id = f"{RUN}/{FRAME}/0", f"{RUN}/evidence.window.meta/0"
    handoff.file(canonical_blob(frame_id), b"picture")
    frame = record(
        FRAME, record_id=frame_id, width=8, height=6, content_type="image/png", content_hash=sha256(b"picture"),
        window_ref={"record_id": window_id},
    )  # fmt: skip
    add_b(handoff, FRAME, frame)
    add_b(handoff, "evidence.window.meta", record("evidence.window.meta", id=window_id, window={"title": "a"}))
    return handoff


def test_variant_b_becomes_rows_with_ids_and_its_frames_are_complete(tmp_path: Path) -> None:
    handoff = variant_b(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows, result.frames_complete) == (State.ingested, 2, 1)
    assert result.metadata_backend == "records_table"
    assert any("there is no table metadata" in line for line in result.warnings)
    assert rows(tmp_path / "root").keys() >= {f"{RUN}/{FRAME}/0", f"{RUN}/evidence.window.meta/0"}
    assert len(of_type(tmp_path / "root", "retention.eligible")) == 1
    assert kept(tmp_path / "root")[f"handoffs/{result.handoff_id}/metadata.db"]
    assert handoff.marker.exists()


def test_variant_b_is_the_same_the_second_time(tmp_path: Path) -> None:
    handoff = variant_b(tmp_path / "h")
    add_b(handoff, "x.y", record("x.y", number=1))
    ingest_one(tmp_path / "root", handoff.path)
    before = rows(tmp_path / "root")
    handoff.marker.unlink()
    assert ingest_one(tmp_path / "root", handoff.path).state is State.already
    assert rows(tmp_path / "root") == before


def test_the_text_of_a_record_is_kept_byte_for_byte(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h", VARIANT_B)
    text = '{ "run_id":"r",  "float": 1.50, "e\\u0301": "\\u00e9", "a":1, "a":2 }'
    add_b(handoff, "x", text)
    ingest_one(tmp_path / "root", handoff.path)
    (name,) = [name for name in rows(tmp_path / "root") if name.startswith("r/")]
    assert rows(tmp_path / "root")[name] == (text, "x", TS, "r")
    assert name == f"r/x/{sha256(text.encode())[:32]}"


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        (None, '{"run_id": "r", "record_id": "r/x/1", "id": "r/x/2"}', "r/x/1"),
        (None, '{"run_id": "r", "id": "r/x/2"}', "r/x/2"),
        ("r/x/0", '{"run_id": "r", "record_id": "r/x/1"}', "r/x/0"),
        ("elsewhere/x/0", '{"run_id": "r", "record_id": "r/x/1"}', "r/x/1"),
        (7, '{"run_id": "r", "record_id": 7, "id": "r/"}', None),
        (None, '{"run_id": "r", "id": "r/\\ud800"}', None),
        (None, '{"run_id": "r"}', None),
    ],
)
def test_a_row_has_its_own_id_where_that_begins_with_its_run(column: Any, text: str, expected: str | None) -> None:
    row = records_row(column, text, "x", TS, None)
    assert row.record_id == (expected or f"r/x/{sha256(text.encode())[:32]}")
    assert (row.payload, row.record_type, row.ts_utc, row.run_id) == (text, "x", TS, "r")


def test_a_row_that_says_nothing_of_itself_has_a_name_all_the_same() -> None:
    row = records_row(None, b"\xff", None, None, 7)
    assert row.record_id == f"unknown/unknown/{sha256(bytes([255]))[:32]}"
    assert (row.record_type, row.run_id) == (None, 7)
    with pytest.raises(ValueError, match="no JSON"):
        records_row("r/x/0", None, "x", TS, "r")


def test_a_row_that_stands_there_twice_is_kept_once_and_said_so(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h", VARIANT_B)
    for _ in range(3):
        add_b(handoff, "x", record("x"))
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows) == (State.ingested, 1)
    assert any(line.startswith("2 rows of it stand there more than once") for line in result.warnings)


def test_two_rows_with_one_id_and_different_content_reject_the_handoff(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h", VARIANT_B)
    for number in range(2):
        add_b(handoff, "x", record("x", record_id=f"{RUN}/x/0", number=number))
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert "different content" in result.error


def encrypted(path: Path, *, beside_records: bool) -> Handoff:
    handoff = variant_b(path) if beside_records else Handoff(path)
    if beside_records:
        handoff.execute(
            "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type, ts_utc, run_id)"
        )
    for number in range(3):
        handoff.execute("INSERT INTO metadata VALUES (?, ?, 'x', NULL, NULL)", f"{RUN}/x/{number}", SECRET)
    return handoff


def test_an_encrypted_metadata_table_beside_records_is_passed_over_and_kept(tmp_path: Path) -> None:
    handoff = encrypted(tmp_path / "h", beside_records=True)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows, result.metadata_backend) == (State.ingested, 2, "records_table")
    assert any("the table metadata cannot be read" in line for line in result.warnings)
    assert SECRET in kept(tmp_path / "root")[f"handoffs/{result.handoff_id}/metadata.db"]


def test_an_encrypted_metadata_table_alone_is_rejected_saying_what_can_be_done(tmp_path: Path) -> None:
    handoff = encrypted(tmp_path / "h", beside_records=False)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (int(result.exit_code), kept(tmp_path / "root")) == (4, {})
    assert "no row of its table metadata holds a JSON object (is it encrypted?)" in result.error
    assert result.remedy.endswith("--metadata-backend metadata_table")
    forced = ingest_one(tmp_path / "root", handoff.path, backend=Backend.metadata_table)
    assert (forced.state, forced.rows, forced.incomplete) == (State.ingested, 3, 3)
    assert rows(tmp_path / "root")[f"{RUN}/x/0"][0] == SECRET


def test_a_readable_metadata_table_is_preferred_and_records_can_be_asked_for(tmp_path: Path) -> None:
    handoff = variant_b(tmp_path / "h")
    handoff.execute("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type, ts_utc, run_id)")
    handoff.raw_row(f"{RUN}/x/0", "{}")
    preferred = ingest_one(tmp_path / "a", handoff.path)
    assert (preferred.metadata_backend, preferred.rows) == ("metadata_table", 1)
    forced = ingest_one(tmp_path / "b", handoff.path, backend=Backend.records_table)
    assert (forced.metadata_backend, forced.rows) == ("records_table", 2)


def test_an_empty_metadata_table_beside_records_is_passed_over(tmp_path: Path) -> None:
    handoff = variant_b(tmp_path / "h")
    handoff.execute("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type, ts_utc, run_id)")
    assert ingest_one(tmp_path / "root", handoff.path).metadata_backend == "records_table"


def test_records_that_cannot_be_read_either_are_rejected(tmp_path: Path) -> None:
    handoff = encrypted(tmp_path / "h", beside_records=False)
    handoff.execute(VARIANT_B)
    assert "its table metadata holds" in ingest_one(tmp_path / "root", handoff.path).error
    add_b(handoff, "x", SECRET)
    assert "its table metadata and records holds" in ingest_one(tmp_path / "root", handoff.path).error


@pytest.mark.parametrize("backend", ["metadata_table", "records_table"])
def test_a_table_that_is_asked_for_and_not_there_is_exit_4(
    tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Handoff(tmp_path / "h", "CREATE TABLE other(a)")
    command = ["--data-root", str(tmp_path / "root"), "ingest", str(tmp_path / "h"), "--set", "settle_s=0"]
    assert run([*command, "--metadata-backend", backend]) == 4
    assert f"--metadata-backend asks for {backend}" in capsys.readouterr().out.replace("\n", " ")


def test_a_record_of_stage_1_in_the_table_records_is_refused(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h", VARIANT_B)
    add_b(handoff, "retention.eligible", record("retention.eligible", record_id=f"{RUN}/retention.eligible/0"))
    assert "only Stage 1 may write" in ingest_one(tmp_path / "root", handoff.path).error


def test_both_variants_in_one_drain(tmp_path: Path) -> None:
    variant_b(tmp_path / "spool/b")
    Handoff(tmp_path / "spool/a").frame("1")
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool")
    assert [result.metadata_backend for result in outcome.results] == ["metadata_table", "records_table"]
    assert int(outcome.exit_code) == 0
