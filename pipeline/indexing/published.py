"""What is published for questions: since when, and whether the facts have moved on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.stores.catalog import Catalog

_SEEN = "seen_by_"


@dataclass(frozen=True)
class Published:
    """An index that questions read. `built_us` is None where there is none that can be used."""

    built_us: int | None
    up_to_date: bool


def note_seen(catalog: Catalog, index: str) -> None:
    """Note that an index is what the catalog of now gives. For the holder of the run lock."""
    versions = _versions(catalog)
    if catalog.mark(_SEEN + index) != versions:
        with catalog.transaction():
            catalog.set_mark(_SEEN + index, versions)


def seen(catalog: Catalog, index: str) -> bool | None:
    """Whether an index is what the catalog of now gives, by a look at its counters; None where no run has noted it.

    A run looks at the fact files themselves: of a year these are tens of thousands.
    """
    noted = catalog.mark(_SEEN + index)
    return None if noted is None else noted == _versions(catalog)


def _versions(catalog: Catalog) -> str:
    """What rises or changes with whatever is written down of any sample or day."""
    query = (
        "SELECT (SELECT coalesce(sum(version), 0) FROM day_versions), (SELECT count(*) FROM day_outcomes),"
        " (SELECT count(*) FROM unprojected), (SELECT coalesce(sum(samples), 0) FROM outcome_counts)"
    )
    return " ".join(str(number) for number in catalog.connection.execute(query).fetchone())


def published_at_us(path: Path) -> int:
    """When a file was published, in microseconds since 1970. Raises OSError."""
    return path.stat().st_mtime_ns // 1000
