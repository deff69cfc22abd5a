"""Fact tables as partitioned Parquet: one file for each (table, run, day, hour, producer), replaced whole."""

from __future__ import annotations

import base64
import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import ContractInvalid, DamagedFactFile
from pipeline.stores.atomic import fsync_directory, make_directories, remove_leftovers, replace_file
from schemas.arrow import KEYS, SORT, table_schema

ROW_GROUP_ROWS = 16_384

_DAMAGE = (None, errno.EIO, errno.EBADMSG, errno.EUCLEAN)
"""What an OSError says of content that is lost: Arrow gives no number. Others are about rights, memory and handles."""


class FactsStore:
    """Reads and writes `derived/facts`. Only the one who holds the run lock may write."""

    def __init__(self, root: DataRoot) -> None:
        self.root = root

    def merge(self, table: str, run_id: str, day: str, hour: str, producer: str, rows: pa.Table) -> None:
        """Add rows to an hour's file; a row with the same key is replaced, every other one stays `[row-4]`.

        Raises DamagedFactFile, ContractInvalid when the file that is there cannot be read.
        """
        path = self.root.fact_file_path(FactFile(table, run_id, day, hour, producer))
        held = read_file(path, table) if path.exists() else None
        if held is not None and held.num_rows:
            (key,) = KEYS[table]
            kept = held.filter(pc.invert(pc.is_in(held[key], value_set=rows[key].combine_chunks())))
            rows = pa.concat_tables([kept, rows])
        self._write(path, table, rows)

    def replace(self, table: str, run_id: str, day: str, hour: str, producer: str, rows: pa.Table) -> None:
        """Replace an hour's file; without rows there is no file."""
        path = self.root.fact_file_path(FactFile(table, run_id, day, hour, producer))
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
        files = self.root.fact_files_of_day(table, run_id, day, producer)
        parts = [read_file(path, table, columns) for path in files]
        if parts:
            return pa.concat_tables(parts)
        schema = table_schema(table)
        return pa.schema([schema.field(name) for name in columns or schema.names]).empty_table()

    def _write(self, path: Path, table: str, rows: pa.Table) -> None:
        make_directories(path.parent)
        remove_leftovers(path.parent)
        ordered = rows.cast(table_schema(table)).sort_by([(name, "ascending") for name in SORT[table]])
        replace_file(path, lambda temporary: _write_parquet(ordered.combine_chunks(), temporary))


def read_file(path: Path, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one fact file, every page checked against its checksum.

    Raises DamagedFactFile when it holds something else than what was written, ContractInvalid when it cannot be read
    for another reason.
    """
    with _reading(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        rows = file.read(columns=list(columns) if columns else None)
    schema = table_schema(table)
    try:
        return rows.cast(pa.schema([schema.field(name) for name in rows.schema.names]))
    except (pa.ArrowException, KeyError, ValueError) as error:
        if _is_of_another_version(file):
            raise _unreadable(path, "its columns are others than ours", "use the version that wrote it") from error
        raise DamagedFactFile(path, type(error).__name__) from error


def read_batches(path: Path, columns: Sequence[str], rows_at_once: int) -> Iterator[pa.RecordBatch]:
    """Read columns of one fact file a few rows at a time, every page checked. Raises as `read_file` does."""
    with _reading(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    with file:
        batches = file.iter_batches(batch_size=rows_at_once, columns=list(columns))
        while True:
            with _reading(path):  # not around what is done with a batch: an error there is no damage
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def count_rows(path: Path) -> int:
    """How many rows a fact file says it has. Raises as `read_file` does."""
    with _reading(path):
        return int(pq.read_metadata(path).num_rows)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowMemoryError) as error:
        if isinstance(error, OSError) and error.errno in _DAMAGE:
            raise DamagedFactFile(path, type(error).__name__) from error
        raise _unreadable(path, type(error).__name__, "free memory, or give us the right to read it") from error
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedFactFile(path, type(error).__name__) from error


def _is_of_another_version(file: pq.ParquetFile) -> bool:
    """Tell a sound file with other columns from damage: the schema is there twice, as Parquet's and as Arrow's own."""
    try:
        stored = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(file.metadata.metadata[b"ARROW:schema"])))
        names = [file.schema.column(number).path.partition(".")[0] for number in range(len(file.schema))]
        return bool(list(dict.fromkeys(names)) == stored.names and file.schema_arrow.equals(stored))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return False


def _unreadable(path: Path, found: str, mend: str) -> ContractInvalid:
    return ContractInvalid(
        f"the fact file {path} cannot be read: {found}",
        remedy=f"{mend}; or move it out of derived/facts, then: pipeline run --until-done (it makes that hour again)",
    )


def _write_parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(
        rows, path, row_group_size=ROW_GROUP_ROWS, compression="zstd", use_dictionary=True, version="2.6",
        write_page_checksum=True,
    )  # fmt: skip
