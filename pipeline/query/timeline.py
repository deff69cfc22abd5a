"""Which window was active when: window changes, joined with the ends of each day of a run.

window    A        B     B         A
frame       |                            |
activity  ├── A ──┤├──── B ───┤├─ A ────┤
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

from pipeline.stores.indexed_texts import DAY_US


class Seen(NamedTuple):
    """Something that evidence says, as it was read there."""

    ts: int
    run_id: str
    text: str
    app: str | None = None
    process_path: str = ""
    hwnd: int | None = None
    is_change: bool = False
    """Whether it is a window change, rather than a frame of it."""
    is_address: bool = False
    """Whether `text` is the address of a page, rather than a title."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A window that was active without a break, and the sightings that it begins and ends with."""

    start: int
    end: int
    first: Seen
    next: Seen

    @property
    def app(self) -> str | None:
        return self.first.app

    @property
    def length(self) -> int:
        return self.end - self.start


def follow(seen: Iterable[Seen], start: int, end: int, key: Callable[[Seen], object]) -> list[Activity]:
    """Join sightings of one window (or program: what `key` tells) and cut them to [start, end).

    A window is active until the next sighting of another one, at most until the last sighting of its run on that day
    (UTC): what was active while nothing was captured is not known.
    """
    activities: list[Activity] = []
    ordered = sorted(set(seen), key=lambda item: (item.run_id, item.ts, not item.is_change, item.text))
    for _, group in groupby(ordered, key=lambda item: (item.run_id, item.ts // DAY_US)):
        activities += _follow_day(list(group), key)
    cut = (Activity(max(a.start, start), min(a.end, end), a.first, a.next) for a in activities)
    return sorted((a for a in cut if a.start < a.end), key=lambda a: (a.start, a.end))


def _follow_day(day: Sequence[Seen], key: Callable[[Seen], object]) -> list[Activity]:
    found: list[Activity] = []
    first = day[0]
    for item in day[1:]:
        if key(item) != key(first):
            found.append(Activity(first.ts, item.ts, first, item))
            first = item
    if day[-1].ts > first.ts:
        found.append(Activity(first.ts, day[-1].ts, first, day[-1]))
    return found


def switches_by(
    period: Callable[[int], int], seen: Iterable[Seen], start: int, end: int
) -> dict[int, list[tuple[Seen, Seen]]]:
    """Changes from one window to another (not of its title) in [start, end), by the period that each lies in."""
    found: dict[int, list[tuple[Seen, Seen]]] = {}
    changes = sorted((item for item in set(seen) if item.is_change), key=lambda item: (item.run_id, item.ts, item.text))
    for before, after in pairwise(changes):
        if before.run_id == after.run_id and before.hwnd != after.hwnd and start <= after.ts < end:
            found.setdefault(period(after.ts), []).append((before, after))
    return found
