"""Metadata stores, record ids and places `[meta-1]`–`[meta-5]`, `[root-1]`, `[root-3]`."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conformance_handoff import FRAME, WINDOW, Handoff, blob_place, evidence, files, of_type, rows, whole_handoff
from conformance_stage1 import stage1

STAGE1_COMPLETE = "derived.ingest.stage1.complete"
RUN_WITH_SIGNS = "a/b=c é"


def test_meta_1_the_store_is_variant_a_with_three_indexes(tmp_path: Path) -> None:
    stage1(tmp_path / "root", whole_handoff(tmp_path / "h").path)
    with closing(sqlite3.connect(tmp_path / "root" / "metadata.db")) as connection:
        columns = list(connection.execute("SELECT name, type, pk FROM pragma_table_info('metadata')"))
        indexed = {
            row[0]
            for name in connection.execute("SELECT name FROM pragma_index_list('metadata')").fetchall()
            for row in connection.execute("SELECT name FROM pragma_index_info(?)", name)
        }
    assert {name: key for name, _, key in columns} == {
        "id": 1, "payload": 0, "record_type": 0, "ts_utc": 0, "run_id": 0,
    }  # fmt: skip
    assert {"record_type", "ts_utc", "run_id"} <= indexed


def test_meta_2_a_store_that_a_sidecar_owns_is_only_read(tmp_path: Path) -> None:
    sidecar = whole_handoff(tmp_path / "root")
    before = evidence(sidecar.path)
    handoff = Handoff(tmp_path / "h")
    handoff.record(WINDOW, "9", window={})
    assert stage1(sidecar.path, handoff.path).returncode == 4
    assert evidence(sidecar.path) == before
    assert not handoff.marker.exists()


def test_meta_2_neither_variant_is_rejected_and_what_was_found_is_named(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.execute("DROP TABLE metadata")
    handoff.execute("CREATE TABLE notes(text)")
    done = stage1(tmp_path / "root", handoff.path)
    assert done.returncode == 4
    assert "notes" in done.stdout + done.stderr


def test_meta_3_the_payload_is_kept_byte_for_byte_with_what_nobody_knows(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    text = (
        '{ "schema_version":1,\t"record_type":"x", "run_id":"run-1", "ts_utc":"2026-03-01T10:00Z",'
        ' "content_hash": "' + "0" * 64 + '", "zz":  "é\\u00e9"}'
    )
    handoff.row("run-1/x/0", text, "x")
    stage1(tmp_path / "root", handoff.path)
    assert rows(tmp_path / "root")["run-1/x/0"][0] == text


def test_meta_3_a_row_without_a_required_field_is_kept_and_its_frame_not_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    required = ("schema_version", "record_type", "run_id", "ts_utc", "width", "height", "content_hash")
    frames = {handoff.frame(name, lacks=name) for name in required}
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert frames <= rows(tmp_path / "root").keys()
    assert of_type(tmp_path / "root", STAGE1_COMPLETE) == []


def test_meta_3_a_damaged_optional_field_stops_nothing(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", cursor="somewhere")
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert len(of_type(tmp_path / "root", STAGE1_COMPLETE)) == 1


def test_meta_4_an_id_that_does_not_begin_with_its_run_id_is_kept_and_not_complete(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0")
    handoff.execute("UPDATE metadata SET id = 'run-2/' || id")
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert f"run-2/{frame}" in rows(tmp_path / "root")
    assert of_type(tmp_path / "root", STAGE1_COMPLETE) == []


@pytest.mark.parametrize(
    ("run_id", "moment", "day"),
    [
        ("run-1", "2026-03-01T10:00:00.000Z", "2026/03/01"),
        (RUN_WITH_SIGNS, "2026-03-01T23:30:00-02:00", "2026/03/02"),
    ],
)
def test_root_1_a_blob_lies_in_its_canonical_place(tmp_path: Path, run_id: str, moment: str, day: str) -> None:
    handoff = Handoff(tmp_path / "h", run_id=run_id)
    frame = handoff.frame("0", b"picture", ts_utc=moment)
    place = blob_place(frame, run_id, moment)
    assert day in place
    stage1(tmp_path / "root", handoff.path)
    assert evidence(tmp_path / "root")[place] == b"picture"


def test_root_1_a_blob_that_its_payload_names_elsewhere_comes_to_its_canonical_place(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", b"picture", has_blob=False, blob_path="pictures/0.png")
    handoff.file("pictures/0.png", b"picture")
    assert stage1(tmp_path / "root", handoff.path).returncode == 0
    assert evidence(tmp_path / "root")[blob_place(frame)] == b"picture"


def test_root_1_a_blob_path_leads_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"picture")
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture", has_blob=False, blob_path="../secret")
    assert stage1(tmp_path / "root", handoff.path).returncode == 4


def test_meta_5_and_root_3_run_takes_frames_of_a_dataroot_that_a_sidecar_fills(tmp_path: Path) -> None:
    sidecar = whole_handoff(tmp_path / "root", run_id=RUN_WITH_SIGNS)
    blob = sidecar.path / blob_place(f"{RUN_WITH_SIGNS}/{FRAME}/1", RUN_WITH_SIGNS)
    blob.write_bytes(b"another")
    before = evidence(sidecar.path)
    shutil.rmtree(sidecar.path / "activity")
    arguments = ("--stage", "list_frames", "--engine", "local", "--assume-idle-when-missing")
    done = stage1(sidecar.path, *arguments, command="run")
    assert done.returncode == 0, done.stderr
    query = "SELECT frame_id FROM frames"
    found = json.loads(stage1(sidecar.path, query, "--json", command="sql").stdout)["rows"]
    assert f"{RUN_WITH_SIGNS}/{FRAME}/0" in {row["frame_id"] for row in found}
    assert any("/run_id=a%2Fb%3Dc%20%C3%A9/" in name for name in files(sidecar.path))
    after = evidence(sidecar.path)
    assert {name: after[name] for name in before if name in after and name != "metadata.db"} == {
        name: content for name, content in before.items() if name != "metadata.db" and "activity/" not in name
    }
