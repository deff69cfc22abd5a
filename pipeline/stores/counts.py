"""How many samples and outcomes there are, by day: read from the catalog's counters, however many rows it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.errors import NotAvailableYet
from pipeline.stores.catalog import Catalog

_FIRST_WITH_COUNTERS = 3


@dataclass(frozen=True, slots=True)
class DayCounts:
    """The samples of a (run, day), those that a stage has an outcome for, and of these the ones that may be taken.

    `failed` may be tried again at some time; `stale` were made with another fingerprint than the one asked about.
    """

    run_id: str
    day: str
    samples: int
    outcomes: int
    failed: int
    parked: int
    stale: int

    @property
    def untouched(self) -> int:
        """Samples without an outcome."""
        return self.samples - self.outcomes

    @property
    def waiting(self) -> int:
        """Samples that a stage has to take, now or when their time has come."""
        return max(0, self.untouched) + max(self.failed, self.stale)

    @property
    def may_wait(self) -> bool:
        """Whether any may be pending; where the numbers do not fit one another, only the rows can say."""
        return self.untouched != 0 or self.failed > 0 or self.stale > 0


def require_counters(catalog: Catalog) -> Catalog:
    """Check that the catalog has counters. Raises NotAvailableYet for one that no run of this version has opened."""
    version = catalog.connection.execute("PRAGMA user_version").fetchone()[0]
    if version < _FIRST_WITH_COUNTERS:
        raise NotAvailableYet(
            "the catalog is of an older version; a run brings it up to this one", remedy="pipeline run --until-done"
        )
    return catalog


def count_samples(catalog: Catalog, record_type: str) -> int:
    """Count the samples of a record type."""
    query = "SELECT coalesce(sum(samples), 0) FROM sample_counts WHERE record_type = ?"
    return int(catalog.connection.execute(query, (record_type,)).fetchone()[0])


def count_outcomes(catalog: Catalog) -> Mapping[tuple[str, str], int]:
    """Count outcomes by (stage, status)."""
    query = "SELECT stage, status, sum(samples) FROM outcome_counts WHERE samples > 0 GROUP BY 1, 2 ORDER BY 1, 2"
    return {(stage, status): number for stage, status, number in catalog.connection.execute(query)}


def count_days(catalog: Catalog, stage: str, record_type: str, fingerprint: str | None) -> Iterator[DayCounts]:
    """Count by (run, day), newest day first; with a `fingerprint`, outcomes that have another one are stale."""
    rows = catalog.connection.execute(
        """
        SELECT s.run_id, s.day, s.samples, coalesce(sum(o.samples), 0),
            coalesce(sum(o.samples) FILTER (WHERE o.status = 'failed'), 0),
            coalesce(sum(o.samples) FILTER (WHERE o.status = 'parked'), 0),
            coalesce(sum(o.samples) FILTER (WHERE o.fingerprint <> ?1), 0)
        FROM sample_counts s LEFT JOIN outcome_counts o ON o.stage = ?2 AND o.day = s.day AND o.run_id = s.run_id
        WHERE s.record_type = ?3 AND s.samples > 0
        GROUP BY s.day, s.run_id ORDER BY s.day DESC, s.run_id
        """,
        (fingerprint, stage, record_type),
    )
    return (DayCounts(*row) for row in rows)
