"""What a changed model, prompt or stage version has made stale, and what stands on it `[row-4]`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from pipeline.dag import STAGES, Stage
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_days
from pipeline.stores.fingerprints import MadeBy, made_by

VERSION, MODEL, PROMPT, TABLE, UNKNOWN = "version", "model", "prompt", "table", "not noted"


@dataclass
class Stale:
    """How much of a stage was made otherwise than it would be now.

    `changed` says what is other now; `follows` names stale stages on whose records this one stands: it is built again
    after them, at most on these days.
    """

    samples: int = 0
    days: set[tuple[str, str]] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)


def stale_samples(catalog: Catalog, stage: Stage, fingerprint: str, now: MadeBy | None) -> Stale:
    """What of a sample stage has an outcome with another fingerprint than the one it has now."""
    days = [day for day in count_days(catalog, stage.name, stage.record_type, fingerprint) if day.stale]
    if not days:
        return Stale()
    query = "SELECT DISTINCT fingerprint FROM outcome_counts WHERE stage = ? AND samples > 0 AND fingerprint <> ?"
    before = [row[0] for row in catalog.connection.execute(query, (stage.name, fingerprint))]
    changed = sorted({name for old in before for name in _changes(made_by(catalog, stage.name, old), now)})
    return Stale(sum(day.stale for day in days), {(day.run_id, day.day) for day in days}, changed)


def stale_days(catalog: Catalog, stage: Stage) -> Stale:
    """The days that a day stage built with another fingerprint than the one it has now."""
    query = "SELECT run_id, day FROM day_outcomes WHERE stage = ? AND fingerprint <> ?"
    days = set(catalog.connection.execute(query, (stage.name, stage.fingerprint())).fetchall())
    return Stale(0, days, [VERSION] if days else [])


def follow(stale: dict[str, Stale]) -> None:
    """Note with each stage on which stale ones it stands, directly or not, and which of its days that concerns."""
    for stage in STAGES:
        for name in sorted(_stands_on(stage, stale)) if stage.name in stale else ():
            cause = stale[name]
            if cause.changed:
                stale[stage.name].follows.append(name)
                stale[stage.name].days |= cause.days


def _stands_on(stage: Stage, used: Container[str]) -> set[str]:
    """The used stages that a stage stands on, directly or not: its sources, and the one that gives its samples."""
    giving = {item.name for item in STAGES if stage.record_type and item.gives == stage.record_type}
    direct = {name for name in {*stage.sources, *giving} if name in used}
    return direct.union(*(_stands_on(item, used) for item in STAGES if item.name in direct))


def _changes(before: MadeBy | None, now: MadeBy | None) -> list[str]:
    if before is None or now is None:
        return [VERSION] if now is None else [UNKNOWN]
    pairs = ((VERSION, "config_hash"), (MODEL, "model_digest"), (PROMPT, "prompt_hash"))
    return [word for word, name in pairs if getattr(before, name) != getattr(now, name)] or [TABLE]
