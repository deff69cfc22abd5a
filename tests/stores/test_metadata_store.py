"""The metadata store that Stage 1 owns `[meta-2]`, `[handoff-3]`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import Busy, ContractInvalid
from pipeline.stores import metadata
from pipeline.stores.metadata import APPLICATION_ID, MetadataRow, MetadataStore


def row(record_id: str, payload: str = "{}") -> MetadataRow:
    return MetadataRow(record_id, payload, "t", "2026-03-01T10:00:00Z", "r")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


def test_an_absent_database_is_empty_and_not_made_by_looking(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        assert store.payloads(["a"]) == {}
        assert store.existing(["a"]) == set()
    assert not path.exists()


def test_rows_are_there_after_the_transaction(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        store.create()
        with store.transaction():
            store.insert([row("a", '{"x":1}'), row("b")])
    with closing(MetadataStore(path)) as store:
        assert store.payloads(["a", "c"]) == {"a": '{"x":1}'}
        assert store.existing([f"n{number}" for number in range(2000)] + ["b"]) == {"b"}


def test_of_rows_those_that_are_there_are_left_as_they_are_and_the_new_ones_counted(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        store.create()
        with store.transaction():
            store.insert([row("a", "first")])
            assert store.insert_new([row("a", "other"), row("b"), row("c")]) == 2
            assert store.insert_new([row("a", "other"), row("c")]) == 0
        assert store.payloads(["a"]) == {"a": "first"}
        assert store.existing(["b", "c"]) == {"b", "c"}


def test_a_block_that_fails_leaves_nothing(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        store.create()
        with pytest.raises(sqlite3.IntegrityError), store.transaction():
            store.insert([row("a"), row("a", "other")])
        assert store.existing(["a"]) == set()


def test_the_owner_is_written_in_the_header(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        store.create()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_an_empty_file_left_by_a_crash_is_taken_over(path: Path) -> None:
    path.touch()
    with closing(MetadataStore(path)) as store:
        store.create()
        assert store.existing(["a"]) == set()


def test_a_database_of_another_owner_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL)")
    with pytest.raises(ContractInvalid, match="a sidecar owns it"):
        MetadataStore(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ContractInvalid, match="cannot be read"):
        MetadataStore(path)


def test_a_reader_that_does_not_let_go_makes_it_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_BUSY_TIMEOUT_S", 0.01)
    with closing(MetadataStore(path)) as store, closing(sqlite3.connect(path)) as reader:
        store.create()
        with store.transaction():
            store.insert([row("a"), row("b")])
        cursor = reader.execute("SELECT * FROM metadata")
        cursor.fetchone()
        with pytest.raises(Busy), store.transaction():
            store.insert([row("c")])
        cursor.close()
        with store.transaction():
            store.insert([row("c")])
        assert store.existing(["c"]) == {"c"}


def test_readers_can_open_it_without_writing_beside_it(path: Path) -> None:
    with closing(MetadataStore(path)) as store:
        store.create()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.execute("SELECT * FROM metadata").fetchall()
        assert [item.name for item in path.parent.iterdir()] == ["metadata.db"]
