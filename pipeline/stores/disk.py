"""How much of the disk a DataRoot takes: walked over now and then by a run, since a year has many files.

Blobs are not walked over: the catalog knows their sizes from their records.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.stores.catalog import Catalog
from schemas.fields import from_utc_microseconds

_EVERY_US = 3_600_000_000
_KEPT_DAYS = 400


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes by part, and when they were measured, in microseconds since 1970."""

    measured_us: int
    media: int
    handoffs: int
    derived: int
    indexes: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.media + self.handoffs + self.derived + self.indexes


def measure_disk(root: DataRoot, catalog: Catalog, now_us: int) -> None:
    """Note how much each part takes, unless that was done within the hour. For the holder of the run lock."""
    last = last_measured(catalog)
    if last is not None and 0 <= now_us - last.measured_us < _EVERY_US:
        return
    (media,) = catalog.connection.execute("SELECT coalesce(sum(bytes), 0) FROM sample_counts").fetchone()
    sizes = [sum(_sizes(folder)) for folder in (root.handoffs, root.derived, root.index)]
    day = from_utc_microseconds(now_us).date().isoformat()
    with catalog.transaction():
        catalog.connection.execute(
            "INSERT INTO disk_days VALUES (?,?,?,?,?,?) ON CONFLICT(day) DO UPDATE SET measured_us ="
            " excluded.measured_us, media = excluded.media, handoffs = excluded.handoffs, derived = excluded.derived,"
            " indexes = excluded.indexes",
            (day, now_us, media, *sizes),
        )
        catalog.connection.execute(
            "DELETE FROM disk_days WHERE day <= (SELECT date(max(day), ?) FROM disk_days)", (f"-{_KEPT_DAYS} day",)
        )


def last_measured(catalog: Catalog) -> DiskUse | None:
    """What was measured last; None before the first run that did something."""
    query = "SELECT measured_us, media, handoffs, derived, indexes FROM disk_days ORDER BY day DESC LIMIT 1"
    row = catalog.connection.execute(query).fetchone()
    return DiskUse(*row) if row else None


def _sizes(folder: Path | str) -> Iterator[int]:
    """Sizes of the regular files under a folder; what goes meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _sizes(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size
    except OSError:
        return
