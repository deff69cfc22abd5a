"""A claim that was found by meaning falls with the span it was found by; the search by words goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import RunCli
from meaning_memory import embedding_server, process_with_meaning, titled_frame
from screen_memory import Memory
from test_meaning import NOW, asked

from pipeline.dataroot import DataRoot
from pipeline.stores.landscape import read_manifest
from pipeline.stores.landscape_build import build_landscape
from schemas.answer import Answer
from schemas.arrow import table_schema

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

QUESTION = "On which shelf are the spare rolls for printers stored?"
WRITTEN = "Which rolls are kept on shelf 14?"


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    memory = Memory(tmp_path_factory.mktemp("proof") / "root")
    process_with_meaning(memory, {
        titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Shift notes"):
            ["Spare rolls for printers are kept on shelf 14", "Ask the vendor desk about order 7731"],
    })  # fmt: skip
    build_landscape(memory.root)
    return memory.root


@pytest.fixture
def root(processed: DataRoot, tmp_path: Path) -> Iterator[DataRoot]:
    own = DataRoot(shutil.copytree(processed.path, tmp_path / "own"))
    with embedding_server(own):
        yield own


def test_the_claim_stands_as_long_as_nothing_is_damaged(root: DataRoot) -> None:
    answer, _ = asked(root, QUESTION)
    assert (answer.state, answer.dropped, answer.missing) == ("ok", [], [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda told: {**told, "text_sha256": "f" * 64}, "another text"),
        (lambda told: {**told, "record_id": told["record_id"][:-1] + "z"}, "another embedding"),
    ],
)
def test_a_landscape_row_that_says_otherwise(
    root: DataRoot, change: Callable[[dict[str, Any]], dict[str, Any]], reason: str
) -> None:
    path = folder(root) / "spans.jsonl"
    path.write_bytes(orjson.dumps(change(orjson.loads(path.read_bytes())), option=orjson.OPT_SORT_KEYS) + b"\n")
    is_left_out(asked(root, QUESTION)[0], reason)


def test_a_vector_that_is_not_its_records(root: DataRoot) -> None:
    path = folder(root) / "vectors.npy"
    vectors = np.load(path)
    vectors[0, 0] += np.float32(0.001)
    np.save(path, vectors)
    is_left_out(asked(root, QUESTION)[0], "another vector")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM tracks WHERE text = (SELECT id FROM texts WHERE text LIKE 'Ask%')", "is not there"),
        ("UPDATE texts SET text = text || '!' WHERE text LIKE 'Ask%'", "does not hash"),
        ("UPDATE spans SET heading = NULL", "does not hash"),
        ("UPDATE spans SET tracks = x'00'", "does not hash"),
        ("UPDATE spans SET text_sha256 = replace(text_sha256, 'a', 'b')", "does not hash"),
        ("UPDATE spans SET vector_sha256 = replace(vector_sha256, 'a', 'b')", "another vector"),
        ("UPDATE spans SET record_id = record_id || 'x'", "another embedding"),
        ("UPDATE tracks SET fl = fl + 1, ll = ll + 1", "not the one that its record held"),
    ],
)
def test_an_index_that_was_tampered_with(root: DataRoot, change: str, reason: str) -> None:
    connection = sqlite3.connect(root.text_index)
    connection.execute(change)
    connection.commit()
    connection.close()
    answer = asked(root, QUESTION)[0]
    if "tracks = x" in change:  # no line of it is known any more: nothing to claim
        assert (answer.state, answer.claims) == ("no_evidence", [])
    else:
        is_left_out(answer, reason)


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("spans", lambda row: {**row, "text": row["text"] + "!"}, "not in its fact file as it was indexed"),
        ("spans", lambda _: None, "not in its fact file as it was indexed"),
        ("records", lambda row: turned(row), "not in its record as it was indexed"),
        ("records", lambda row: None if row["modality"] == "embed" else row, "not in its record as it was indexed"),
    ],
)
def test_a_fact_that_was_rewritten_otherwise(
    root: DataRoot, table: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], reason: str
) -> None:
    rewrite(root, table, change)
    is_left_out(asked(root, QUESTION)[0], reason)


@pytest.mark.parametrize("table", ["spans", "records"])
def test_a_fact_that_was_rewritten_the_same_is_no_reason(root: DataRoot, table: str) -> None:
    rewrite(root, table, lambda row: row)
    assert (asked(root, QUESTION)[0].state, asked(root, QUESTION)[0].dropped) == ("ok", [])


def test_a_fact_file_that_cannot_be_read(root: DataRoot) -> None:
    for path in (root.facts / "spans").rglob("part-*.parquet"):
        path.write_bytes(b"PAR1")
    is_left_out(asked(root, QUESTION)[0], "cannot be read")


@pytest.mark.parametrize(
    "name", ["vectors.npy", "first_us.npy", "last_us.npy", "line_ends.npy", "spans.jsonl", "landscape.json"]
)
@pytest.mark.parametrize("content", [None, b"", b"nothing", b"\x93NUMPY\x01\x00\xff\xff{"])
def test_a_damaged_landscape_leaves_the_search_by_words(root: DataRoot, name: str, content: bytes | None) -> None:
    path = root.landscape_manifest if name == "landscape.json" else folder(root) / name
    path.unlink() if content is None else path.write_bytes(content)
    answer, reading = asked(root, WRITTEN)
    assert (answer.state, len(answer.claims)) == ("ok", 1)
    answer, reading = asked(root, QUESTION)
    assert (answer.state, answer.claims) == ("no_evidence", [])
    if name != "landscape.json" or content is not None:
        assert reading.meaning.startswith("did not join in: the landscape is damaged")
        assert [(item.artifact, item.reason, item.remedy) for item in answer.missing] == [
            ("landscape", "failed", "pipeline landscape build")
        ]


def test_a_row_of_the_landscape_that_cannot_be_read_is_told(root: DataRoot, run_cli: RunCli) -> None:
    path = folder(root) / "spans.jsonl"
    path.write_bytes(b"#" * path.stat().st_size)
    answer, reading = asked(root, QUESTION)
    assert (answer.state, answer.claims) == ("no_evidence", [])
    assert reading.meaning.startswith("joined in")
    assert [item.artifact for item in answer.missing] == ["landscape"]
    assert [(item.record_id, "cannot be read" in item.reason) for item in answer.dropped] == [("", True)]


def test_a_damaged_landscape_is_no_error_of_the_command(root: DataRoot, run_cli: RunCli) -> None:
    (folder(root) / "vectors.npy").write_bytes(b"nothing")
    shown = run_cli("query", QUESTION, "--now", NOW.isoformat(), "--explain", "--data-root", root.path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "meaning: did not join in: " in shown.stdout


def test_numbers_that_are_none_are_like_nothing(root: DataRoot) -> None:
    path = folder(root) / "vectors.npy"
    np.save(path, np.full_like(np.load(path), np.nan))
    answer, _ = asked(root, QUESTION)
    assert (answer.state, answer.claims) == ("no_evidence", [])


def test_spans_that_the_index_does_not_know_are_passed_over(root: DataRoot) -> None:
    connection = sqlite3.connect(root.text_index)
    connection.execute("DELETE FROM spans")
    connection.commit()
    connection.close()
    answer, _ = asked(root, QUESTION)
    assert (answer.state, answer.claims, answer.dropped) == ("no_evidence", [], [])


def test_json_and_explain_say_what_was_used(root: DataRoot, run_cli: RunCli) -> None:
    shown = run_cli("query", QUESTION, "--now", NOW.isoformat(), "--json", "--explain", "--data-root", root.path)
    content = json.loads(shown.stdout)
    joined = content["explain"]["meaning"] == "joined in: 1 spans were compared with the question"
    assert joined or "within 50 ms" in content["explain"]["meaning"]  # on a busy machine
    assert content["parts_used"] == (["text_index", "landscape"] if joined else ["text_index"])


def is_left_out(answer: Answer, reason: str) -> None:
    assert (answer.state, answer.claims) == ("no_evidence", [])
    assert [reason in item.reason for item in answer.dropped] == [True], answer.dropped


def folder(root: DataRoot) -> Path:
    manifest = read_manifest(root)
    assert manifest is not None
    return root.landscape / manifest.folder


def turned(row: dict[str, Any]) -> dict[str, Any]:
    for item in row["emb_vectors"]:
        item["vector"] = item["vector"][::-1]
    return row


def rewrite(root: DataRoot, table: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    for path in (root.facts / table).rglob("part-*.parquet"):
        rows = [changed for row in pq.ParquetFile(path).read().to_pylist() if (changed := change(row)) is not None]
        pq.write_table(pa.Table.from_pylist(rows, schema=table_schema(table)), path)
