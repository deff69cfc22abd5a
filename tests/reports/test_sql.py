"""SQL over the facts: everything in them, nothing else, and never without an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from screen_memory import InProcessModel, Memory, failing, folder_in_memory, minutes, process

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, UsageError
from pipeline.reports.sql import query_facts
from pipeline.reports.sql_process import Refused, answer
from pipeline.reports.views import view_statements
from pipeline.settings import Settings

RUN_IDS = ["a b", "a/b", "50%", "k=v", "a%2Fb", "ü\U0001f9ea", "..", "'q'", "2026-03-01", "0012", "NULL"]
SECRET = "what no query may read"


@pytest.fixture(scope="module")
def root() -> Iterator[DataRoot]:
    """A DataRoot with a frame of each odd run id."""
    with folder_in_memory() as folder:
        memory = Memory(folder / "root")
        for run_id in RUN_IDS:
            memory.frame(0, minutes(10, 0)[0], run_id)
        memory.frame(1, minutes(10, 1)[0], "a b")
        broken = memory.frame(2, minutes(10, 2)[0], "a b")
        model = InProcessModel(memory.root)
        model.replies[broken] = failing("image_unreadable", retryable=False)
        process(memory.root, model)
        yield memory.root


@pytest.fixture(scope="module")
def small() -> Iterator[DataRoot]:
    """A DataRoot with one frame, in a folder whose name looks like a pattern, with links that lead out of the facts."""
    with folder_in_memory() as folder:
        memory = Memory(folder / "it's a [root]*")
        memory.frame(0, minutes(10, 0)[0])
        process(memory.root)
        (folder / "secret").mkdir()
        (folder / "secret" / "secret.txt").write_text(SECRET)
        (memory.root.facts / "link").symlink_to(folder / "secret")
        (memory.root.facts / "link.txt").symlink_to(folder / "secret" / "secret.txt")
        yield memory.root


def ask(root: DataRoot, statement: str, **settings: Any) -> list[dict[str, Any]]:
    return list(query_facts(root, statement, Settings(**settings)).rows.to_pylist())


def here(root: DataRoot, statement: str) -> dict[str, Any]:
    """The same without a process of its own."""
    views = view_statements(root.facts)
    header, _ = answer(
        {"facts": str(root.facts), "views": views, "statement": statement, "memory_mb": 512, "max_rows": 100}
    )
    return header


def test_each_table_is_there_with_its_rows(root: DataRoot) -> None:
    tables = ("frames", "windows", "url_visits", "line_tracks", "records", "stage_outcomes", "ocr_lines")
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
    (row,) = ask(root, f"SELECT {counts}")
    assert row == {
        "frames": 13,
        "windows": 0,
        "url_visits": 0,
        "line_tracks": 23,
        "records": 12,
        "stage_outcomes": 26,
        "ocr_lines": 24,
    }


def test_run_ids_come_back_as_they_were(root: DataRoot) -> None:
    tables = ("frames", "records", "stage_outcomes", "ocr_lines")
    queries = [f"SELECT DISTINCT '{table}' AS t, run_id FROM {table}" for table in tables]
    found = ask(root, " UNION ALL ".join(queries))
    assert sorted((row["t"], row["run_id"]) for row in found) == sorted((t, r) for t in tables for r in RUN_IDS)


def test_partitions_have_types(root: DataRoot) -> None:
    (row,) = ask(root, "SELECT DISTINCT day::VARCHAR AS day, typeof(day) AS kind, hour FROM frames")
    assert row == {"day": "2026-03-01", "kind": "DATE", "hour": "10"}


def test_lines_are_those_of_current_records_with_their_place(root: DataRoot) -> None:
    query = (
        'SELECT line_number, text, score, "left", top, "right", bottom FROM ocr_lines WHERE run_id = \'k=v\' ORDER BY 1'
    )
    assert ask(root, query) == [
        {"line_number": 0, "text": "a shows the same", "score": 9000, "left": 10, "top": 0, "right": 300, "bottom": 18},
        {"line_number": 1, "text": "pixels of k=v 0", "score": 9000, "left": 10, "top": 20, "right": 300, "bottom": 38},
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "FROM frames LIMIT 1",
        "VALUES (1)",
        "TABLE frames",
        "DESCRIBE frames",
        "SUMMARIZE frames",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "explain\n select * from frames",
        "SELECT 1;",
        "-- a comment\nSELECT 1 /* and one more */",
        "WITH a AS (SELECT 1 AS n), b AS (FROM a) SELECT * FROM b UNION ALL SELECT 2 ORDER BY n",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT max(n) FROM r",
        "SELECT unnest([1, 2]), range FROM range(2)",
        "SELECT * FROM generate_series(1, 3)",
        "PIVOT frames ON height IN (480) USING count(*)",
        "SELECT column_name FROM duckdb_columns() WHERE NOT internal",
        "SELECT table_name FROM information_schema.tables",
    ],
)
def test_what_reads_is_answered(statement: str, small: DataRoot) -> None:
    assert here(small, statement)["kind"] == "rows"


REFUSED = [
    "ATTACH '{out}/other.db'",
    "COPY (SELECT 1) TO '{out}/x.parquet'",
    "COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN/**/ANALYZE COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN /* ; */ ANALYZE COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN -- SELECT\n ANALYZE COPY (SELECT 1) TO '{facts}/x.parquet'",
    "EXPLAIN EXPLAIN ANALYZE COPY (SELECT 1) TO '{facts}/x.parquet'",
    "WITH c AS (COPY (SELECT 1) TO '{facts}/x.parquet') SELECT * FROM c",
    "SELECT (WITH c AS (COPY (SELECT 1) TO '{facts}/x.parquet') SELECT count(*) FROM c)",
    "EXPLAIN WITH c AS (COPY (SELECT 1) TO '{facts}/x.parquet') SELECT * FROM c",
    "SELECT * FROM query('WITH c AS (COPY (SELECT 1) TO ''{facts}/x.parquet'') FROM c')",
    "SELECT * FROM \"Query\"('SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "EXPORT DATABASE '{facts}/copy'",
    "CREATE TABLE t(a INT)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "INSERT INTO frames VALUES (1)",
    "DELETE FROM frames",
    "WITH c AS (DELETE FROM frames RETURNING 1) FROM c",
    "DROP VIEW frames",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET memory_limit",
    "PRAGMA threads = 1",
    "PRAGMA version",
    "CALL pragma_version()",
    "INSTALL fts",
    "LOAD fts",
    "LOAD '{out}/x.duckdb_extension'",
    "CHECKPOINT",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{facts}/x.parquet'",
    "",
    "-- nothing",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_text('{facts}/../../../secret/secret.txt')",
    "SELECT * FROM read_text('{facts}/link.txt')",
    "SELECT * FROM read_blob('{facts}/link/secret.txt')",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM '{facts}/link.txt'",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM read_parquet('{facts}/link/*')",
    "SELECT * FROM parquet_metadata('{secret}')",
    "SELECT * FROM glob('{out}/*')",
    "SELECT * FROM glob('{facts}/link/*')",
    "SELECT * FROM read_parquet('http://127.0.0.1:9/x.parquet')",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{facts}/log')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM read_duckdb('{out}/other.db')",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_anything_else_is_refused_and_leaves_nothing(statement: str, small: DataRoot) -> None:
    out = small.path.parent
    places = {"facts": small.facts, "out": out, "secret": out / "secret" / "secret.txt"}
    filled = statement.format(**{name: str(place).replace("'", "''") for name, place in places.items()})
    before = sorted(out.rglob("*"))
    with pytest.raises((Refused, duckdb.Error)) as error:
        here(small, filled)
    assert SECRET not in str(error.value)
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM glob('/etc/*')", "ATTACH 'x.db'", "SELECT 1; SELECT 2"],
)
def test_what_is_refused_is_a_breach_of_contract_that_says_why(statement: str, small: DataRoot) -> None:
    with pytest.raises(ContractInvalid, match=r"^refused: ") as error:
        ask(small, statement)
    assert "docs/sql.md" in error.value.remedy


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM frames", "nothing"),
        ("SELECT * FROM frame", "frames"),
        ("SELECT 1 / 'x'", "x"),
        ("SELECT * FROM statement", "does not exist"),
    ],
)
def test_bad_sql_is_a_usage_error(statement: str, message: str, small: DataRoot) -> None:
    with pytest.raises(UsageError, match=message):
        ask(small, statement)


FOREVER = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT "


@pytest.mark.parametrize("statement", [FOREVER + "count(*) FROM r", FOREVER + "* FROM r WHERE n < 0"])
def test_a_query_without_an_end_is_stopped_by_time(statement: str, small: DataRoot) -> None:
    with pytest.raises(ContractInvalid, match=r"stopped after 1\.5 s"):
        ask(small, statement, sql_timeout_s=1.5)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM (SELECT DISTINCT i, repeat('x', 1000) FROM range(10000000) t(i))",
        "SELECT sum(x) FROM (SELECT unnest(range(1000000000)) AS x)",
    ],
)
def test_a_query_that_takes_too_much_memory_is_stopped(statement: str, small: DataRoot) -> None:
    with pytest.raises(ContractInvalid, match="needs more than 64 MiB"):
        ask(small, statement, sql_memory_mb=64)


def test_rows_beyond_the_limit_are_cut_and_told(small: DataRoot) -> None:
    for limit, truncated in [(9, True), (10, False), (11, False)]:
        result = query_facts(small, "SELECT range AS n FROM range(10) ORDER BY n", Settings(sql_max_rows=limit))
        assert (result.rows["n"].to_pylist(), result.truncated) == (list(range(10))[:limit], truncated)
    endless = query_facts(small, FOREVER + "* FROM r", Settings(sql_max_rows=3_000))
    assert (endless.rows.num_rows, endless.truncated) == (3_000, True)


def test_no_rows_have_columns(small: DataRoot) -> None:
    result = query_facts(small, "SELECT frame_id, width FROM frames WHERE false", Settings())
    assert (result.rows.num_rows, result.rows.column_names) == (0, ["frame_id", "width"])


def test_an_empty_dataroot_has_empty_tables(tmp_path: Path) -> None:
    empty = DataRoot(tmp_path / "empty").create()
    query = "SELECT (SELECT count(*) FROM {}) + (SELECT count(*) FROM {}) AS n"
    assert ask(empty, query.format("frames", "ocr_lines")) == [{"n": 0}]
    assert ask(empty, "SELECT day, hour, emb_vectors[1].vector FROM records") == []


def test_empty_and_filled_tables_have_the_same_columns(root: DataRoot, tmp_path: Path) -> None:
    empty = DataRoot(tmp_path / "empty").create()
    query = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    assert ask(empty, query) == ask(root, query)


def test_a_damaged_fact_file_is_named(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, minutes(10, 0)[0])
    process(memory.root)
    (path,) = (memory.root.facts / "frames").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ContractInvalid, match=r"part-list_frames\.parquet"):
        ask(memory.root, "SELECT * FROM frames")


def test_files_that_are_not_finished_are_passed_over(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, minutes(10, 0)[0])
    process(memory.root)
    (path,) = (memory.root.facts / "frames").rglob("*.parquet")
    path.with_name(f".tmp-{path.name}-x").write_bytes(b"torn")
    assert ask(memory.root, "SELECT count(*) AS n FROM frames") == [{"n": 1}]


def test_times_are_utc_whatever_the_environment_says(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        query = "SELECT ts_utc::VARCHAR AS t FROM frames WHERE run_id = 'k=v'"
        assert ask(root, query) == [{"t": "2026-03-01 10:00:00+00"}]
    finally:
        monkeypatch.undo()
        time.tzset()
