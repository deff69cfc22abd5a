"""The handoff's own database: read from a private snapshot, and trusted in nothing `[handoff-8]`, `[meta-1]`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import RUN, VARIANT_A, Handoff, ingest_one, kept, leave_uncheckpointed, rows, tree

from pipeline.errors import ContractInvalid
from pipeline.ingest.foreign_rows import MAX_VALUE_BYTES, ForeignDatabase
from pipeline.ingest.result import State


def test_rows_in_a_wal_that_a_dead_producer_left_count(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    statement = f"INSERT INTO metadata VALUES ('{RUN}/x/0', '{{}}', 'x', NULL, NULL)"
    leave_uncheckpointed(handoff, "wal", statement, commit=True)
    before = tree(handoff.path)
    assert len(before["metadata.db-wal"]) > 0
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.rows == 1
    assert f"{RUN}/x/0" in rows(tmp_path / "root")
    after = tree(handoff.path)
    del after["reap_eligible.json"]
    assert after == before


def test_a_torn_end_of_the_wal_is_passed_over(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    statement = f"INSERT INTO metadata VALUES ('{RUN}/x/0', '{{}}', 'x', NULL, NULL)"
    leave_uncheckpointed(handoff, "wal", statement, commit=True)
    with (handoff.path / "metadata.db-wal").open("ab") as wal:
        wal.write(b"\x00torn" * 100)
    assert ingest_one(tmp_path / "root", handoff.path).rows == 1


def test_a_transaction_that_a_dead_producer_left_open_is_rolled_back(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    for number in range(50):
        handoff.raw_row(f"{RUN}/x/{number}", "{}" + " " * 3000)
    leave_uncheckpointed(handoff, "delete", "UPDATE metadata SET payload = 'torn' || payload", commit=False)
    assert (handoff.path / "metadata.db-journal").stat().st_size > 0
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows) == (State.ingested, 50)
    assert {row[0][:4] for name, row in rows(tmp_path / "root").items() if name.startswith(RUN)} == {"{}  "}


def test_a_journal_that_names_a_super_journal_is_refused_and_the_named_file_lives(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    name = os.fsencode(victim)
    checksum = sum(name).to_bytes(4, "big")
    ending = name + len(name).to_bytes(4, "big") + checksum + bytes.fromhex("d9d505f920a163d7")
    handoff.file("metadata.db-journal", bytes.fromhex("d9d505f920a163d7") + bytes(1024) + ending)
    assert ingest_one(tmp_path / "root", handoff.path).state is State.rejected
    assert victim.read_bytes() == b"precious"


def not_sqlite(path: Path) -> str:
    path.mkdir()
    (path / "metadata.db").write_bytes(b"this is no database, but a text of some length" * 100)
    return "not a SQLite database"


def empty_file(path: Path) -> str:
    path.mkdir()
    (path / "metadata.db").touch()
    return "no table at all"


def directory(path: Path) -> str:
    (path / "metadata.db").mkdir(parents=True)
    return "no metadata.db"


def another_table(path: Path) -> str:
    Handoff(path, "CREATE TABLE frames(record_type, ts_utc, json)")
    return "table 'frames'"


def view(path: Path) -> str:
    Handoff(path, "CREATE VIEW metadata AS SELECT 1 AS id, 2 AS payload, 3 AS record_type, 4 AS ts_utc, 5 AS run_id")
    return "view 'metadata'"


def endless_view(path: Path) -> str:
    Handoff(
        path,
        "CREATE VIEW metadata AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n)"
        " SELECT id, '' AS payload, '' AS record_type, '' AS ts_utc, '' AS run_id FROM n",
    )
    return "view 'metadata'"


def virtual_table(path: Path) -> str:
    Handoff(path, "CREATE VIRTUAL TABLE metadata USING fts5(id, payload, record_type, ts_utc, run_id)")
    return "virtual table 'metadata'"


def missing_column(path: Path) -> str:
    Handoff(path, "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL)")
    return "expected a table metadata with id, payload, record_type"


def generated_column(path: Path) -> str:
    Handoff(
        path,
        "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload AS (upper(id)), record_type TEXT, ts_utc TEXT, run_id)",
    )
    return "expected a table metadata with id, payload, record_type"


def no_primary_key(path: Path) -> str:
    handoff = Handoff(path, VARIANT_A.replace(" PRIMARY KEY", ""))
    handoff.raw_row("a/b/c", "{}")
    handoff.raw_row("a/b/c", "[]")
    return "primary key id"


def number_as_id(path: Path) -> str:
    handoff = Handoff(path)
    handoff.raw_row(b"\x01", "{}")
    return "an id that is no text"


def null_as_id(path: Path) -> str:
    handoff = Handoff(path)
    handoff.raw_row(None, "{}")
    return "an id that is no text"


def null_as_payload(path: Path) -> str:
    handoff = Handoff(path, VARIANT_A.replace(" NOT NULL", ""))
    handoff.raw_row("a/b/c", None)
    handoff.raw_row("a/b/d", "{}")
    return "no payload"


def giant_payload(path: Path) -> str:
    handoff = Handoff(path)
    handoff.execute("INSERT INTO metadata VALUES ('a', zeroblob(?), '', '', '')", MAX_VALUE_BYTES + 1)
    return "larger than 16 MiB"


def damaged_page(path: Path) -> str:
    handoff = Handoff(path)
    for number in range(200):
        handoff.raw_row(f"a/b/{number}", "{}" + " " * 500)
    with (path / "metadata.db").open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    return "metadata.db"


@pytest.mark.parametrize(
    "make",
    [
        not_sqlite,
        empty_file,
        directory,
        another_table,
        view,
        endless_view,
        virtual_table,
        missing_column,
        generated_column,
        no_primary_key,
        number_as_id,
        null_as_id,
        null_as_payload,
        giant_payload,
        damaged_page,
    ],
)
def test_a_database_that_is_not_variant_a_is_rejected_naming_what_was_found(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    found = make(tmp_path / "h")
    before = tree(tmp_path / "h")
    result = ingest_one(tmp_path / "root", tmp_path / "h")
    assert result.state is State.rejected
    assert found in result.error
    assert result.remedy
    assert tree(tmp_path / "h") == before
    assert kept(tmp_path / "root") == {}


def test_a_step_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.execute(
        "INSERT INTO metadata WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
        " SELECT 'a/b/' || i, '{}', 'x', NULL, NULL FROM n"
    )
    monkeypatch.setattr("pipeline.ingest.foreign_rows.BUDGET_S", -1.0)
    with pytest.raises(ContractInvalid, match="too long"):
        ForeignDatabase(handoff.path / "metadata.db")


@pytest.mark.parametrize(
    "extra",
    [
        "CREATE TABLE notes(text)",
        "ALTER TABLE metadata ADD COLUMN colour TEXT",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON metadata BEGIN SELECT 1; END",
    ],
)
def test_what_else_a_database_holds_is_kept_with_the_whole_database(tmp_path: Path, extra: str) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0")
    handoff.execute(extra)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames_complete) == (State.ingested, 1)
    copy = tmp_path / "root/handoffs" / result.handoff_id / "metadata.db"
    assert copy.read_bytes() == (handoff.path / "metadata.db").read_bytes()
    assert copy.stat().st_ino != (handoff.path / "metadata.db").stat().st_ino


def test_an_ordinary_database_is_not_kept_twice(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.execute("CREATE INDEX i ON metadata(ts_utc)")
    ingest_one(tmp_path / "root", handoff.path)
    assert not (tmp_path / "root/handoffs").exists()


def test_a_database_in_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.mkdir()
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute(VARIANT_A)
        connection.execute("INSERT INTO metadata VALUES ('r/x/0', '{\"é\": 1}', 'x', NULL, NULL)")
    ingest_one(tmp_path / "root", path)
    assert rows(tmp_path / "root")["r/x/0"][0] == '{"é": 1}'


def test_rows_come_in_the_order_of_their_ids_whatever_their_collation(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h", VARIANT_A.replace("PRIMARY KEY", "COLLATE NOCASE PRIMARY KEY"))
    for name in ("b", "A", "C", "é", "a1"):
        handoff.raw_row(name, "{}")
    with ForeignDatabase(handoff.path / "metadata.db") as foreign:
        ids: list[Any] = [row.record_id for chunk in foreign.chunks() for row in chunk]
    assert ids == ["A", "C", "a1", "b", "é"]
