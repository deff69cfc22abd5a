"""Reading evidence: whatever lies in a DataRoot ends in a row, an outcome or a clear error."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from screen_memory import Memory, minutes

from pipeline.dataroot import DataRoot
from pipeline.errors import Busy, ContractInvalid, SampleError
from pipeline.stores import evidence as evidence_module
from pipeline.stores.evidence import EvidenceStore, load_blob, open_database_read_only
from schemas.canonical import sha256_hex
from schemas.evidence import FRAME, INPUT


def store_of(folder: Path, *statements: str) -> DataRoot:
    folder.mkdir()
    with closing(sqlite3.connect(folder / "metadata.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return DataRoot(folder)


FOREVER = (
    "CREATE VIEW metadata AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i AS id, '' AS payload, '' AS record_type, '' AS ts_utc, '' AS run_id FROM n"
)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        ((), "no table metadata"),
        (("CREATE TABLE records(record_type, ts_utc, json)",), "no table metadata"),
        (("CREATE TABLE metadata(id, payload)",), "a table metadata with id, payload; expected Variant A"),
        ((FOREVER,), "a view metadata with id, payload, record_type, run_id, ts_utc; expected Variant A"),
        (("CREATE VIRTUAL TABLE metadata USING fts5(id, payload, record_type, ts_utc, run_id)",), "a virtual metadata"),
    ],
)
def test_what_is_no_variant_a_is_named(statements: tuple[str, ...], found: str, tmp_path: Path) -> None:
    with pytest.raises(ContractInvalid, match=found):
        EvidenceStore(store_of(tmp_path / "root", *statements))


def test_a_missing_store_and_a_store_that_is_no_database_are_named(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = DataRoot(tmp_path / "root")
    with pytest.raises(ContractInvalid, match="no metadata store"):
        EvidenceStore(root)
    root.metadata_db.write_bytes(b"This file is no database.\n" * 40)
    with pytest.raises(ContractInvalid, match="no readable SQLite database"):
        EvidenceStore(root)
    root.metadata_db.unlink()
    root.metadata_db.mkdir()
    with pytest.raises(ContractInvalid, match="no metadata store"):
        EvidenceStore(root)


def test_a_store_with_a_damaged_page_is_named(memory: Memory) -> None:
    for number, moment in enumerate(minutes(10, *range(50))):
        memory.put(INPUT, number, moment, {"events": []})
    data = bytearray(memory.root.metadata_db.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    memory.root.metadata_db.write_bytes(data)
    with EvidenceStore(memory.root) as evidence, pytest.raises(ContractInvalid, match="no readable SQLite database"):
        list(evidence.scan([INPUT], 0))


def test_a_store_that_stays_locked_is_busy(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        evidence_module,
        "open_database_read_only",
        lambda path: sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0),
    )
    with closing(sqlite3.connect(memory.root.metadata_db, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy):
            EvidenceStore(memory.root)


def test_nothing_can_be_written(memory: Memory) -> None:
    with closing(open_database_read_only(memory.root.metadata_db)) as connection:
        for statement in ("DELETE FROM metadata", "CREATE TABLE t(a)", "PRAGMA user_version = 7"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute(statement)


KILLED_IN_A_TRANSACTION = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE metadata SET payload = payload || 'never committed'")
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_had_not_committed_is_not_seen(memory: Memory) -> None:
    for number, moment in enumerate(minutes(10, *range(40))):
        memory.put(INPUT, number, moment, {"events": [], "padding": "x" * 4000})
    with EvidenceStore(memory.root) as evidence:
        before = list(evidence.scan([INPUT], 0))
    subprocess.run([sys.executable, "-c", KILLED_IN_A_TRANSACTION, memory.root.metadata_db], check=False)
    assert memory.root.metadata_db.with_name("metadata.db-journal").stat().st_size > 0
    with EvidenceStore(memory.root) as evidence:
        assert list(evidence.scan([INPUT], 0)) == before


def test_rows_are_found_by_id_by_type_and_by_time(memory: Memory) -> None:
    first, second = (memory.put(INPUT, n, moment, {"events": []}) for n, moment in enumerate(minutes(10, 0, 1)))
    frame = memory.frame(0, minutes(10, 2)[0])
    with EvidenceStore(memory.root) as evidence:
        assert evidence.count([INPUT, FRAME]) == 3
        assert [row.record_id for row in evidence.scan([INPUT], 0)] == [first, second]
        assert [row.record_id for row in evidence.scan([INPUT, FRAME], 1)] == [second, frame]
        assert set(evidence.rows([first, "absent", frame])) == {first, frame}
        many = [*(f"absent/{n}" for n in range(1200)), second]
        assert set(evidence.rows(many)) == {second}
        between = evidence.rows_between(INPUT, "desk-1", minutes(10, 1)[0], minutes(10, 2)[0])
        assert [row.record_id for row in between] == [second]


def test_text_that_is_not_utf_8_does_not_stop_the_walk(memory: Memory) -> None:
    memory.put(INPUT, 0, minutes(10, 0)[0], {"events": []})
    with closing(sqlite3.connect(memory.root.metadata_db)) as connection:
        connection.execute(
            "INSERT INTO metadata SELECT 'r/x', CAST(x'ff7b7d' AS TEXT), record_type, ts_utc, 'r' FROM metadata"
        )
        connection.commit()
    with EvidenceStore(memory.root) as evidence:
        assert len(list(evidence.scan([INPUT], 0))) == 2


def test_a_blob_is_proved_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"pixels")
    root = DataRoot(tmp_path)
    assert load_blob(root, "blob", sha256_hex(b"pixels")) == b"pixels"
    with pytest.raises(SampleError, match="blob_hash_differs"):
        load_blob(root, "blob", sha256_hex(b"others"))


def test_what_is_no_blob_is_told_and_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blob").write_bytes(b"pixels")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("blob")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(evidence_module, "MAX_BLOB_BYTES", 5)
    found = {}
    for name in ("absent", "folder", "link", "fifo", "x" * 300, "a\x00b", "blob", "blob/below"):
        with pytest.raises(SampleError) as error:
            load_blob(DataRoot(tmp_path), name, sha256_hex(b"pixels"))
        found[name[:10]] = (error.value.failure.code, error.value.failure.retryable)
    assert found == {
        "absent": ("blob_missing", True),
        "folder": ("blob_unreadable", False),
        "link": ("blob_unreadable", False),
        "fifo": ("blob_unreadable", False),
        "x" * 10: ("blob_unreadable", False),
        "a\x00b": ("blob_unreadable", False),
        "blob": ("blob_too_large", False),
        "blob/below": ("blob_unreadable", False),
    }


def test_looking_leaves_no_open_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(SampleError):
            load_blob(DataRoot(tmp_path), "folder", "0" * 64)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
