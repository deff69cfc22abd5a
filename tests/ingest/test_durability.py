"""What is synced before what: files and the directories that lead to them, rows, journal, marker `[handoff-2]`."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import RUN, Handoff, canonical_blob, ingest_one, whole_handoff

from pipeline.ingest.place_files import Mode
from pipeline.ingest.result import State

FRAME_ID = f"{RUN}/evidence.capture.frame/0"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are synced, and COMMIT where a transaction is committed, in order."""
    events: list[str] = []
    real_sync, real_connect = os.fsync, sqlite3.connect

    def sync(descriptor: int) -> None:
        events.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            done = super().execute(sql, *arguments)
            if sql == "COMMIT":
                events.append(sql)
            return done

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **options: real_connect(*a, **options, factory=Connection))
    return events


def leading_to(root: Path, file: str) -> set[str]:
    """All directories from a file up to the DataRoot and its parent."""
    parents = (root / file).parents
    return {str(parent) for parent in parents if parent == root.parent or parent.is_relative_to(root)}


def assert_synced_before_commit(log: list[str], root: Path, handoff: Handoff, handoff_id: str) -> None:
    before = set(log[: len(log) - log[::-1].index("COMMIT")])
    assert leading_to(root, canonical_blob(FRAME_ID)) <= before
    assert leading_to(root, f"handoffs/{handoff_id}/activity/x") <= before
    assert leading_to(root, f"handoffs/{handoff_id}/x") <= before


def test_files_and_all_their_directories_are_durable_before_the_rows(tmp_path: Path, log: list[str]) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert_synced_before_commit(log, tmp_path / "root", handoff, result.handoff_id)
    assert str(handoff.path / canonical_blob(FRAME_ID)) in log[: log.index("COMMIT")]


def test_a_copy_is_durable_before_it_has_its_name(tmp_path: Path, log: list[str]) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path, mode=Mode.copy)
    staged = [path for path in log[: log.index("COMMIT")] if "/.tmp-ingest/" in path]
    assert len(staged) == 4


def test_the_journal_and_then_the_marker_are_durable_after_the_rows(tmp_path: Path, log: list[str]) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    after = log[len(log) - log[::-1].index("COMMIT") :]
    assert [Path(path).name.split("-")[0] for path in after] == ["root", "journal.ndjson", ".tmp", "h"]
    assert after[-1] == str(handoff.path)


def test_what_a_dead_process_left_without_syncing_is_synced_by_the_rerun(tmp_path: Path, log: list[str]) -> None:
    handoff = whole_handoff(tmp_path / "h")
    first = ingest_one(tmp_path / "root", handoff.path)
    (tmp_path / "root/metadata.db").unlink()
    (tmp_path / "root/journal.ndjson").unlink()
    handoff.marker.unlink()
    log.clear()
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.files_linked) == (State.ingested, 0)
    assert_synced_before_commit(log, tmp_path / "root", handoff, first.handoff_id)
    assert str(tmp_path / "root" / canonical_blob(FRAME_ID)) in log[: log.index("COMMIT")]


def test_an_event_that_a_dead_process_left_without_syncing_is_synced_before_the_marker(
    tmp_path: Path, log: list[str]
) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    handoff.marker.unlink()
    log.clear()
    assert ingest_one(tmp_path / "root", handoff.path).state is State.already
    assert log.index(str(tmp_path / "root/journal.ndjson")) < log.index(str(handoff.path))
