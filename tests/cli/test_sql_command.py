"""`pipeline sql` on the command line: its forms of output, and what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Cli
from screen_memory import Memory, minutes, process

from pipeline.dataroot import DataRoot
from schemas.evidence import WINDOW

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """A DataRoot whose evidence needs no model."""
    place = Memory(tmp_path / "root")
    place.put(WINDOW, 0, minutes(10, 0)[0], {"window": {"title": "Inbox", "hwnd": 7}})
    return place


@pytest.fixture
def filled(memory: Memory) -> DataRoot:
    memory.put(
        WINDOW, 1, minutes(11, 1)[0], {"window": {"title": ':smile: [b]x[/b] \x1b[31mred\u202e, "q"', "pid": 2**40}}
    )
    process(memory.root)
    return memory.root


def test_sql_as_json(filled: DataRoot, cli: Cli) -> None:
    query = (
        "SELECT title, pid, ts_utc, sum(pid) OVER () AS total, 1.50::DECIMAL(5,2) AS price, 1 AS a, 2 AS a,"
        " 'NaN'::DOUBLE AS nan, '\\xFF'::BLOB AS blob, [1, 2] AS list, {'k': 1} AS struct,"
        " 170141183460469231731687303715884105727 AS huge FROM windows WHERE pid IS NOT NULL"
    )
    code, content = cli.json("--data-root", filled, "sql", query)
    assert code == 0
    assert content == {
        "rows": [
            {
                "title": ':smile: [b]x[/b] \x1b[31mred\u202e, "q"',
                "pid": 2**40,
                "ts_utc": "2026-03-01T11:01:00+00:00",
                "total": 2**40,
                "price": "1.50",
                "a": 1,
                "a_2": 2,
                "nan": None,
                "blob": "ff",
                "list": [1, 2],
                "struct": {"k": 1},
                "huge": "170141183460469231731687303715884105727",
            }
        ]
    }


def test_sql_as_a_table_shows_what_is_there_and_cannot_steer_the_terminal(filled: DataRoot, cli: Cli) -> None:
    _, out, _ = cli("--data-root", filled, "sql", "SELECT title, NULL AS nothing FROM windows ORDER BY ts_utc")
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "title",
        "Inbox",
        ':smile: [b]x[/b] \\x1b[31mred\\u202e, "q"',
    ]


def test_sql_as_csv(filled: DataRoot, cli: Cli) -> None:
    query = "SELECT title AS a, pid AS a FROM windows ORDER BY ts_utc"
    _, out, _ = cli("--data-root", filled, "sql", query, "--format", "csv")
    assert out == 'a,a\nInbox,\n":smile: [b]x[/b] \x1b[31mred\u202e, ""q""",1099511627776\n'


@pytest.mark.parametrize("name", ["json", "csv", "table", "parquet"])
def test_sql_into_a_file(name: str, filled: DataRoot, tmp_path: Path, cli: Cli) -> None:
    target = tmp_path / f"out.{name}"
    code, out, _ = cli("--data-root", filled, "sql", "SELECT 7 AS seven", "--format", name, "--out", target)
    assert (code, out) == (0, "")
    if name == "parquet":
        import pyarrow.parquet as pq

        assert pq.read_table(target).to_pylist() == [{"seven": 7}]
    else:
        assert "7" in target.read_text()
    code, _, err = cli("--data-root", filled, "sql", "SELECT 1", "--format", name, "--out", tmp_path / "no" / "x")
    assert code == 64
    assert "cannot be written" in err


def test_sql_parquet_into_a_pipe(filled: DataRoot) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--data-root", filled.path, "sql", "FROM windows", "--format", "parquet"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    assert pq.read_table(pa.BufferReader(done.stdout)).num_rows == 2


def test_sql_without_a_query_lists_tables_and_columns(filled: DataRoot, cli: Cli) -> None:
    _, content = cli.json("--data-root", filled, "sql")
    listed = {row["table_name"]: row["columns"] for row in content["rows"]}
    assert set(listed) >= {
        "frames",
        "windows",
        "url_visits",
        "ocr_lines",
        "line_tracks",
        "records",
        "stage_outcomes",
    }
    assert listed["windows"].startswith("window_record_id, run_id, ts_utc, app")


def test_sql_from_stdin(filled: DataRoot, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("SELECT 8 AS eight")
    with (tmp_path / "query.sql").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert cli.json("--data-root", filled, "sql", "-") == (0, {"rows": [{"eight": 8}]})


def test_sql_says_when_rows_were_left_out(filled: DataRoot, cli: Cli) -> None:
    code, out, err = cli("--data-root", filled, "sql", "FROM range(5)", "--format", "csv", "--set", "sql_max_rows=2")
    assert (code, out) == (0, "range\n0\n1\n")
    assert "only the first 2 rows are shown" in err


@pytest.mark.parametrize(
    "query",
    ["SELECT DATE '10000-01-01' AS d", "SELECT 'infinity'::TIMESTAMPTZ AS d", "SELECT DATE '0001-01-01' - 1 AS d"],
)
def test_sql_names_the_column_that_it_cannot_show(query: str, filled: DataRoot, cli: Cli) -> None:
    code, _, err = cli("--data-root", filled, "sql", query)
    assert code == 64
    assert "a value of column 'd' cannot be shown" in err
    assert "CAST(d AS VARCHAR)" in err


def test_sql_refused_exits_with_4(filled: DataRoot, cli: Cli) -> None:
    code, content = cli.json("--data-root", filled, "sql", "ATTACH 'x.db'")
    assert (code, content["exit_code"]) == (4, 4)
    assert content["error"].startswith("refused: ATTACH")
