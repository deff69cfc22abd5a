"""Will the backlog be processed in time: measured rates and idle hours against the window in which it has to be.

    backlog ── seconds of work at the slow end (p95) ──┐
    arrivals ─ seconds of work a day ──────────────────┤ days to drain, with a margin ≤ days that the oldest has left?
    idle hours a day ──────────────────────────────────┘

Nothing is guessed: where something was never measured, the answer is that it is not known yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.dag import STAGES, Stage
from pipeline.runs.servers import missing_package
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_days, count_outcomes, count_samples
from pipeline.stores.idle import idle_hours_per_day
from pipeline.stores.paces import pace_of
from schemas.fields import from_utc_microseconds, parse_utc, utc_microseconds
from schemas.record_types import FRAME

DAY_US = 86_400_000_000
_LOOKED_BACK_DAYS = 14
_READ = "find_text_lines"


@dataclass(frozen=True, slots=True)
class Load:
    """What a stage has before it: pending samples (or days), and how many each day brings; times in seconds."""

    stage: str
    pending: float
    daily: float
    p95_s: float | None
    p99_s: float | None


def used_stages(settings: Settings) -> Iterator[Stage]:
    """The stages that a run takes: frames do not wait for a model that is not wanted, or not installed."""
    for stage in STAGES:
        if stage.model == "vlm" and settings.profile != "full":
            continue
        if stage.model == "embed" and missing_package("embed") is not None:
            continue
        yield stage


def report_sla(catalog: Catalog, settings: Settings, now_us: int) -> dict[str, Any]:
    """Project how long the backlog takes, reading only counters and measured figures.

    `fits` is None where it cannot be told yet; `sentence` says why, or what was found.
    """
    loads = list(_loads(catalog, settings, now_us))
    pending = [load for load in loads if load.pending > 0]
    unmeasured = [load.stage for load in pending if load.p95_s is None]
    idle, idle_from = _idle(catalog, settings, now_us)
    oldest_us, late = _oldest(catalog, settings, now_us)
    left_days = settings.window_days if oldest_us is None else settings.window_days - (now_us - oldest_us) / DAY_US
    p95_days, p99_days = (
        None if unmeasured or idle is None else _days(loads, idle, slow) for slow in (False, True)
    )  # fmt: skip
    result = {
        "pending_frames": round(next((load.pending for load in loads if load.stage == _READ), 0)),
        "work_s_p95": None if unmeasured else round(sum(load.pending * (load.p95_s or 0) for load in pending), 1),
        "work_s_p99": None if unmeasured else round(sum(load.pending * (load.p99_s or 0) for load in pending), 1),
        "unmeasured": unmeasured,
        "frames_per_day": round(next((load.daily for load in loads if load.stage == _READ), 0), 1),
        "idle_hours_per_day": None if idle is None else round(idle, 2),
        "idle_from": idle_from,
        "drain_days_p95": _rounded(p95_days),
        "drain_days_p99": _rounded(p99_days),
        "window_days": settings.window_days,
        "margin": settings.window_margin,
        "days_left": round(left_days, 2),
        "past_the_window": late,
    }
    fits, sentence = _judge(result, bool(pending), p95_days)
    return {"fits": fits, "sentence": sentence, **result}


def _judge(result: dict[str, Any], waits: bool, drain_days: float | None) -> tuple[bool | None, str]:
    late = f"; {result['past_the_window']} frames are past the window already" if result["past_the_window"] else ""
    if not waits:
        return True, "nothing waits"
    if result["unmeasured"]:
        stages = ", ".join(result["unmeasured"])
        return None, f"not known yet: no run has measured how fast these stages are: {stages}{late}"
    if drain_days is None:
        return None, (
            "not known yet: how long the user is idle was not seen for a whole day; idle_hours_per_day sets it" + late
        )
    needed = drain_days * (1 + result["margin"])
    if drain_days == float("inf"):
        return False, (
            f"does not fit: a day brings more work than {result['idle_hours_per_day']:g} idle hours can do{late}"
        )
    told = (
        f"the backlog takes {drain_days:.2f} days at the slow rates (p95), {needed:.2f} with the margin;"
        f" {result['days_left']:.2f} days are left of the window{late}"
    )
    fits = needed <= result["days_left"]
    return fits, f"{'fits' if fits else 'does not fit'}: {told}"


def _loads(catalog: Catalog, settings: Settings, now_us: int) -> Iterator[Load]:
    frames = {day.day for day in count_days(catalog, _READ, FRAME, None) if day.untouched > 0}
    unread = sum(max(0, day.untouched) for day in count_days(catalog, _READ, FRAME, None))
    read = sum(number for (stage, _), number in count_outcomes(catalog).items() if stage == _READ)
    daily = _frames_per_day(catalog, now_us)
    for stage in used_stages(settings):
        pace = pace_of(catalog, stage.name, stage.fingerprint())
        if stage.scope == "day":
            waiting = catalog.pending_days(stage.name, stage.sources, stage.fingerprint())
            pending, each = max(len(waiting), len(frames)), 1.0 if daily else 0.0
        elif stage.record_type == FRAME:
            pending, each = _waiting(catalog, stage), daily
        else:
            share = count_samples(catalog, stage.record_type) / read if read else 0.0
            pending = _waiting(catalog, stage) + round(share * unread)
            each = share * daily
        yield Load(stage.name, pending, each, pace.p95_s if pace else None, pace.p99_s if pace else None)


def _waiting(catalog: Catalog, stage: Stage) -> int:
    fingerprint = None if stage.model else stage.fingerprint()
    return sum(day.waiting for day in count_days(catalog, stage.name, stage.record_type, fingerprint))


def _frames_per_day(catalog: Catalog, now_us: int) -> float:
    """Frames a day since the first one of the last two weeks."""
    earliest = from_utc_microseconds(now_us - _LOOKED_BACK_DAYS * DAY_US).date().isoformat()
    first, frames = catalog.connection.execute(
        "SELECT min(day), coalesce(sum(samples), 0) FROM sample_counts"
        " WHERE record_type = ? AND day >= ? AND samples > 0",
        (FRAME, earliest),
    ).fetchone()
    if first is None:
        return 0.0
    return float(frames) / max(1.0, (now_us - utc_microseconds(parse_utc(f"{first}T00:00:00Z"))) / DAY_US)


def _idle(catalog: Catalog, settings: Settings, now_us: int) -> tuple[float | None, str | None]:
    if settings.idle_hours_per_day is not None:
        return settings.idle_hours_per_day, "the setting idle_hours_per_day"
    seen = idle_hours_per_day(catalog, now_us)
    return (seen[0], f"what runs saw in {seen[1]:.1f} days") if seen else (None, None)


def _oldest(catalog: Catalog, settings: Settings, now_us: int) -> tuple[int | None, int]:
    """When the oldest day began that waits and is within the window, and how many frames wait that are past it."""
    begin_us = now_us - round(settings.window_days * DAY_US)
    oldest_us, late = None, 0
    for day in count_days(catalog, _READ, FRAME, None):
        if day.waiting <= 0:
            continue
        day_us = utc_microseconds(parse_utc(f"{day.day}T00:00:00Z"))
        if day_us + DAY_US <= begin_us:
            late += day.waiting
        else:
            oldest_us = max(day_us, begin_us) if oldest_us is None else min(oldest_us, max(day_us, begin_us))
    return oldest_us, late


def _days(loads: list[Load], idle_hours: float, slow: bool) -> float:
    """Days until nothing waits, with what comes in meanwhile; infinite where a day brings more than it can do."""
    each = [(load, (load.p99_s if slow else load.p95_s) or 0.0) for load in loads]
    backlog_s = sum(load.pending * seconds for load, seconds in each)
    spare_s = idle_hours * 3600 - sum(load.daily * seconds for load, seconds in each)
    if backlog_s <= 0:
        return 0.0
    return backlog_s / spare_s if spare_s > 0 else float("inf")


def _rounded(days: float | None) -> float | None:
    return None if days is None or days == float("inf") else round(days, 3)
