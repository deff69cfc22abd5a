"""`pipeline sql`: DuckDB over the facts."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from contextlib import nullcontext
from decimal import Decimal
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
    try:
        _WRITERS[chosen](result.rows, out)
    except OSError as error:
        if out is None:
            raise
        raise UsageError(f"{out} cannot be written: {error.strerror}", remedy="name another file with --out") from error
    if result.truncated:
        sys.stderr.write(
            f"only the first {session.settings.sql_max_rows} rows are shown; more: --set sql_max_rows=NUMBER\n"
        )


def _write_table(rows: pa.Table, out: Path | None) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows.column_names:
        table.add_column(name, overflow="fold")
    for row in _tuples(rows):
        table.add_row(*(_cell(value) for value in row))
    with _text(out) as file:
        width = None if file.isatty() else 240
        Console(file=file, highlight=False, markup=False, emoji=False, width=width).print(table)


def _cell(value: Any) -> str:
    """A value as shown on a terminal: what a screen said must not steer it, so control characters are spelled out."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _write_json(rows: pa.Table, out: Path | None) -> None:
    names = _unique(rows.column_names)
    content = {"rows": [dict(zip(names, row, strict=True)) for row in _tuples(rows)]}
    with _text(out) as file:
        file.write(orjson.dumps(content, default=_json_value, option=orjson.OPT_INDENT_2).decode() + "\n")


def _json_value(value: Any) -> Any:
    """What JSON has no type for: a sum is a number where that loses nothing, anything else is text."""
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and abs(value) < 2**63
        return int(value) if whole else str(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _write_csv(rows: pa.Table, out: Path | None) -> None:
    with _text(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows.column_names)
        writer.writerows(_tuples(rows))


def _tuples(rows: pa.Table) -> list[tuple[Any, ...]]:
    """The rows in Python's types. Raises UsageError for a value that these cannot hold, as year 10000."""
    columns = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ValueError, OverflowError) as error:
            raise UsageError(
                f"a value of column {name!r} cannot be shown: {type(error).__name__}",
                remedy=f"cast it: CAST({name} AS VARCHAR), or use --format parquet",
            ) from error
    return list(zip(*columns, strict=True))


def _unique(names: list[str]) -> list[str]:
    """Names for a JSON object: a second `a` becomes `a_2`, so that no column is lost."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


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
