"""Several handoffs committed at once: what one does must not be seen in what becomes of another."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from handoff_builder import RUN, Handoff, canonical_blob, journal, of_type, rows, run_ingest, whole_handoff

from pipeline.ingest.frame_claims import FrameClaims
from pipeline.ingest.handoff_directory import HandoffDirectory
from pipeline.ingest.ingest_handoff import HandoffIngest
from pipeline.ingest.pace import Stopped
from pipeline.ingest.place_files import FilePlacer, Placed
from pipeline.ingest.result import State
from schemas.handoff import RetentionEligible, Stage1Complete


def states(root: Path, spool: Path, **options: Any) -> dict[str, State]:
    return {Path(result.path).name: result.state for result in run_ingest(root, spool, **options).results}


def fill(spool: Path, handoffs: int) -> None:
    """Make handoffs of one frame each: 00, 01…"""
    for number in range(handoffs):
        Handoff(spool / f"{number:02}").frame(f"{number}")


def test_handoffs_of_a_group_share_one_transaction_and_one_sync_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "spool", 20)
    synced: list[str] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    assert set(states(tmp_path / "root", tmp_path / "spool").values()) == {State.ingested}
    assert synced.count("journal.ndjson") == 1
    assert [event["sequence"] for event in journal(tmp_path / "root")] == list(range(20))


def test_the_same_row_in_two_handoffs_is_kept_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Handoff(tmp_path / "spool" / name).frame("0")
    results = run_ingest(tmp_path / "root", tmp_path / "spool").results
    assert [(result.state, result.inserted, result.identical) for result in results] == [
        (State.ingested, 1, 0),
        (State.already, 0, 1),
    ]


def test_one_id_with_another_payload_in_the_next_handoff_is_a_conflict(tmp_path: Path) -> None:
    Handoff(tmp_path / "spool" / "a").frame("0", b"one")
    Handoff(tmp_path / "spool" / "b").frame("0", b"other")
    Handoff(tmp_path / "spool" / "c").frame("1")
    found = states(tmp_path / "root", tmp_path / "spool")
    assert found == {"a": State.ingested, "b": State.rejected, "c": State.ingested}


def test_two_handoffs_without_a_row_and_with_the_same_files_are_both_marked(tmp_path: Path) -> None:
    handoffs = [Handoff(tmp_path / "spool" / name) for name in ("a", "b")]
    for handoff in handoffs:
        handoff.file("notes.txt", b"x")
    assert State.rejected not in states(tmp_path / "root", tmp_path / "spool").values()
    assert all(handoff.marker.exists() for handoff in handoffs)


def test_a_frame_may_refer_to_a_record_of_the_handoff_before_it(tmp_path: Path) -> None:
    window = Handoff(tmp_path / "spool" / "a").record("evidence.window.meta", "0", window={"title": "a"})
    Handoff(tmp_path / "spool" / "b").frame("0", window_ref={"record_id": window})
    results = run_ingest(tmp_path / "root", tmp_path / "spool").results
    assert results[1].frames_complete == 1


def test_a_failed_sync_of_one_blob_fails_its_handoff_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        Handoff(tmp_path / "spool" / name).frame(name)
    real, broken = os.fsync, canonical_blob(f"{RUN}/evidence.capture.frame/b")

    def sync(descriptor: int) -> None:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).endswith(broken):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    found = states(tmp_path / "root", tmp_path / "spool")
    assert found == {"a": State.ingested, "b": State.failed, "c": State.ingested}
    assert not (tmp_path / "spool/b/reap_eligible.json").exists()
    assert f"{RUN}/evidence.capture.frame/b" not in rows(tmp_path / "root")


def test_a_failed_commit_leaves_all_of_the_group_unmarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        whole = Handoff(tmp_path / "spool" / name)
        whole.frame(name)

    def refuse(*_: object) -> None:
        raise sqlite3.DatabaseError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.ingest.ingest_handoff.add_rows", refuse)
        assert set(states(tmp_path / "root", tmp_path / "spool").values()) == {State.failed}
    assert not list((tmp_path / "spool").glob("*/reap_eligible.json"))
    assert set(states(tmp_path / "root", tmp_path / "spool").values()) == {State.ingested}


def test_rows_of_a_handoff_whose_files_are_refused_are_taken_back_and_the_others_go_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        Handoff(tmp_path / "spool" / name).frame(name)
    finish_placing = FilePlacer.finish_placing
    in_transaction: list[bool] = []

    def refuse_b(placer: FilePlacer, directory: HandoffDirectory, placed: Placed) -> None:
        if directory.path.name == "b":
            journal_of_sqlite = tmp_path / "root" / "metadata.db-journal"
            in_transaction.append(journal_of_sqlite.exists())
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finish_placing(placer, directory, placed)

    monkeypatch.setattr(FilePlacer, "finish_placing", refuse_b)
    found = states(tmp_path / "root", tmp_path / "spool")
    assert found == {"a": State.ingested, "b": State.failed, "c": State.ingested}
    assert in_transaction == [True]
    assert {name for name in rows(tmp_path / "root") if "evidence.capture.frame" in name} == {
        f"{RUN}/evidence.capture.frame/a",
        f"{RUN}/evidence.capture.frame/c",
    }
    assert len(of_type(tmp_path / "root", "retention.eligible")) == len(journal(tmp_path / "root")) == 2


def test_more_handoffs_than_a_group_takes_are_all_marked_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.groups._MOST_HANDOFFS", 3)
    fill(tmp_path / "spool", 8)
    found = states(tmp_path / "root", tmp_path / "spool")
    assert list(found.items()) == [(f"{number:02}", State.ingested) for number in range(8)]


def test_markers_of_a_group_are_written_while_the_next_handoffs_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.groups._MOST_HANDOFFS", 2)
    fill(tmp_path / "spool", 6)
    steps: list[str] = []
    check, mark = HandoffIngest.check, HandoffIngest.mark

    def note(what: str, step: Callable[[HandoffIngest], None], handoff: HandoffIngest) -> None:
        steps.append(f"{what} {handoff.path.name}")
        step(handoff)

    monkeypatch.setattr(HandoffIngest, "check", lambda handoff: note("check", check, handoff))
    monkeypatch.setattr(HandoffIngest, "mark", lambda handoff: note("await", mark, handoff))
    assert set(states(tmp_path / "root", tmp_path / "spool").values()) == {State.ingested}
    assert steps.index("check 02") < steps.index("check 03") < steps.index("await 00") < steps.index("check 04")


def test_handoffs_that_are_being_marked_when_the_work_is_stopped_are_marked_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.groups._MOST_HANDOFFS", 2)
    fill(tmp_path / "spool", 6)
    check = HandoffIngest.check

    def stop_at_3(handoff: HandoffIngest) -> None:
        if handoff.path.name == "03":
            raise Stopped
        check(handoff)

    monkeypatch.setattr(HandoffIngest, "check", stop_at_3)
    before = psutil.Process().children()
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool")
    assert [(Path(result.path).name, result.state) for result in outcome.results] == [
        ("00", State.ingested),
        ("01", State.ingested),
    ]
    assert outcome.left == 4
    assert [child for child in psutil.Process().children() if child not in before] == []
    assert sorted(path.parent.name for path in (tmp_path / "spool").glob("*/reap_eligible.json")) == ["00", "01"]


def test_a_handoff_too_large_to_remember_is_read_again_and_committed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.remember_rows._MOST_ROWS", 2)
    monkeypatch.setattr("pipeline.ingest.frame_claims._MOST_IN_MEMORY", 2)
    for number in range(2):
        handoff = Handoff(tmp_path / "spool" / f"{number}")
        for frame in range(5):
            handoff.frame(f"{number}-{frame}")
    assert set(states(tmp_path / "root", tmp_path / "spool").values()) == {State.ingested}
    assert len(of_type(tmp_path / "root", "retention.eligible")) == 10


def test_claims_on_disk_come_back_as_they_were_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.ingest.check_rows import FrameClaim

    monkeypatch.setattr("pipeline.ingest.frame_claims._MOST_IN_MEMORY", 3)
    claims, given = FrameClaims(), [FrameClaim(f"r/{n}\n", "r", "t", ("é", "b")) for n in range(10)]
    for claim in given:
        claims.append(claim)
    assert [claim for chunk in claims.chunks() for claim in chunk] == given
    assert [claim for chunk in claims.chunks() for claim in chunk] == given
    claims.close()


def test_the_records_of_a_frame_are_what_their_models_say(tmp_path: Path) -> None:
    whole_handoff(tmp_path / "spool" / "a")
    Handoff(tmp_path / "spool" / "b").frame("Ångström")
    states(tmp_path / "root", tmp_path / "spool")
    complete = of_type(tmp_path / "root", "derived.ingest.stage1.complete")
    eligible = of_type(tmp_path / "root", "retention.eligible")
    assert len(complete) == len(eligible) == 3
    for record in complete:
        assert Stage1Complete.model_validate(record).model_dump() == record
    for record in eligible:
        assert RetentionEligible.model_validate(record).model_dump() == record
