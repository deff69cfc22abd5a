"""SQL over the facts: read-only, nothing but the facts, and with an end."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, UsageError
from pipeline.reports.views import view_statements
from pipeline.settings import Settings

_EXPLAIN = re.compile(r"^\s*EXPLAIN\s+(?!ANALYZE\b|ANALYSE\b|\()", re.IGNORECASE)
_REFUSED = "only one SELECT (or DESCRIBE, SUMMARIZE, SHOW, EXPLAIN) is answered; nothing here can write"


@dataclass(frozen=True)
class SqlResult:
    """Rows of a query; `truncated` when there were more than the limit."""

    rows: pa.Table
    truncated: bool


def query_facts(root: DataRoot, statement: str, settings: Settings) -> SqlResult:
    """Answer one SELECT from the facts `[answer-2]`.

    Files outside `derived/facts`, extensions, ATTACH, COPY, SET and the network are refused. Raises UsageError for bad
    SQL, ContractInvalid for what is refused and for a limit of time or memory.
    """
    with _open(root, settings) as connection:
        _require_select(connection, statement)
        timer = threading.Timer(settings.sql_timeout_s, connection.interrupt)
        timer.start()
        try:
            return _fetch(connection, statement, settings.sql_max_rows)
        except duckdb.Error as error:
            raise _explained(error, settings) from error
        except pa.ArrowException as error:
            raise _explained(duckdb.InterruptException(str(error)), settings) from error
        finally:
            timer.cancel()


def _open(root: DataRoot, settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{settings.sql_memory_mb}MiB",
        "temp_directory": "",
    })  # fmt: skip
    connection.execute("SET TimeZone = 'UTC'")
    for view in view_statements(root.facts):
        connection.execute(view)
    folder = str(root.facts).replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{folder}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _require_select(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Let only a SELECT through: COPY, for one, could write into the very folder that may be read."""
    try:
        found = connection.extract_statements(_EXPLAIN.sub("", statement, count=1))
    except duckdb.Error as error:
        raise UsageError(f"SQL: {error}") from error
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(item.type.name for item in found) or "nothing"
        raise ContractInvalid(f"refused: {kinds}; {_REFUSED}", remedy="any DuckDB can do more: see docs/sql.md")


def _fetch(connection: duckdb.DuckDBPyConnection, statement: str, limit: int) -> SqlResult:
    reader = connection.sql(statement).to_arrow_reader(min(limit + 1, 65_536))
    batches, count = [], 0
    for batch in reader:
        batches.append(batch)
        count += batch.num_rows
        if count > limit:
            break
    rows = pa.Table.from_batches(batches, schema=reader.schema)
    return SqlResult(rows.slice(0, limit), count > limit)


def _explained(error: duckdb.Error, settings: Settings) -> UsageError | ContractInvalid:
    if isinstance(error, duckdb.InterruptException) or "interrupt" in str(error).lower():
        return ContractInvalid(
            f"the query was stopped after {settings.sql_timeout_s:g} s", remedy="raise it: --set sql_timeout_s=SECONDS"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return ContractInvalid(
            f"the query needs more than {settings.sql_memory_mb} MiB", remedy="raise it: --set sql_memory_mb=MIB"
        )
    if isinstance(error, duckdb.PermissionException):
        return ContractInvalid(f"refused: {str(error).splitlines()[0]}", remedy="only derived/facts can be read")
    return UsageError(f"SQL: {error}")
