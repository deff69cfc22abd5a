"""Building the text index: when, from what, and that it is there whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from processed_desk import run_desk
from screen_memory import Memory, process

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ContractInvalid, NothingToDo
from pipeline.indexing.build import build_text_index, facts_state
from pipeline.stores.atomic import TEMPORARY_PREFIX
from pipeline.stores.index_schema import SCHEMA_VERSION
from pipeline.stores.text_index import TextIndex

TIME = "2026-03-01T10:00:00.000Z"


def test_a_run_ends_with_an_index_of_what_it_read(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    frame_id = memory.frame(0, TIME)
    assert process(memory.root).indexed
    with TextIndex(memory.root.text_index) as index:
        frame = index.frame_named(frame_id)
        assert frame is not None
        assert (frame.status, frame.width) == ("done", 640)
        assert [text for _, text in index.search('"pixels"', 10)] == ["pixels of desk-1 0"]


def test_a_run_with_nothing_new_leaves_the_index_alone(own_desk: DataRoot) -> None:
    before = own_desk.text_index.stat().st_ino
    with pytest.raises(NothingToDo):
        run_desk(own_desk)
    assert own_desk.text_index.stat().st_ino == before


def test_a_missing_index_is_built_again_the_same(own_desk: DataRoot) -> None:
    before = own_desk.text_index.read_bytes()
    own_desk.text_index.unlink()
    run_desk(own_desk)
    assert own_desk.text_index.read_bytes() == before


def test_a_damaged_index_is_built_again(own_desk: DataRoot) -> None:
    own_desk.text_index.write_bytes(b"nothing")
    run_desk(own_desk)
    with TextIndex(own_desk.text_index) as index:
        assert index.captured_span() is not None


def test_an_index_of_another_state_of_the_facts_is_built_again(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, TIME)
    process(memory.root)
    old = shutil.copy(memory.root.text_index, tmp_path / "old.db")
    memory.frame(1, "2026-03-01T10:01:00.000Z")
    process(memory.root)
    shutil.copy(old, memory.root.text_index)
    assert process(memory.root).indexed
    with TextIndex(memory.root.text_index) as index:
        assert index.coverage(0, 2**62).captured == 2


def test_what_it_was_built_from_is_told_by_content(own_desk: DataRoot, tmp_path: Path) -> None:
    first = build_text_index(own_desk, 7, _go_on)
    copy = DataRoot(shutil.copytree(own_desk.path, tmp_path / "copy", copy_function=shutil.copyfile))
    assert facts_state(copy) != facts_state(own_desk)  # other times
    assert build_text_index(copy, 7, _go_on) == first
    with TextIndex(copy.text_index) as index:
        assert index.meta == {
            "schema_version": str(SCHEMA_VERSION),
            "source_digest": first.source_digest,
            "evidence_rowid": "7",
        }


def test_a_build_that_is_stopped_leaves_the_index_that_was_there(own_desk: DataRoot) -> None:
    before = own_desk.text_index.read_bytes()

    def stop() -> None:
        raise Blocked("the user is back")

    with pytest.raises(Blocked):
        build_text_index(own_desk, 0, stop)
    assert own_desk.text_index.read_bytes() == before
    assert list(own_desk.index.glob(f"{TEMPORARY_PREFIX}*")) == []


def test_a_damaged_fact_file_is_named(own_desk: DataRoot) -> None:
    path = next((own_desk.facts / "windows").rglob("part-*.parquet"))
    path.write_bytes(b"PAR1")
    with pytest.raises(ContractInvalid, match=r"windows.*cannot be read"):
        build_text_index(own_desk, 0, _go_on)


def test_the_published_file_needs_no_other(own_desk: DataRoot) -> None:
    build_text_index(own_desk, 0, _go_on)
    assert [path.name for path in own_desk.index.iterdir()] == ["text.db"]
    connection = sqlite3.connect(own_desk.text_index)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def _go_on() -> None:
    return
