"""Points in time: a day, an hour, a minute, each for its natural extent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from dateutil.parser import parse
from dateutil.relativedelta import relativedelta

from pipeline.query.time_words import (
    AGO,
    BARE_ORDINAL,
    CALENDAR_DATE,
    CLOCK,
    COUNT,
    DAYPARTS,
    HOUR,
    LONE_DATE,
    LONE_HOUR,
    MONTHS,
    NUMBERS,
    OF_WEEK,
    UNIT,
    UNITS,
    WEEKDAY,
    WEEKDAYS,
)
from schemas.fields import utc_microseconds

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, and the words of the question that it was read from (empty: nothing was said)."""

    start: datetime
    end: datetime
    words: str = ""

    @property
    def start_us(self) -> int:
        return utc_microseconds(self.start)

    @property
    def end_us(self) -> int:
        return utc_microseconds(self.end)


@dataclass(frozen=True)
class Point:
    """A point that a question names, and what of it is named: its day, its month, a time of day."""

    start: datetime
    end: datetime
    has_day: bool = True
    has_month: bool = False
    has_clock: bool = False
    said: str = ""

    @property
    def midnight(self) -> datetime:
        return self.start.replace(hour=0, minute=0, second=0, microsecond=0)

    def on_day(self, day: datetime) -> Point:
        """The same hours of another day."""
        shift = day.date() - self.start.date()
        return Point(self.start + shift, self.end + shift, True, self.has_month, self.has_clock, self.said)


class PointReader:
    """Reads points as seen from `now`, in a time zone."""

    def __init__(self, now: datetime, zone: tzinfo, first_day: datetime) -> None:
        self.zone = zone
        self.now = now.astimezone(zone)
        self.midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.first_day = first_day.astimezone(zone)
        self.day_first = False
        """Whether 3/10 is in October: another date of the same question tells."""

    def read(self, text: str) -> Point | None:
        """Read a point; one that names no day is of today. Raises ValueError and OverflowError."""
        text = " ".join(text.split())
        if text == "now":
            return Point(self.now, self.now, has_clock=True)
        if re.fullmatch(AGO, text):
            return self._ago(text)
        date = re.search(LONE_DATE, text)
        day = self._day(date[0]) if date else self.midnight
        if day is None:
            return None
        rest = text.replace(date[0], " ", 1) if date else text
        month = date is not None and re.search(CALENDAR_DATE, date[0]) is not None
        clock = re.search(rf"{CLOCK}|{HOUR}|{LONE_HOUR}", rest.strip())
        if clock:
            start, extent = self._clock(day, clock[0], of_today=date is None)
            return Point(start, start + extent, date is not None, month, True, text)
        part = next((name for name in DAYPARTS if name in rest), None)
        if part:
            first, last = DAYPARTS[part]
            return Point(day + timedelta(hours=first), day + timedelta(hours=last), True, month, True, text)
        return Point(day, day + relativedelta(days=1), True, month, said=text) if date else None

    def extent(self, moment: datetime, unit: str) -> tuple[datetime, datetime]:
        """The calendar unit that a moment lies in."""
        if unit in ("second", "minute", "hour"):
            second = moment.replace(microsecond=0)
            minute = second if unit == "second" else second.replace(second=0)
            start = minute.replace(minute=0) if unit == "hour" else minute
            return start, start + span(1, unit)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit in ("week", "fortnight"):
            day -= timedelta(days=day.weekday())
        elif unit == "month":
            day = day.replace(day=1)
        elif unit == "year":
            day = day.replace(month=1, day=1)
        return day, day + span(1, "week" if unit == "fortnight" else unit)

    def back(self, count: int, unit: str) -> datetime:
        """So much before now: hours as they pass, days by the calendar."""
        if unit in ("second", "minute", "hour"):
            return before(self.now.astimezone(UTC), count, unit).astimezone(self.zone)
        return before(self.now, count, unit)

    def month(self, text: str) -> datetime:
        """The first day of a month, the latest such month when no year is named."""
        default = self.midnight.replace(day=1, tzinfo=None)
        moment: datetime = parse(text.replace(" of ", " "), default=default)
        start = moment.replace(tzinfo=self.zone, day=1)
        return self._latest(start, text)

    def _ago(self, text: str) -> Point:
        match = re.fullmatch(rf"(?P<n>{COUNT})\s+(?P<u>{UNIT})\s+ago", text)
        assert match is not None
        unit = unit_of(match["u"])
        start, end = self.extent(self.back(number_of(match["n"]), unit), unit)
        return Point(start, end, has_clock=unit in ("second", "minute", "hour"), said=text)

    def _day(self, text: str) -> datetime | None:
        if text.endswith("before yesterday"):
            return self.midnight - 2 * _DAY
        if text in ("yesterday", "today", "tomorrow"):
            return self.midnight + _DAY * ("yesterday", "today", "tomorrow").index(text) - _DAY
        ordinal = re.search(r"\d{1,2}(?=(?:st|nd|rd|th)\b)", text)
        if ordinal and not re.search(MONTHS, text) and re.search(rf"\b(?:{BARE_ORDINAL}|{ordinal[0]})", text):
            return self._day_of_month(int(ordinal[0]), last_month="last month" in text)
        named = re.search(CALENDAR_DATE, text)
        if named:
            return self._dated(named[0])
        weekday = WEEKDAY.search(text)
        return self._weekday(text, WEEKDAYS.index(weekday[0][:3])) if weekday else None

    def _weekday(self, text: str, number: int) -> datetime:
        of_week = re.search(OF_WEEK, text)
        if of_week:
            monday = self.midnight - timedelta(days=self.now.weekday())
            this = "this" in text
            return monday + timedelta(days=number - (0 if this else 7))
        back = (self.now.weekday() - number) % 7
        back += 7 if back == 0 and text.startswith(("last", "past")) else 0
        return self.midnight - timedelta(days=back)

    def _day_of_month(self, number: int, *, last_month: bool) -> datetime:
        first = self.midnight.replace(day=1)
        if last_month or number > self.now.day:
            first -= relativedelta(months=1)
        return first.replace(day=number)

    def _dated(self, text: str) -> datetime:
        slashed = re.fullmatch(r"(\d{1,2})/(\d{1,2})(?:/(\d+))?", text)
        if slashed and not slashed[3] and not self._is_day_and_month(int(slashed[1]), int(slashed[2])):
            raise ValueError("a fraction, or anything else")
        dotted = re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{4}", text) is not None
        plain = re.sub(r"\b(?:of|the)\b|(?<=\d)\.(?=\s)", " ", text)
        moment: datetime = parse(
            plain, default=self.midnight.replace(tzinfo=None, day=1), dayfirst=dotted or self.day_first
        )
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=self.zone)
        return day if slashed and slashed[3] else self._latest(day, text)

    def _is_day_and_month(self, one: int, other: int) -> bool:
        """Whether 21/10 or 10/21 is a day: 24/7 and 3/4 are not, unless another date of the question says how."""
        if (one, other) == (24, 7) or not (1 <= min(one, other) <= 12 and max(one, other) <= 31):
            return False
        return max(one, other) > 12 or self.day_first

    def _latest(self, day: datetime, text: str) -> datetime:
        """Without a year it is the last such day, or the next where the last was before anything was captured."""
        if re.search(r"\d{4}", text) or day <= self.now:
            return day
        before = day - relativedelta(years=1)
        return before if before >= self.first_day - _DAY else day

    def _clock(self, day: datetime, text: str, *, of_today: bool) -> tuple[datetime, timedelta]:
        named = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}.get(text, text)
        in_utc = re.search(r"(utc|z)$", named) is not None
        plain = re.sub(r"\s?(utc|z|h|hrs)$", "", named)
        plain = re.sub(r"^(\d{1,2})(?:\s?o['’]?clock)?$", r"\1:00", plain)
        plain = re.sub(r"^(\d{1,2})\.(?=\d\d)", r"\1:", plain)
        if "m" in plain:
            plain = plain.replace(".m", "m").removesuffix(".")
        moment = parse(plain, default=day.replace(tzinfo=None)).replace(tzinfo=UTC if in_utc else self.zone)
        moment = moment.astimezone(self.zone)
        if of_today and moment > self.now:
            moment -= _DAY
        return moment, timedelta(seconds=1) if named.count(":") == 2 else timedelta(minutes=1)


def unit_of(text: str) -> str:
    """The unit that a word stands for: `hrs` → `hour`."""
    return UNITS.get(text) or UNITS[text.rstrip("s")]


def number_of(text: str) -> int:
    """The number that a word or digits stand for."""
    return int(text) if text.isdigit() else NUMBERS[text]


def span(count: int, unit: str) -> relativedelta:
    """So many of a unit."""
    if unit == "fortnight":
        return relativedelta(weeks=2 * count)
    return relativedelta(**{f"{unit}s": count})


def before(moment: datetime, count: int, unit: str) -> datetime:
    """So many of a unit before a moment."""
    earlier: datetime = moment - span(count, unit)
    return earlier
