"""When the user was seen to be idle: by the runs that asked, for a forecast of how much idle time a day has."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pipeline.stores.catalog import Catalog
from schemas.fields import from_utc_microseconds, parse_utc, utc_microseconds

HOLDS_US = 30 * 60 * 1_000_000
"""How long what was seen last is taken to hold until another run looks."""

LOOKED_BACK_DAYS = 14
_MARK = "gate_seen"
_DAY_US = 86_400_000_000
_KEPT_DAYS = 60


def note_idle(
    catalog: Catalog, stretches: Iterable[tuple[int, int]], *, since_us: int, until_us: int, is_open: bool
) -> None:
    """Note in which stretches the gate was seen open since somebody began to look, and how it is at the end.

    Idle is also the time from the last note on, where the gate was open then and little of it has passed.
    """
    before_us, was_open = (int(part) for part in (catalog.mark(_MARK) or f"{since_us} 0").split())
    with catalog.transaction():
        if was_open and 0 < since_us - before_us <= HOLDS_US:
            _add_idle(catalog, before_us, since_us)
        for start_us, end_us in stretches:
            _add_idle(catalog, start_us, end_us)
        catalog.set_mark(_MARK, f"{until_us} {int(is_open)}")
        catalog.connection.execute(
            "DELETE FROM idle_days WHERE day <= (SELECT date(max(day), ?) FROM idle_days)", (f"-{_KEPT_DAYS} day",)
        )


def idle_hours_per_day(catalog: Catalog, now_us: int) -> tuple[float, float] | None:
    """Hours a day in which the user was seen to be idle, and over how many days; None before one whole day.

    What nobody looked at counts as not idle, so this is rather too low.
    """
    earliest = from_utc_microseconds(now_us - LOOKED_BACK_DAYS * _DAY_US).date().isoformat()
    first, idle_us = catalog.connection.execute(
        "SELECT min(day), sum(idle_us) FROM idle_days WHERE day >= ?", (earliest,)
    ).fetchone()
    if first is None:
        return None
    days = (now_us - utc_microseconds(parse_utc(f"{first}T00:00:00Z"))) / _DAY_US
    return (idle_us / 3.6e9 / days, days) if days >= 1 else None


def _add_idle(catalog: Catalog, start_us: int, end_us: int) -> None:
    while start_us < end_us:
        moment = from_utc_microseconds(start_us)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        until = min(end_us, utc_microseconds(midnight))
        catalog.connection.execute(
            "INSERT INTO idle_days VALUES (?,?) ON CONFLICT DO UPDATE SET idle_us = idle_us + excluded.idle_us",
            (moment.date().isoformat(), until - start_us),
        )
        start_us = until
