"""`pipeline verify`: what has changed in the evidence since it was ingested is named; what is as it was is not."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sidecar_root import FRAME, RUN, WINDOW, SidecarRoot, Silent, content

from pipeline.cli.main import run
from pipeline.dataroot import DataRoot, rid
from pipeline.ingest.drain import drain
from pipeline.reports.deep.verify import Bounds, verify_evidence


class Ingested:
    """A DataRoot that Stage 1 filled from one handoff, which still lies there: its blobs share their inodes."""

    def __init__(self, path: Path) -> None:
        self.handoff = SidecarRoot(path / "h")
        window = self.handoff.record(WINDOW, "0", window={"title": "a"})
        for number in range(4):
            self.handoff.frame(
                str(number), ts_utc=f"2026-03-0{number + 1}T10:00:00.000Z", window_ref={"record_id": window}
            )
        self.handoff.file("input/keys.log", b"keys")
        self.handoff.file("input/more/mouse.log", b"mouse")
        self.handoff.row(f"{RUN}/x/torn", "{ torn", "x")
        self.root = DataRoot(path / "root")
        self.ingest(self.handoff)

    def ingest(self, handoff: SidecarRoot, *, strict: bool = True) -> None:
        drain(self.root, [handoff.path], settle_s=0.0, strict=strict)

    def blob(self, number: int) -> Path:
        return (
            self.root.media
            / rid(RUN)
            / "evidence/2026/03"
            / f"0{number + 1}"
            / f"{rid(f'{RUN}/{FRAME}/{number}')}.blob"
        )

    def kept(self, name: str) -> Path:
        (path,) = self.root.handoffs.rglob(name)
        return path

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.root.metadata_db)) as connection, connection:
            connection.execute(statement, values)

    def verify(self, **bounds: Any) -> dict[str, list[str]]:
        found = verify_evidence(self.root, Silent(), Bounds(**bounds))
        return {reason.code: reason.examples for reason in found.reasons("failure")}


@pytest.fixture
def ingested(tmp_path: Path) -> Ingested:
    return Ingested(tmp_path)


def touch_later(path: Path) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))


def test_what_was_ingested_and_left_alone_is_as_it_was(ingested: Ingested) -> None:
    before = content(ingested.root.path)
    found = verify_evidence(ingested.root, Silent(), Bounds())
    assert found.ok
    told = {name: message for name, _, message, _ in found.checks()}
    assert told["blobs"].startswith("4 hashed, ")
    assert "4 share an inode" in told["blobs"]
    assert told["kept files"] == "2 of 1 handoffs"
    assert content(ingested.root.path) == before


def test_a_write_through_the_producers_hard_link_is_named_with_the_frame(ingested: Ingested) -> None:
    linked = ingested.handoff.blob("2", "2026-03-03T10:00:00.000Z")
    assert linked.stat().st_ino == ingested.blob(2).stat().st_ino
    data = bytearray(ingested.blob(2).read_bytes())
    data[3] ^= 1
    with linked.open("r+b") as file:
        file.write(data)
    assert ingested.verify() == {"blob_hash_differs": [f"{RUN}/{FRAME}/2"]}


@pytest.mark.parametrize("what", ["longer", "gone", "link"])
def test_a_changed_blob_is_named_with_the_frame(ingested: Ingested, what: str) -> None:
    blob = ingested.blob(1)
    if what == "longer":
        blob.write_bytes(blob.read_bytes() + b"x")
    else:
        blob.unlink()
    if what == "link":
        blob.symlink_to(ingested.blob(2))
    code = {"longer": "blob_size_differs", "gone": "blob_missing", "link": "blob_not_a_file"}[what]
    assert ingested.verify() == {code: [f"{RUN}/{FRAME}/1"]}


def test_a_changed_row_is_named(ingested: Ingested) -> None:
    ingested.sql("UPDATE metadata SET payload = replace(payload, '\"a\"', '\"b\"') WHERE record_type = ?", WINDOW)
    assert ingested.verify() == {"payload_hash_differs": [f"{RUN}/{WINDOW}/0"]}


def test_a_row_that_became_unreadable_is_told_from_one_that_came_so(ingested: Ingested) -> None:
    ingested.sql("UPDATE metadata SET payload = '{' WHERE record_type = ?", WINDOW)
    found = verify_evidence(ingested.root, Silent(), Bounds())
    assert {item.code: item.examples for item in found.reasons("failure")} == {
        "payload_unreadable": [f"{RUN}/{WINDOW}/0"]
    }
    assert {item.code: item.examples for item in found.reasons("warning")} == {
        "faulty_when_ingested": [f"{RUN}/x/torn"]
    }


def test_a_blob_that_was_missing_from_the_handoff_has_not_changed(tmp_path: Path, ingested: Ingested) -> None:
    partial = SidecarRoot(tmp_path / "partial")
    partial.frame("9", has_blob=False)
    ingested.ingest(partial, strict=False)
    found = verify_evidence(ingested.root, Silent(), Bounds())
    assert found.ok
    assert found.count("faulty_when_ingested") == 2


@pytest.mark.parametrize(
    ("name", "new", "expected"),
    [
        ("keys.log", b"KEYS", "input/keys.log"),
        ("mouse.log", b"longer than it was", "input/more/mouse.log"),
    ],
)
def test_a_changed_file_of_a_handoff_is_named(ingested: Ingested, name: str, new: bytes, expected: str) -> None:
    kept = ingested.kept(name)
    kept.write_bytes(new)
    touch_later(kept)
    folder = kept.relative_to(ingested.root.path).parts[:2]
    assert ingested.verify() == {"kept_file_changed": ["/".join([*folder, expected])]}


def test_a_change_whose_time_was_set_back_is_seen_and_the_handoff_named(ingested: Ingested) -> None:
    kept = ingested.kept("keys.log")
    before = kept.stat()
    kept.write_bytes(b"KEYS")
    os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))
    (named,) = ingested.verify()["kept_file_changed"]
    assert named == f"handoffs/{kept.relative_to(ingested.root.handoffs).parts[0]}"


def test_a_lost_file_of_a_handoff_is_seen(ingested: Ingested) -> None:
    ingested.kept("keys.log").unlink()
    assert list(ingested.verify()) == ["kept_file_changed"]
    ingested.kept("mouse.log").unlink()
    assert list(ingested.verify()) == ["kept_file_missing"]


def test_a_handoff_of_an_older_version_has_its_later_writes_told(ingested: Ingested) -> None:
    select = "SELECT payload FROM metadata WHERE record_type = 'system.ingest.handoff.completed'"
    with closing(sqlite3.connect(ingested.root.metadata_db)) as connection:
        fields = json.loads(connection.execute(select).fetchone()[0])
    from schemas.canonical import payload_hash

    del fields["kept_files_sha256"]
    fields["payload_hash"] = payload_hash(fields)
    update = "UPDATE metadata SET payload = ? WHERE record_type = 'system.ingest.handoff.completed'"
    ingested.sql(update, json.dumps(fields))
    assert ingested.verify() == {}
    touch_later(ingested.kept("keys.log"))
    found = verify_evidence(ingested.root, Silent(), Bounds())
    assert found.ok
    assert found.count("kept_file_touched") == 1


def test_an_event_taken_out_of_the_journal_is_seen(ingested: Ingested) -> None:
    ingested.root.journal.write_bytes(b"")
    (handoff,) = (path.name for path in ingested.root.handoffs.iterdir())
    assert ingested.verify() == {"journal_event_missing": [handoff]}


def test_since_and_until_bound_what_is_verified(ingested: Ingested) -> None:
    for number in range(4):
        ingested.blob(number).unlink()
    third = datetime(2026, 3, 3, tzinfo=UTC)
    assert ingested.verify(since=third)["blob_missing"] == [f"{RUN}/{FRAME}/2", f"{RUN}/{FRAME}/3"]
    assert ingested.verify(until=third)["blob_missing"] == [f"{RUN}/{FRAME}/0", f"{RUN}/{FRAME}/1"]
    assert ingested.verify(since=third, sample=1)["blob_missing"] == [f"{RUN}/{FRAME}/2"]


def test_the_command_exits_with_4_and_takes_days(ingested: Ingested, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--data-root", str(ingested.root.path)]
    assert run([*root, "verify"]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    ingested.blob(1).unlink()
    assert run([*root, "verify", "--json"]) == 4
    (reason,) = json.loads(capsys.readouterr().out)["reasons"]
    assert (reason["code"], reason["examples"]) == ("blob_missing", [f"{RUN}/{FRAME}/1"])
    assert run([*root, "verify", "--since", "2026-03-03", "--until", "2026-03-04T00:00:00+01:00"]) == 0
    assert run([*root, "verify", "--since", "yesterday"]) == 64
    assert run(["--data-root", str(ingested.root.path / "none"), "verify"]) == 4
