"""Not captured, not processed, failed and not seen are four different answers; and nothing is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from processed_desk import FIXTURES, answer_of, run_desk
from screen_memory import InProcessModel, Memory, failing, process

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, UsageError
from pipeline.query.evidence import Evidence
from pipeline.stores.text_index import TextIndex

TIME = "2026-03-01T10:00:00.000Z"


def test_not_seen(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root)
    answer = answer_of(memory.root, "When was QX-7 first seen?")
    assert (answer.state, answer.missing, answer.needs_processing) == ("no_evidence", [], False)


def test_not_captured(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root)
    answer = answer_of(memory.root, "When was QX-7 first seen on 2026-02-20?")
    assert answer.state == "no_evidence"
    assert [item.reason for item in answer.missing] == ["not_captured"]
    assert "nothing was captured" in answer.summary


def test_not_processed_since_no_model_has_read_it(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root, stages=("list_frames",))
    answer = answer_of(memory.root, "When was QX-7 first seen on 2026-03-01?")
    assert answer.state == "not_available_yet"
    (lack,) = answer.missing
    assert (lack.artifact, lack.reason, lack.remedy) == ("line_tracks", "not_processed", "pipeline run --until-done")
    assert (answer.coverage.frames_captured, answer.coverage.frames_processed) == (1, 0)


def test_not_processed_since_it_came_after_the_index(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root)
    memory.frame(1, "2026-03-02T10:00:00.000Z")
    answer = answer_of(memory.root, "Which windows were active on 2026-03-02?")
    assert (answer.state, answer.missing[0].reason) == ("not_available_yet", "not_processed")
    assert answer.missing[0].last_processed_utc == TIME
    assert answer_of(memory.root, "Which windows were active on 2026-03-01?").state == "no_evidence"


def test_failed(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    frame_id = memory.frame(0, TIME)
    model = InProcessModel(memory.root)
    model.replies[frame_id] = failing("image_unreadable", retryable=False)
    process(memory.root, model)
    answer = answer_of(memory.root, "When was QX-7 first seen?")
    assert (answer.state, [item.reason for item in answer.missing]) == ("not_available_yet", ["failed"])
    assert answer.coverage.frames_failed == 1


def test_an_answer_over_a_part_says_that_it_is_a_part(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root)
    memory.frame(1, "2026-03-01T11:00:00.000Z")
    answer = answer_of(memory.root, "When was 'pixels of desk-1' first seen?")
    assert (answer.state, answer.needs_processing) == ("ok", True)
    assert "not all of that time has been processed" in answer.summary


def test_no_index_at_all(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    answer = answer_of(memory.root, "What did I do?")
    assert (answer.state, answer.missing[0].artifact) == ("not_available_yet", "text_index")


def test_an_index_of_another_version(own_desk: DataRoot) -> None:
    with sqlite3.connect(own_desk.text_index) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    connection.close()
    answer = answer_of(own_desk, "Which sites did I visit?")
    assert answer.state == "not_available_yet"
    assert "version 999" in answer.summary


def test_questions_change_nothing_in_the_dataroot(own_desk: DataRoot) -> None:
    before = _hash_of_all(own_desk.path)
    for question in ("Which site was visited most?", "When was OPS-117 last seen?", "Who won?", "What broke?") * 10:
        answer_of(own_desk, question)
    assert _hash_of_all(own_desk.path) == before


def test_a_sidecars_database_in_wal_mode_is_left_without_a_trace(own_desk: DataRoot) -> None:
    with sqlite3.connect(own_desk.metadata_db) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = _hash_of_all(own_desk.path)
    assert answer_of(own_desk, "Which site was visited most?").state == "ok"
    assert _hash_of_all(own_desk.path) == before


def test_a_write_fails_through_every_store_that_a_question_opens(own_desk: DataRoot) -> None:
    with TextIndex(own_desk.text_index) as index, pytest.raises(sqlite3.OperationalError):
        index.connection.execute("DELETE FROM texts")
    with Evidence(own_desk) as evidence, pytest.raises(sqlite3.OperationalError):
        evidence._connection.execute("DELETE FROM metadata")


def test_a_question_is_answered_where_nothing_can_be_written(own_desk: DataRoot) -> None:
    for path in [own_desk.path, *own_desk.path.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        assert answer_of(own_desk, "Which site was visited most?").state == "ok"
    finally:
        for path in [own_desk.path, *own_desk.path.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)


def test_evidence_that_is_no_database(own_desk: DataRoot) -> None:
    own_desk.metadata_db.write_bytes(b"no database" * 100)
    with pytest.raises(ContractInvalid, match="cannot be read"):
        answer_of(own_desk, "Which site was visited most?")


def test_an_empty_question_and_a_bad_day_are_refused(processed_desk: DataRoot) -> None:
    with pytest.raises(UsageError, match="empty"):
        answer_of(processed_desk, "  ")
    with pytest.raises(UsageError, match="since"):
        answer_of(processed_desk, "Which sites?", since="soon")


def test_what_a_run_left_unread_is_found_by_the_next(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "root")
    _ingest_days(root, tmp_path, "2026-03-01", "2026-03-04")
    run_desk(root, max_frames=7)
    question = "When was OPS-117 first seen?"
    first = answer_of(root, question)
    assert (first.needs_processing, first.coverage.frames_processed) == (True, 7)
    run_desk(root)
    assert answer_of(root, question).summary == "OPS-117 was first seen 2026-03-04 08:31:51 UTC"


def _ingest_days(root: DataRoot, folder: Path, *days: str) -> None:
    from pipeline.ingest.drain import drain

    for day in days:
        shutil.copytree(FIXTURES / "spool" / day, folder / "spool" / day)
    drain(root, [folder / "spool"], settle_s=0)


def _hash_of_all(folder: Path) -> str:
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
