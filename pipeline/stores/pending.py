"""What a stage has to take: found day by day, so that millions of waiting samples take no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from pipeline.stores.catalog import Catalog, Sample
from pipeline.stores.counts import count_days

Day = tuple[str, str]
"""(run, day)."""

_IN_ORDER = "ORDER BY s.hour, s.ts_us, s.sample_id"


class Pending:
    """Samples that wait, in their days, newest first; within a day in capture order. Each is read when it is wanted."""

    def __init__(self, days: list[Day], count: int, load: Callable[[Day], list[Sample]]) -> None:
        self.days = days
        self.count = count
        """How many wait, those included whose time to be tried again is still to come."""
        self.load = load

    def __iter__(self) -> Iterator[Sample]:
        return chain.from_iterable(map(self.load, self.days))

    def __bool__(self) -> bool:
        return any(True for _ in self)


def pending(catalog: Catalog, stage: str, record_type: str, fingerprint: str | None, now_us: int) -> Pending:
    """Find samples without an outcome, failed ones whose time has come, and with a `fingerprint` those of another."""
    counted = [day for day in count_days(catalog, stage, record_type, fingerprint) if day.may_wait]

    def load(day: Day) -> list[Sample]:
        rows = catalog.connection.execute(
            f"""
            SELECT s.sample_id, s.record_type, s.run_id, s.ts_us, s.day, s.hour
            FROM samples s LEFT JOIN outcomes o ON o.stage = ? AND o.sample_id = s.sample_id
            WHERE s.record_type = ? AND s.run_id = ? AND s.day = ? AND (o.sample_id IS NULL
                OR (o.status = 'failed' AND o.retry_at_us <= ?) OR (? IS NOT NULL AND o.fingerprint <> ?))
            {_IN_ORDER}
            """,  # noqa: S608 our own words
            (stage, record_type, *day, now_us, fingerprint, fingerprint),
        )
        return [Sample(*row) for row in rows]

    return Pending([(day.run_id, day.day) for day in counted], sum(day.waiting for day in counted), load)


def pending_beside(catalog: Catalog, stage: str, record_type: str, fingerprint: str, now_us: int) -> Pending:
    """Find samples that a model beside the one in use has not taken.

    What it made before it was another model's turn, or since it is the one in use, counts as taken.
    """
    counted = list(count_days(catalog, stage, record_type, None))

    def load(day: Day) -> list[Sample]:
        rows = catalog.connection.execute(
            f"""
            SELECT s.sample_id, s.record_type, s.run_id, s.ts_us, s.day, s.hour
            FROM samples s
            LEFT JOIN outcomes u ON u.stage = ?1 AND u.sample_id = s.sample_id
            LEFT JOIN other_outcomes o ON o.stage = ?1 AND o.fingerprint = ?2 AND o.sample_id = s.sample_id
            WHERE s.record_type = ?3 AND s.run_id = ?4 AND s.day = ?5 AND u.fingerprint IS NOT ?2
                AND (o.sample_id IS NULL OR (o.status = 'failed' AND o.retry_at_us <= ?6))
            {_IN_ORDER}
            """,  # noqa: S608 our own words
            (stage, fingerprint, record_type, *day, now_us),
        )
        return [Sample(*row) for row in rows]

    return Pending([(day.run_id, day.day) for day in counted], sum(day.samples for day in counted), load)
