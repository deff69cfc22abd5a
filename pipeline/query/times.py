"""When a question asks about: points in time, and a small grammar of ranges over them.

A stretch is half-open, [start, end). A point stands for its natural extent: a day, an hour, a minute, a second. Points
are read by `time_points`, ranges by `time_ranges`; here they become the one stretch that a question is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from dateutil.parser import ParserError

from pipeline.query import time_words as say
from pipeline.query.time_points import Point, PointReader, Stretch
from pipeline.query.time_ranges import Match, Range, RangeReader, Rule
from pipeline.query.time_zones import named_zone

__all__ = ["Reading", "Stretch", "TimeReader"]
_UNREADABLE = (ValueError, OverflowError, ParserError, KeyError, IndexError)


class Reading(NamedTuple):
    """When a question asks about, if it says so; the question without those words; the zone it names, if it does.

    `unclear` tells why the time cannot be read as one stretch; then there is none.
    """

    stretch: Stretch | None
    rest: str
    zone: tzinfo | None = None
    unclear: str = ""


@dataclass(frozen=True)
class _Found:
    start: int
    end: int
    range: Range
    words: str
    bracketed: bool = False


class TimeReader:
    """Reads times as seen from `now`, in a time zone."""

    def __init__(self, now: datetime, zone: tzinfo, first_day: datetime | None = None) -> None:
        """`first_day` is when capture began; 'until Monday' looks at it."""
        self.now = now
        self.zone = zone
        self.first_day = first_day or now

    def read(self, question: str) -> Reading:
        """Find when a question asks about.

        Dates in brackets outweigh words beside them: 'yesterday (2026-03-15)'. Hours without a date belong to the date
        that stands elsewhere. Several times are read as what they have in common; where they have nothing in common,
        or not all words of time are understood, it is unclear.
        """
        zone, plain = named_zone(question)
        text = _lower(plain)
        found = _Finder(PointReader(self.now, zone or self.zone, self.first_day)).find(text)
        rest = list(plain)
        for item in found:
            rest[item.start : item.end] = " " * (item.end - item.start)
        left = re.sub(r"\(\s*\)", lambda match: " " * len(match[0]), "".join(rest))
        chosen = _one(found)
        if found and chosen is None:
            return Reading(
                None, question, zone, f"'{found[0].words}' and '{found[-1].words}' are no one stretch of time"
            )
        not_read = say.LEFT_OVER.search(_lower(left))
        not_read = not_read or say.REPEATED.search(text)
        unclear = f"'{not_read[0]}' was not understood as one stretch of time" if not_read else ""
        return Reading(chosen, left if found or zone else question, zone, unclear)

    def point(self, text: str) -> Stretch:
        """Read one point in time, as `--since` takes it. Raises ValueError."""
        plain = text.strip().lower()
        point = PointReader(self.now, self.zone, self.first_day).read(plain) if re.fullmatch(say.POINT, plain) else None
        if point is None:
            raise ValueError(f"not a point in time: {text!r}")
        return Stretch(point.start, point.end)


class _Finder:
    """Finds the ranges of one text."""

    def __init__(self, reader: PointReader) -> None:
        self._reader = reader
        self._points: dict[str, Point] = {}

    def find(self, text: str) -> list[_Found]:
        """Ranges, in the order of the text."""
        slashes = re.findall(r"(?<![\d/])(\d{1,2})/\d{1,2}\b", text)
        self._reader.day_first = any(int(number) > 12 for number in slashes)
        marked = say.POINTS.sub(lambda match: self._mark(match[0]), text)
        found: list[_Found] = []
        for pattern, read in RangeReader(self._reader, self._points).rules():
            for match in pattern.finditer(marked):
                if not match[0].strip() or any(match.start() < item.end and item.start < match.end() for item in found):
                    continue
                named = _try(read, match)
                if named is not None:
                    opened = text.rfind("(", 0, match.start() + 1) > text.rfind(")", 0, match.start() + 1)
                    words = " ".join(text[match.start() : match.end()].split())
                    found.append(_Found(match.start(), match.end(), named, words, opened))
        return sorted(found, key=lambda item: item.start)

    def _mark(self, text: str) -> str:
        """Put a sign for a point in its place, as long as it was; what turns out to be none stays as it is."""
        try:
            point = self._reader.read(text)
        except _UNREADABLE:
            point = None
        if point is None:
            return text
        sign = chr(0xE000 + len(self._points))
        self._points[sign] = point
        return sign * len(text)


def _lower(text: str) -> str:
    """In lower case, every sign in its place; signs that stand for points are blanks."""
    text = say.PRIVATE.sub(lambda match: " " * len(match[0]), text)
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def _try(read: Rule, match: Match) -> Range | None:
    try:
        found = read(match)
    except _UNREADABLE:
        return None
    return found if found is not None and found.start <= found.end else None


def _one(found: list[_Found]) -> Stretch | None:
    """The stretch that all ranges have in common; None where they have none."""
    bracketed = [item for item in found if item.bracketed and not item.range.of_any_day]
    hours = [item for item in found if item.range.of_any_day]
    days = bracketed or [item for item in found if not item.range.of_any_day]
    if bracketed:
        hours += [item for item in found if not item.bracketed and not item.range.of_any_day and _has_hours(item.range)]
    chosen = days or hours[:1]
    if not chosen:
        return None
    start, end = max(item.range.start for item in chosen), min(item.range.end for item in chosen)
    if start >= end and len(chosen) > 1:
        return None
    words = ", ".join(dict.fromkeys(item.words for item in chosen))
    if not days:
        return Stretch(start, end, words) if len({item.range for item in hours}) == 1 else None
    whole = Range(start, end)
    for item in hours:
        if not whole.is_day and whole.start.date() != (whole.end - timedelta(microseconds=1)).date():
            return None  # hours of several days
        moved = item.range.on_day(whole.start)
        end = min(end, moved.end) if moved.end.date() == whole.start.date() else moved.end
        start, words = max(start, moved.start), f"{words}, {item.words}"
    return Stretch(start, end, words) if start < end else None


def _has_hours(named: Range) -> bool:
    return not named.is_day and (named.end - named.start).total_seconds() < 86_400
