"""Ranges over points in time: one rule for each way to say it.

from 2026-03-09 to 2026-03-15    both days whole
between 9 and 11 am              hours of a day that is named elsewhere
last week, the week of 4 March   weeks begin on Monday
last 24 hours, past 3 days       back from now
the first week of October        a row of a calendar that begins on Monday, cut to the month
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dateutil.relativedelta import relativedelta

from pipeline.query import time_words as say
from pipeline.query.time_points import Point, PointReader, number_of, span, unit_of

_DAY = timedelta(days=1)
_ENDS = re.compile(r"\b(?:first|last|latest|earliest|recent)\b")


@dataclass(frozen=True)
class Range:
    """A range that a question names; `of_any_day` where it names hours and no day."""

    start: datetime
    end: datetime
    of_any_day: bool = False

    @property
    def is_day(self) -> bool:
        return timedelta(hours=22) < self.end - self.start < timedelta(hours=26)

    def on_day(self, day: datetime) -> Range:
        """The same hours of another day."""
        shift = day.date() - self.start.date()
        return Range(self.start + shift, self.end + shift)


Match = re.Match[str]
Rule = Callable[[Match], Range | None]


class RangeReader:
    """Reads ranges of a text in which points stand as marks."""

    def __init__(self, reader: PointReader, points: Mapping[str, Point]) -> None:
        self._reader = reader
        self._points = points
        self._now = reader.now
        self._midnight = reader.midnight

    def rules(self) -> list[tuple[say.Late, Rule]]:
        """Patterns, the one that says most first, and how each is read."""
        return [
            (say.RANGE, self._range), (say.DASHED, self._range), (say.DAY_TO_POINT, self._day_to_point),
            (say.POINT_TO_DAY, self._point_to_day), (say.HOUR_TO_CLOCK, self._hour_to_clock),
            (say.CLOCK_TO_HOUR, self._clock_to_hour), (say.HOURS, self._hours), (say.LISTED, self._listed),
            (say.SINCE_UNIT, self._since_unit), (say.SINCE, self._since), (say.AFTER, self._after),
            (say.UNTIL, self._until), (say.BEFORE, self._before), (say.WEEK_OF_MONTH, self._week_of_month),
            (say.DAYS_OF, self._days_of), (say.LAST, self._last), (say.ROLLING, self._rolling),
            (say.WHOLE, self._whole), (say.CALENDAR, self._calendar), (say.PART, self._part),
            (say.WEEK_OF, self._week_of), (say.WEEK_NUMBER, self._week_number), (say.AT, self._at),
            (say.PART_ALONE, self._part), (say.IN_MONTH, self._month), (say.IN_YEAR, self._year),
        ]  # fmt: skip

    def _point(self, match: Match, name: str = "a") -> Point:
        return self._points[match[name][0]]

    def _range(self, match: Match) -> Range | None:
        return self._between(self._point(match), self._point(match, "b"))

    def _between(self, first: Point, last: Point) -> Range | None:
        if not first.has_day and not last.has_day:
            return self._of_any_day(first, last)
        if not first.has_day:
            first = first.on_day(last.midnight)
        elif not last.has_day:
            last = last.on_day(first.midnight)
        end = last.start if last.has_clock and last.end - last.start <= timedelta(minutes=1) else last.end
        start = first.start
        if start > end and not first.has_month and not last.has_month:  # from Friday to Monday
            start -= timedelta(days=7)
        return Range(start, end) if start < end else None

    def _of_any_day(self, first: Point, last: Point) -> Range:
        start, end = first.on_day(self._midnight).start, last.on_day(self._midnight).start
        end += _DAY if end <= start else timedelta()
        back = _DAY if start > self._now else timedelta()
        return Range(start - back, end - back, of_any_day=True)

    def _day_to_point(self, match: Match) -> Range | None:
        """20 to 26 October."""
        last = self._point(match, "b")
        if not last.has_month or last.has_clock:
            return None
        first = last.start.replace(day=int(match["n"]))
        return self._days(first, last.start, match)

    def _point_to_day(self, match: Match) -> Range | None:
        """October 20 to 26."""
        first = self._point(match)
        if not first.has_month or first.has_clock:
            return None
        year = int(match["y"] or first.start.year)
        return self._days(first.start.replace(year=year), first.start.replace(year=year, day=int(match["n"])), match)

    def _days(self, first: datetime, last: datetime, match: Match) -> Range | None:
        loose = "and" in match["t"] and "between" not in match[0]
        if first >= last or (loose and last - first > _DAY):
            return None
        return Range(first, last + relativedelta(days=1))

    def _hour_to_clock(self, match: Match) -> Range | None:
        """9 to 11 am, 1-3 pm."""
        last = self._point(match, "b")
        if not last.has_clock or last.end - last.start > timedelta(minutes=1):
            return None
        hour = int(match["n"]) % 24
        start = last.start.replace(hour=hour, minute=int(match["m"] or 0))
        if re.search(r"p\.?m", last.said) and hour < 12 and start + timedelta(hours=12) < last.start:
            start += timedelta(hours=12)
        return Range(start, last.start, not last.has_day) if start < last.start else None

    def _clock_to_hour(self, match: Match) -> Range | None:
        """from 9:00 to 11."""
        first = self._point(match)
        if not first.has_clock or first.end - first.start > timedelta(minutes=1):
            return None
        end = first.midnight + timedelta(hours=int(match["n"]))
        end += timedelta(hours=12) if end <= first.start and int(match["n"]) <= 12 else timedelta()
        return Range(first.start, end, not first.has_day) if first.start < end else None

    def _hours(self, match: Match) -> Range | None:
        first, last = int(match["a"]), int(match["b"])
        last += 12 if last <= first and last <= 12 else 0
        start, end = self._midnight + timedelta(hours=first), self._midnight + timedelta(hours=last)
        back = _DAY if start > self._now else timedelta()
        return Range(start - back, end - back, of_any_day=True) if first < last else None

    def _listed(self, match: Match) -> Range | None:
        """Days side by side; none for days apart: no one stretch holds just these."""
        named = sorted({sign: self._points[sign] for sign in match[0] if sign in self._points}.values(),
                       key=lambda point: point.start)  # fmt: skip
        if any(not point.has_day for point in named):
            return None
        if any(after.start > before.end for before, after in pairwise(named)):
            return None
        return Range(named[0].start, max(point.end for point in named))

    def _since(self, match: Match) -> Range:
        start = self._point(match).start if match["a"][0] in self._points else self._reader.month(match["a"])
        return Range(start, max(self._now, start))

    def _since_unit(self, match: Match) -> Range:
        if match["n"]:
            start = self._reader.back(number_of(match["n"]), unit_of(match["x"]))
            if unit_of(match["x"]) not in ("second", "minute", "hour"):
                start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        elif match["v"]:
            start = self._reader.extent(self._now, match["v"])[0]
        elif match["u"] in say.DAYPARTS:
            start = self._daypart(match["u"], yesterday=match["w"] == "last").start
        else:
            start = self._unit(match["u"], this=match["w"] == "this").start
        return Range(start, max(self._now, start))

    def _after(self, match: Match) -> Range:
        point = self._point(match)
        if point.has_clock and not (point.has_day and _ENDS.search(match.string)):
            return Range(point.end, point.midnight + _DAY, of_any_day=not point.has_day)
        return Range(point.end, max(self._now, point.end))

    def _until(self, match: Match) -> Range:
        point = self._point(match)
        if point.has_clock and not match[0].startswith(("as of", "by")):
            return Range(point.midnight, point.end, of_any_day=not point.has_day)
        return Range(min(self._beginning(), point.start), point.end)

    def _before(self, match: Match) -> Range:
        point = self._point(match)
        if point.has_clock and not (point.has_day and _ENDS.search(match.string)):
            return Range(point.midnight, point.start, of_any_day=not point.has_day)
        return Range(min(self._beginning(), point.start), point.start)

    def _last(self, match: Match) -> Range:
        count, unit = match["n"] or match["n2"], match["u"] or match["u2"]
        return Range(self._reader.back(number_of(count), unit_of(unit)), self._now)

    def _rolling(self, match: Match) -> Range:
        return Range(self._reader.back(1, match["u"] or match["v"]), self._now)

    def _whole(self, match: Match) -> Range:
        return Range(self._midnight + _DAY - span(number_of(match["n"]), unit_of(match["u"])), self._now)

    def _calendar(self, match: Match) -> Range:
        return self._unit(match["u"] or "weekend", this=match["w"] in ("this", "current", None))

    def _unit(self, unit: str, *, this: bool) -> Range:
        if unit == "weekend":
            weekday = self._now.weekday()
            saturday = self._midnight - timedelta(days=weekday - 5 if weekday >= 5 else weekday + 2)
            saturday -= timedelta(days=0 if this or weekday < 5 else 7)
            return Range(saturday, saturday + timedelta(days=2))
        return Range(*self._reader.extent(self._now if this else self._now - span(1, unit), unit))

    def _part(self, match: Match) -> Range:
        named = match.groupdict()
        part = self._daypart(named.get("p") or "night", yesterday=named.get("w") == "last")
        return Range(part.start, part.end, of_any_day="w" not in named)

    def _daypart(self, name: str, *, yesterday: bool) -> Range:
        day = self._midnight - _DAY if yesterday else self._midnight
        first, last = say.DAYPARTS[name]
        return Range(day + timedelta(hours=first), day + timedelta(hours=last))

    def _week_of(self, match: Match) -> Range:
        return Range(*self._reader.extent(self._point(match).start, "week"))

    def _week_number(self, match: Match) -> Range:
        number, year = int(match["n"] or match["n2"]), match["y"] or match["y2"]
        chosen = int(year) if year else self._now.isocalendar().year
        monday = self._midnight.combine(datetime.fromisocalendar(chosen, number, 1), self._midnight.timetz())
        if not year and monday > self._now:
            monday = self._midnight.combine(datetime.fromisocalendar(chosen - 1, number, 1), self._midnight.timetz())
        return Range(monday, monday + timedelta(days=7))

    def _week_of_month(self, match: Match) -> Range | None:
        """A week of a month is a row of the calendar, a half ends on the 15th."""
        start, end = self._month_named(match["a"], match["m"])
        number = say.ORDINALS.get(match["o"], 0)
        if match["u"] == "half":
            middle = start.replace(day=16)
            return {1: Range(start, middle), 2: Range(middle, end), 0: Range(middle, end)}.get(number)
        monday = start - timedelta(days=start.weekday())
        weeks = [monday + timedelta(days=7 * n) for n in range(6)]
        rows = [Range(max(week, start), min(week + timedelta(days=7), end)) for week in weeks if week < end]
        if match["u"] != "week":
            weekday = 5 if match["u"] == "weekend" else say.WEEKDAYS.index(self._point(match, "u").said[:3])
            days = timedelta(days=2 if match["u"] == "weekend" else 1)
            firsts = [week + timedelta(days=weekday) for week in weeks]
            rows = [Range(day, day + days) for day in firsts if start <= day < end]
        return rows[number - 1] if number <= len(rows) else None

    def _days_of(self, match: Match) -> Range:
        week = match["u"] == "week"
        whole = self._unit("week", this=match["w"] != "last") if week else None
        start, end = (whole.start, whole.end) if whole else self._month_named(match["a"], match["w"])
        days = timedelta(days=number_of(match["n"] or "1"))
        return Range(start, start + days) if match["o"] == "first" else Range(end - days, end)

    def _month_named(self, text: str | None, relative: str | None) -> tuple[datetime, datetime]:
        start = self._reader.month(text) if text else self._unit("month", this=relative != "last").start
        return start, start + relativedelta(months=1)

    def _at(self, match: Match) -> Range:
        point = self._point(match)
        return Range(point.start, point.end, of_any_day=not point.has_day)

    def _month(self, match: Match) -> Range:
        start = self._reader.month(match["a"])
        if (match["l"] or match["l2"] or "").strip() == "last" and start <= self._now < start + relativedelta(months=1):
            start -= relativedelta(years=1)
        return Range(start, start + relativedelta(months=1))

    def _year(self, match: Match) -> Range:
        start = self._midnight.replace(year=int(match["y"]), month=int(match["m"] or 1), day=1)
        return Range(start, start + (relativedelta(months=1) if match["m"] else relativedelta(years=1)))

    def _beginning(self) -> datetime:
        return self._reader.first_day.replace(hour=0, minute=0, second=0, microsecond=0)
