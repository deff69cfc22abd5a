"""Fact files that are lost: which ones the catalog expects, and having what they held made again.

What is forgotten is pending; what became of samples that gave no row stays.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.dataroot import FactFile
from pipeline.stores.catalog import Catalog
from pipeline.stores.other_models import has_other_models

OUTCOMES_TABLE, OUTCOMES_PRODUCER = "stage_outcomes", "catalog"
"""The projection of the catalog itself: its table, and as whose file it is written."""


def expected_hours(catalog: Catalog, stage: str, table: str) -> Iterator[FactFile]:
    """The files that a sample stage must have written, by what it has done."""
    tables = ("outcomes", *(("other_outcomes",) if has_other_models(catalog) else ()))
    query = " UNION ".join(
        f"SELECT run_id, day, hour FROM {table} WHERE stage = ?1 AND output_id IS NOT NULL"  # noqa: S608
        for table in tables
    )
    for run_id, day, hour in catalog.connection.execute(f"{query} ORDER BY 1, 2, 3", (stage,)).fetchall():
        yield FactFile(table, run_id, day, hour, stage)


def expected_outcomes(catalog: Catalog) -> Iterator[FactFile]:
    """The files of `stage_outcomes` that there must be, but for hours that are to be written anyway."""
    query = (
        "SELECT run_id, day, hour FROM (SELECT DISTINCT run_id, day, hour FROM outcomes)"
        " EXCEPT SELECT run_id, day, hour FROM unprojected ORDER BY 1, 2, 3"
    )
    for run_id, day, hour in catalog.connection.execute(query).fetchall():
        yield FactFile(OUTCOMES_TABLE, run_id, day, hour, OUTCOMES_PRODUCER)


def expected_rows(catalog: Catalog, stage: str) -> list[tuple[str, str, int]]:
    """How many rows a day stage has written for each (run, day), where it has any."""
    query = "SELECT run_id, day, row_count FROM day_outcomes WHERE stage = ? AND row_count > 0 ORDER BY 1, 2"
    return catalog.connection.execute(query, (stage,)).fetchall()


def forget_hour(catalog: Catalog, stage: str, run_id: str, day: str, hour: str) -> int:
    """Make what a sample stage has done in an hour pending again; returns how many samples that are.

    What models beside the one in use had done is not counted: they are asked again when a run names them.
    """
    where = "WHERE stage = ? AND run_id = ? AND day = ? AND hour = ? AND output_id IS NOT NULL"
    with catalog.transaction():
        gone = catalog.connection.execute(f"DELETE FROM outcomes {where}", (stage, run_id, day, hour)).rowcount  # noqa: S608
        catalog.connection.execute(f"DELETE FROM other_outcomes {where}", (stage, run_id, day, hour))  # noqa: S608
        _unproject(catalog, run_id, day, hour)
    return gone


def forget_day(catalog: Catalog, stage: str, run_id: str, day: str) -> None:
    """Have a day stage build a (run, day) again."""
    with catalog.transaction():
        catalog.connection.execute(
            "DELETE FROM day_outcomes WHERE stage = ? AND run_id = ? AND day = ?", (stage, run_id, day)
        )


def forget_projection(catalog: Catalog, run_id: str, day: str, hour: str) -> None:
    """Have `stage_outcomes` of an hour written again."""
    with catalog.transaction():
        _unproject(catalog, run_id, day, hour)


def _unproject(catalog: Catalog, run_id: str, day: str, hour: str) -> None:
    catalog.connection.execute("INSERT OR IGNORE INTO unprojected VALUES (?,?,?)", (run_id, day, hour))
