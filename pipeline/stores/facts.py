"""Fact tables as partitioned Parquet: one file for each (table, run, day, hour, producer), replaced whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.stores.atomic import fsync_directory, make_directories, remove_leftovers, replace_file
from schemas.arrow import KEYS, SORT, table_schema

ROW_GROUP_ROWS = 16_384


class FactsStore:
    """Reads and writes `derived/facts`. Only the one who holds the run lock may write."""

    def __init__(self, root: DataRoot) -> None:
        self.root = root

    def merge(self, table: str, run_id: str, day: str, hour: str, producer: str, rows: pa.Table) -> None:
        """Add rows to an hour's file; a row with the same key is replaced, every other one stays `[row-4]`.

        Raises ContractInvalid when the file that is there cannot be read.
        """
        path = self._file(table, run_id, day, hour, producer)
        held = read_file(path, table) if path.exists() else None
        if held is not None and held.num_rows:
            (key,) = KEYS[table]
            kept = held.filter(pc.invert(pc.is_in(held[key], value_set=rows[key].combine_chunks())))
            rows = pa.concat_tables([kept, rows])
        self._write(path, table, rows)

    def replace(self, table: str, run_id: str, day: str, hour: str, producer: str, rows: pa.Table) -> None:
        """Replace an hour's file; without rows there is no file."""
        path = self._file(table, run_id, day, hour, producer)
        if rows.num_rows:
            self._write(path, table, rows)
        elif path.exists():
            path.unlink()
            fsync_directory(path.parent)

    def replace_day(self, table: str, run_id: str, day: str, producer: str, rows: pa.Table, hours: pa.Array) -> None:
        """Replace all files of a (run, day); `hours` says for each row which hour's file it goes into.

        Late hours first: a row whose start moved to an earlier hour is then missing for a moment, never there twice.
        """
        present = set(self.root.day_hours(table, run_id, day)) | set(hours.to_pylist())
        for hour in sorted(present, reverse=True):
            self.replace(table, run_id, day, hour, producer, rows.filter(pc.equal(hours, hour)))

    def read_day(
        self, table: str, run_id: str, day: str, producer: str, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read a producer's rows of a (run, day), in the table's order. Raises ContractInvalid."""
        hours = self.root.day_hours(table, run_id, day).values()
        files = [path for folder in hours if (path := folder / _file_name(producer)).exists()]
        parts = [read_file(path, table, columns) for path in files]
        if parts:
            return pa.concat_tables(parts)
        schema = table_schema(table)
        return pa.schema([schema.field(name) for name in columns or schema.names]).empty_table()

    def _file(self, table: str, run_id: str, day: str, hour: str, producer: str) -> Path:
        return self.root.partition(table, run_id, day, hour) / _file_name(producer)

    def _write(self, path: Path, table: str, rows: pa.Table) -> None:
        make_directories(path.parent)
        remove_leftovers(path.parent)
        ordered = rows.cast(table_schema(table)).sort_by([(name, "ascending") for name in SORT[table]])
        replace_file(path, lambda temporary: _write_parquet(ordered.combine_chunks(), temporary))


def read_file(path: Path, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one fact file. Raises ContractInvalid when it is damaged or of another schema."""
    try:
        rows = pq.ParquetFile(path).read(columns=list(columns) if columns else None)
        schema = table_schema(table)
        return rows.cast(pa.schema([schema.field(name) for name in rows.schema.names]))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ContractInvalid(
            f"the fact file {path} cannot be read: {type(error).__name__}",
            remedy="move derived/ away, then: pipeline run --until-done",
        ) from error


def _file_name(producer: str) -> str:
    return f"part-{producer}.parquet"


def _write_parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, row_group_size=ROW_GROUP_ROWS, compression="zstd", use_dictionary=True, version="2.6")
