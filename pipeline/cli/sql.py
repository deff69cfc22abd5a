"""`pipeline sql`: DuckDB over the facts."""

from __future__ import annotations

import csv
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.context import DataRootOption, JsonOption, SetOption, open_session
from pipeline.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

TABLES_QUERY = (
    "SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) AS columns"
    " FROM duckdb_columns() WHERE NOT internal GROUP BY table_name ORDER BY table_name"
)


class OutputFormat(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="sql")(sql)


def sql(
    context: typer.Context,
    statement: Annotated[
        str | None, typer.Argument(metavar="SQL", help="One SELECT; '-' reads it from stdin; without it, the tables.")
    ] = None,
    output_format: Annotated[
        OutputFormat, typer.Option("--format", help="How to print the rows.")
    ] = OutputFormat.TABLE,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of stdout.")] = None,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Query the facts with SQL, read-only (DuckDB).

    Tables: frames, windows, url_visits, ocr_lines, line_tracks, records, stage_outcomes.
    """
    from pipeline.reports.sql import query_facts

    session = open_session(context, data_root, as_json, overrides)
    session.root.require()
    text = sys.stdin.read() if statement == "-" else statement or TABLES_QUERY
    chosen = OutputFormat.JSON if session.as_json else output_format
    if chosen is OutputFormat.PARQUET and out is None and sys.stdout.isatty():
        raise UsageError("Parquet is nothing for a terminal", remedy="give --out FILE, or send it into a pipe")
    result = query_facts(session.root, text, session.settings)
    _WRITERS[chosen](result.rows, out)
    if result.truncated:
        sys.stderr.write(
            f"only the first {session.settings.sql_max_rows} rows are shown; more: --set sql_max_rows=NUMBER\n"
        )


def _write_table(rows: pa.Table, out: Path | None) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows.column_names:
        table.add_column(name, overflow="fold")
    for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        table.add_row(*(_cell(value) for value in row))
    with _text(out) as file:
        Console(file=file, highlight=False, markup=False, width=None if file.isatty() else 240).print(table)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _write_json(rows: pa.Table, out: Path | None) -> None:
    with _text(out) as file:
        file.write(orjson.dumps({"rows": rows.to_pylist()}, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def _write_csv(rows: pa.Table, out: Path | None) -> None:
    with _text(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def _write_parquet(rows: pa.Table, out: Path | None) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, out if out is not None else sys.stdout.buffer)


def _text(out: Path | None) -> Any:
    return nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8", newline="")


_WRITERS = {
    OutputFormat.TABLE: _write_table,
    OutputFormat.JSON: _write_json,
    OutputFormat.CSV: _write_csv,
    OutputFormat.PARQUET: _write_parquet,
}
