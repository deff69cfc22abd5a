"""`handoff_manifest_sha256` and the handoff's id, against values made another way `[handoff-11]`."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from handoff_builder import ingest_one, sha256, tree, whole_handoff

from pipeline.ingest.manifest import handoff_id


def test_the_manifest_digest_covers_rows_and_files_but_not_marker_wal_and_shm(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    files = sorted([name, len(content), sha256(content)] for name, content in tree(handoff.path).items())
    with closing(sqlite3.connect(handoff.path / "metadata.db")) as connection:
        rows = sorted([row[0], sha256(row[1].encode())] for row in connection.execute("SELECT * FROM metadata"))
    handoff.file("metadata.db-shm", b"x")
    handoff.file("reap_eligible.json", b"{}")
    text = json.dumps({"files": files, "rows": rows}, separators=(",", ":"), ensure_ascii=False)
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert ingest_one(tmp_path / "root", handoff.path).handoff_id == f"h-{expected[:16]}"


@pytest.mark.parametrize("change", [("journal.ndjson", b"{ }"), ("new.log", b""), ("metadata.db-journal", b"")])
def test_any_other_file_changes_the_digest(tmp_path: Path, change: tuple[str, bytes]) -> None:
    plain, changed = whole_handoff(tmp_path / "a/h"), whole_handoff(tmp_path / "b/h")
    changed.file(*change)
    one = ingest_one(tmp_path / "root-a", plain.path).handoff_id
    assert ingest_one(tmp_path / "root-b", changed.path).handoff_id != one


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-03-01", "2026-03-01-0123456789abcdef"),
        ("a b%c", "a%20b%25c-0123456789abcdef"),
        (".tmp-x", "%2Etmp-x-0123456789abcdef"),
        ("é", "%C3%A9-0123456789abcdef"),
        ("n" * 255, "n" * 200 + "-0123456789abcdef"),
    ],
)
def test_the_handoff_id_is_safe_as_a_file_name(name: str, expected: str) -> None:
    assert handoff_id(Path("/spool") / name, "0123456789abcdef" * 4) == expected
