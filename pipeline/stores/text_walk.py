"""Texts in the order in which they were on screen, from either end of a stretch: for words that very many texts hold.

A search by words gives all texts that hold them, however many; who asks for the first or the last needs only a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from pipeline.stores.indexed_texts import DAY_US
from pipeline.stores.text_index import TextIndex


class Shown(NamedTuple):
    """A text while it was on screen once: as a line, a window's title or an address."""

    first_ts: int
    last_ts: int
    number: int
    text: str


_SEEN = """
SELECT s.first, s.last, s.text, x.text FROM ({source}) s CROSS JOIN texts x ON x.id = s.text
"""
_SOURCES = (
    "SELECT first_ts AS first, last_ts AS last, text FROM tracks WHERE first_ts >= ?1 AND first_ts < ?3"
    " AND last_ts >= ?2 ORDER BY {order} LIMIT -1",
    "SELECT ts AS first, ts AS last, title AS text FROM frames WHERE ts >= ?2 AND ts < ?3 AND title IS NOT NULL"
    " ORDER BY {order} LIMIT -1",
    "SELECT first_ts AS first, last_ts AS last, url AS text FROM visits WHERE first_ts >= ?1 AND first_ts < ?3"
    " AND last_ts >= ?2 ORDER BY {order} LIMIT -1",
)
"""The limit keeps SQLite from sorting after the join."""


def shown_in_order(index: TextIndex, start: int, end: int, *, backwards: bool) -> Iterator[Shown]:
    """All that is seen in [start, end): what comes first, first; or, backwards, what is last seen, first.

    Reads day by day, no more than is taken: lines and visits end at midnight UTC.
    """
    query = "SELECT DISTINCT first_ts - first_ts % ? AS day FROM days WHERE first_ts < ? AND last_ts >= ? ORDER BY day"
    days = [day for (day,) in index.connection.execute(query, (DAY_US, end, start))]
    order = "last DESC, text" if backwards else "first, text"
    for day in reversed(days) if backwards else days:
        bounds = (day, max(day, start), min(day + DAY_US, end))
        rows = [
            map(Shown._make, index.connection.execute(_SEEN.format(source=source.format(order=order)), bounds))
            for source in _SOURCES
        ]  # fmt: skip
        yield from merge(*rows, key=_latest if backwards else _earliest)


def _earliest(shown: Shown) -> tuple[int, int]:
    return shown.first_ts, shown.number


def _latest(shown: Shown) -> tuple[int, int]:
    return -shown.last_ts, shown.number
