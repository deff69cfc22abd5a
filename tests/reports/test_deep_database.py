"""`doctor --deep` on a metadata.db that is hostile, broken, encrypted or being written; nothing appears beside it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sidecar_root import FRAME, MOMENT, RUN, WINDOW, A, B, SidecarRoot, content, whole_root

from pipeline.reports.deep import database_copy
from pipeline.reports.deep.database_copy import CannotCopy, copy_database


def failures(root: SidecarRoot) -> list[str]:
    return [reason.code for reason in root.examine().reasons("failure")]


def told(root: SidecarRoot, check: str) -> str:
    return {name: message for name, _, message, _ in root.examine().checks()}[check]


def no_database(root: SidecarRoot) -> str:
    root.file("metadata.db", b"This file is no database.\n" * 400)
    return "database_unreadable"


def empty_file(root: SidecarRoot) -> str:
    root.file("metadata.db", b"")
    return "variant_none"


def endless_view(root: SidecarRoot) -> str:
    root.execute("DROP TABLE metadata")
    root.execute(
        "CREATE VIEW metadata AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n)"
        " SELECT id, '{}' AS payload, 'x' AS record_type, '' AS ts_utc, '' AS run_id FROM n"
    )
    return "variant_none"


def virtual_table(root: SidecarRoot) -> str:
    root.execute("DROP TABLE metadata")
    root.execute("CREATE VIRTUAL TABLE metadata USING fts5(id, payload, record_type, ts_utc, run_id)")
    return "variant_none"


def generated_column(root: SidecarRoot) -> str:
    root.execute("DROP TABLE metadata")
    root.execute("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload AS (upper(id)), record_type, ts_utc, run_id)")
    return "variant_none"


def giant_payload(root: SidecarRoot) -> str:
    root.execute("INSERT INTO metadata VALUES ('a', zeroblob(17 * 1024 * 1024), '', '', '')")
    return "database_unreadable"


def damaged_page(root: SidecarRoot) -> str:
    for number in range(200):
        root.row(f"{RUN}/x/{number}", "{}" + " " * 500, "x")
    with (root.path / "metadata.db").open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    return "database_damaged"


def super_journal(root: SidecarRoot) -> str:
    magic = bytes.fromhex("d9d505f920a163d7")
    root.file("metadata.db-journal", magic + bytes(1024) + magic)
    return "database_unreadable"


@pytest.mark.parametrize(
    "breaks",
    [
        no_database,
        empty_file,
        endless_view,
        virtual_table,
        generated_column,
        giant_payload,
        damaged_page,
        super_journal,
    ],
)
def test_a_database_that_cannot_be_read_is_a_finding(tmp_path: Path, breaks: Callable[[SidecarRoot], str]) -> None:
    root = whole_root(tmp_path / "r")
    expected = breaks(root)
    before = content(root.path)
    assert expected in failures(root)
    assert content(root.path) == before


def test_a_trigger_is_passed_over(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    root.execute("CREATE TRIGGER t AFTER INSERT ON metadata BEGIN SELECT 1; END")
    assert root.examine().ok


def encrypt(root: SidecarRoot) -> None:
    with closing(sqlite3.connect(root.path / "metadata.db")) as connection, connection:
        connection.execute(A.replace("payload TEXT", "payload BLOB"))
        for number in range(3):
            connection.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", (str(number), b"\x93\xff", "x", "", RUN))


def test_encrypted_metadata_beside_records_is_passed_over(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r", B)
    encrypt(root)
    found = root.examine()
    assert found.ok
    assert [reason.code for reason in found.reasons("warning")] == ["metadata_encrypted", "signal_stale"]
    why = "Variant B: the table records is readable; the table metadata its payloads cannot be read"
    assert told(root, "variant") == why


def test_encrypted_metadata_alone_is_no_variant(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    root.execute("UPDATE metadata SET payload = x'93ff'")
    assert failures(root) == ["variant_none"]
    assert told(root, "variant") == "found table metadata"


def test_a_readable_metadata_is_preferred_and_an_empty_one_is_not(tmp_path: Path) -> None:
    both = whole_root(tmp_path / "a")
    both.execute(B)
    both.execute("INSERT INTO records VALUES ('x', 'x', '', '{}')")
    assert told(both, "variant") == "Variant A: the table metadata is readable"
    empty = whole_root(tmp_path / "b", B)
    empty.execute(A)
    assert told(empty, "variant").startswith("Variant B")


@pytest.mark.parametrize(
    "columns", ["record_type, ts_utc, json", "record_id, record_type, ts_utc, json, run_id, extra"]
)
def test_records_may_name_their_ids_in_a_column_or_in_their_json(tmp_path: Path, columns: str) -> None:
    root = SidecarRoot(tmp_path / "r", f"CREATE TABLE records({columns})")
    record_id = f"{RUN}/{WINDOW}/0"
    body = {"schema_version": 1, "record_type": WINDOW, "run_id": RUN, "ts_utc": MOMENT, "content_hash": "0" * 64,
            "window": {}, "record_id": record_id}  # fmt: skip
    values = {"record_id": record_id, "record_type": WINDOW, "ts_utc": MOMENT, "json": json.dumps(body)}
    names = [name for name in columns.split(", ") if name in values]
    marks = ", ".join("?" * len(names))
    root.execute(f"INSERT INTO records({', '.join(names)}) VALUES ({marks})", *(values[name] for name in names))
    assert failures(root) == []
    assert told(root, "records") == f"1 read: 1 {WINDOW}"


def test_rows_in_the_wal_of_a_living_producer_are_seen_and_nothing_is_created(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    with closing(sqlite3.connect(root.path / "metadata.db")) as producer:
        producer.execute("PRAGMA journal_mode = WAL")
        producer.execute("INSERT INTO metadata VALUES ('x', 'torn', 'x', '', '')")
        producer.commit()
        before = content(root.path)
        assert failures(root) == ["payload_unreadable"]
        assert content(root.path) == before
        producer.execute("INSERT INTO metadata VALUES ('y', 'torn', 'x', '', '')")
        producer.commit()


def test_a_torn_transaction_of_a_dead_producer_is_rolled_back_in_the_copy_only(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    for number in range(50):
        root.record(WINDOW, f"p{number}", window={}, filler="x" * 3000)
    with closing(sqlite3.connect(root.path / "metadata.db")) as producer:
        producer.execute("PRAGMA cache_size = 1")
        producer.execute("UPDATE metadata SET payload = 'torn' || payload")
        shutil.copytree(root.path, tmp_path / "left")
        producer.rollback()
    left = SidecarRoot.__new__(SidecarRoot)
    left.path = tmp_path / "left"
    assert (left.path / "metadata.db-journal").stat().st_size > 0
    before = content(left.path)
    assert left.examine().ok
    assert content(left.path) == before


def test_a_database_that_keeps_changing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = whole_root(tmp_path / "r")
    copy = database_copy._copy

    def copy_while_written(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "metadata.db":
            root.record("x", str(len(list(tmp_path.rglob("seen-*")))))
            (tmp_path / f"seen-{len(list(tmp_path.rglob('seen-*')))}").touch()

    monkeypatch.setattr(database_copy, "_copy", copy_while_written)
    monkeypatch.setattr(database_copy, "_PAUSE_S", 0.0)
    (tmp_path / "copy").mkdir()
    with pytest.raises(CannotCopy) as error:
        copy_database(root.path / "metadata.db", tmp_path / "copy")
    assert error.value.code == "database_busy"
    assert len(list(tmp_path.rglob("seen-*"))) == database_copy.ATTEMPTS
    assert failures(root) == ["database_busy"]


def test_a_database_that_rests_after_a_write_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = whole_root(tmp_path / "r")
    copy = database_copy._copy
    written: list[str] = []

    def copy_while_written(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "metadata.db" and not written:
            written.append(root.frame("9"))

    monkeypatch.setattr(database_copy, "_copy", copy_while_written)
    monkeypatch.setattr(database_copy, "_PAUSE_S", 0.0)
    assert root.examine().ok
    assert f"3 {FRAME}" in told(root, "records")


def test_a_step_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = whole_root(tmp_path / "r")
    root.execute(
        "INSERT INTO metadata WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)"
        " SELECT 'a/b/' || i, '{}', 'x', NULL, NULL FROM n"
    )
    monkeypatch.setattr("pipeline.reports.deep.tables._BUDGET_S", -1.0)
    assert failures(root) == ["database_unreadable"]
