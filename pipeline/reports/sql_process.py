"""The process that answers one query of `pipeline sql`: `python -m pipeline.reports.sql_process`.

Takes a JSON object on stdin, gives one line of JSON on stdout and, when that says so, an Arrow stream after it. DuckDB
cannot be stopped inside one large vector and does not count all memory it takes: the kernel holds time and memory.
Stands on nothing of ours, so that it starts fast.
"""

from __future__ import annotations

import glob
import re
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

import duckdb
import orjson
import pyarrow as pa

RUNTIME_MB = 1024
"""Memory for the interpreter, the libraries and the stacks of DuckDB's threads, on top of what a query may use."""

TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_settings", "duckdb_tables", "duckdb_types",
    "duckdb_views", "generate_series", "glob", "histogram", "histogram_values", "json_each", "json_tree",
    "parquet_file_metadata", "parquet_metadata", "parquet_scan", "parquet_schema", "pg_timezone_names",
    "pragma_table_info", "range", "read_parquet", "repeat", "unnest",
})  # fmt: skip
"""What may stand in FROM. Others run SQL given as text, which no check here would see, or read other formats."""

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_EXPLAIN = re.compile(r"^\s*EXPLAIN\s+(?!ANALYZE\b|ANALYSE\b|\()", re.IGNORECASE)
_READS_ONLY = "only one SELECT (or DESCRIBE, SUMMARIZE, SHOW, EXPLAIN) is answered; nothing here can write"


class Refused(Exception):
    """A statement that is not answered; the text says what it is."""


def main() -> None:
    """Answer the query that is on stdin."""
    request = orjson.loads(sys.stdin.buffer.read())
    _limit_memory(request["memory_mb"])
    signal.setitimer(signal.ITIMER_REAL, request["timeout_s"])  # ends this process: nothing catches SIGALRM
    try:
        header, rows = answer(request)
    except (Refused, MemoryError, OSError, duckdb.Error, pa.ArrowException) as error:
        header, rows = {"kind": _kind(error), "message": str(error)}, b""
    sys.stdout.buffer.write(orjson.dumps(header) + b"\n" + rows)


def _kind(error: Exception) -> str:
    if isinstance(error, Refused | duckdb.PermissionException):
        return "refused"
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
        return "memory"
    damaged = "No magic bytes" in str(error) or "too small to be a Parquet file" in str(error)
    return "unreadable" if damaged or isinstance(error, duckdb.IOException) else "bad_sql"


def _limit_memory(query_mb: int) -> None:
    limit = (query_mb + RUNTIME_MB) << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Answer `statement` over `views` of the folder `facts`: a header and an Arrow stream of at most `max_rows`.

    Raises Refused, duckdb.Error, pyarrow.ArrowException, MemoryError, OSError.
    """
    connection = _open(request["facts"], request["views"], request["memory_mb"])
    _require_select(connection, request["statement"])
    left = request["max_rows"]
    reader = connection.sql(request["statement"]).to_arrow_reader(min(left + 1, 65_536))
    rows = pa.BufferOutputStream()
    with pa.ipc.new_stream(rows, reader.schema) as stream:
        for batch in reader:
            stream.write_batch(batch.slice(0, max(left, 0)))
            left -= batch.num_rows
            if left < 0:
                connection.interrupt()  # it would go on, and be waited for
                break
    return {"kind": "rows", "truncated": left < 0}, rows.getvalue().to_pybytes()


def _open(facts: str, views: list[str], memory_mb: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory_mb}MiB",
        "temp_directory": "",
    })  # fmt: skip
    connection.execute("SET TimeZone = 'UTC'")
    for view in views:
        connection.execute(view)
    # DuckDB compares the pattern of a glob as it stands, so the folder has to be named in that form too.
    folders = ", ".join("'{}'".format(name.replace("'", "''")) for name in (facts, glob.escape(facts)))
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _require_select(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Let only a SELECT through that writes nowhere: COPY could write into the very folder that may be read.

    A statement counts as SELECT also when a COPY stands in its WITH, so the parsed tree is looked at.
    """
    body = _EXPLAIN.sub("", statement, count=1)
    found = connection.extract_statements(body)
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise Refused(f"{', '.join(item.type.name for item in found) or 'nothing'}; {_READS_ONLY}")
    ((serialized,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [body]).fetchall()
    tree = orjson.loads(serialized)
    if tree["error"]:
        raise Refused(f"a statement that cannot be looked into; {_READS_ONLY}")
    for node in _nodes(tree):
        _require_harmless(node)


def _require_harmless(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise Refused(f"{kind.removesuffix('_QUERY_NODE')} inside a query; {_READS_ONLY}")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise Refused(f"the table function {name}; only these may be used: {', '.join(sorted(TABLE_FUNCTIONS))}")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


if __name__ == "__main__":
    main()
