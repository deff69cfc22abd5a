"""How fast stages were: measured stretches of work, the newest of each stage, and what they say of the next one."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.stores.catalog import Catalog

KEPT = 500
"""Stretches that are kept of a stage."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of wall clock for one sample, in the middle and in slow stretches, weighted by samples.

    `same_fingerprint` tells whether they were measured with the fingerprint asked about, or with others.
    """

    samples: int
    p50_s: float
    p95_s: float
    p99_s: float
    same_fingerprint: bool


def note_pace(catalog: Catalog, stage: str, fingerprint: str, ended_us: int, samples: int, elapsed_us: int) -> None:
    """Note a stretch of work; the oldest ones of the stage go."""
    with catalog.transaction():
        catalog.connection.execute(
            "INSERT INTO paces VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET samples = samples + excluded.samples,"
            " elapsed_us = elapsed_us + excluded.elapsed_us",
            (stage, ended_us, fingerprint, samples, elapsed_us),
        )
        catalog.connection.execute(
            "DELETE FROM paces WHERE stage = ?1 AND ended_us <"
            " (SELECT ended_us FROM paces WHERE stage = ?1 ORDER BY ended_us DESC LIMIT 1 OFFSET ?2)",
            (stage, KEPT - 1),
        )


def pace_of(catalog: Catalog, stage: str, fingerprint: str) -> Pace | None:
    """How fast a stage is with a fingerprint; where that was never measured, with those of before, else None."""
    query = "SELECT samples, elapsed_us FROM paces WHERE stage = ? AND samples > 0"
    own = catalog.connection.execute(f"{query} AND fingerprint = ?", (stage, fingerprint)).fetchall()
    stretches = own or catalog.connection.execute(query, (stage,)).fetchall()
    if not stretches:
        return None
    each = sorted((elapsed_us / samples / 1e6, samples) for samples, elapsed_us in stretches)
    total = sum(samples for _, samples in each)
    middle, slow, slowest = (_quantile(each, total * share) for share in (0.5, 0.95, 0.99))
    return Pace(total, middle, slow, slowest, bool(own))


def _quantile(each: list[tuple[float, int]], reach: float) -> float:
    """The time of the sample that comes after `reach` samples, quickest stretches first."""
    passed = 0
    for seconds, samples in each:
        passed += samples
        if passed >= reach:
            return seconds
    return each[-1][0]
