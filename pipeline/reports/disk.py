"""What the disk holds, how fast it grows, and for how many days that is enough."""

from __future__ import annotations

import shutil
from typing import Any

from pipeline.dataroot import DataRoot
from pipeline.stores.catalog import Catalog
from pipeline.stores.disk import last_measured
from schemas.fields import from_utc_microseconds, utc_text

_LAST_DAYS = 14


def report_disk(root: DataRoot, catalog: Catalog | None) -> dict[str, Any]:
    """Bytes by part as a run measured them last, free bytes of now, and the forecast; None where it is not known.

    What is derived grows with the evidence: by as much for each byte of it as so far.
    """
    use = last_measured(catalog) if catalog else None
    free = shutil.disk_usage(root.path).free
    growth = _media_per_day(catalog) if catalog else None
    grown = growth * use.total / use.media if growth and use and use.media else None
    return {
        "measured_utc": utc_text(from_utc_microseconds(use.measured_us)) if use else None,
        "media": use.media if use else None,
        "handoffs": use.handoffs if use else None,
        "derived": use.derived if use else None,
        "index": use.indexes if use else None,
        "free": free,
        "growth_per_day": round(grown) if grown else None,
        "days_left": round(free / grown, 1) if grown else None,
    }


def _media_per_day(catalog: Catalog) -> float | None:
    """Bytes of blobs a day, over the last two weeks in which anything was captured."""
    first, last, size = catalog.connection.execute(
        "SELECT min(day), max(day), sum(bytes) FROM sample_counts WHERE bytes > 0 AND day >"
        " (SELECT date(max(day), ?) FROM sample_counts WHERE bytes > 0)",
        (f"-{_LAST_DAYS} day",),
    ).fetchone()
    if first is None:
        return None
    (days,) = catalog.connection.execute("SELECT julianday(?) - julianday(?) + 1", (last, first)).fetchone()
    return float(size / days)
