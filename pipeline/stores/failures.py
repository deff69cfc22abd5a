"""What failed: samples that wait to be tried again, and those that were given up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.stores.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that failed in a stage; times are microseconds since 1970. `retry_at_us` means nothing when parked."""

    stage: str
    sample_id: str
    status: str
    error_code: str
    message: str
    attempts: int
    captured_us: int
    failed_us: int
    retry_at_us: int


def list_failures(catalog: Catalog, stage: str | None, at_most: int) -> Iterator[Failure]:
    """The failed samples of a stage, or of all: by stage, those given up last, then by id."""
    rows = catalog.connection.execute(
        "SELECT stage, sample_id, status, error_code, message, attempts, ts_us, at_us, retry_at_us FROM outcomes"
        " WHERE status <> 'done' AND (?1 IS NULL OR stage = ?1) ORDER BY stage, status, sample_id LIMIT ?2",
        (stage, at_most),
    )
    return (Failure(*row) for row in rows)


def summarize_failures(catalog: Catalog) -> list[dict[str, Any]]:
    """How many failed by stage, status and code, with the first sample of each."""
    names = ("stage", "status", "error_code", "count", "example")
    rows = catalog.connection.execute(
        "SELECT stage, status, error_code, count(*), min(sample_id) FROM outcomes WHERE status <> 'done'"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [dict(zip(names, row, strict=True)) for row in rows]
