"""When a question asks about: points in time, and a small grammar of ranges over them.

A stretch is half-open, [start, end). A point stands for its natural extent: a day, an hour, a minute, a second.

    on 2026-03-11                    the day
    from 2026-03-09 to 2026-03-15    both days whole
    on 11 March between 9 and 12     hours of a day that is named elsewhere
    last week, two weeks ago         weeks begin on Monday
    last 24 hours                    back from now
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from dateutil.parser import ParserError, parse
from dateutil.relativedelta import relativedelta

from schemas.fields import utc_microseconds


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
class _Found:
    start: int
    end: int
    stretch: Stretch
    bracketed: bool = False


_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
_NUMBERS = {word: number for number, word in enumerate(_WORDS.split())} | {
    "a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3, "thirty": 30, "sixty": 60, "ninety": 90,
}  # fmt: skip
_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
_WEEKDAYS = r"monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_UNITS = r"seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?"
_COUNT = r"(?:\d{1,4}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:\s?[ap]\.?m\b\.?)?(?:\s?utc\b|z\b)?"
_HOUR = r"(?:1[0-2]|0?[1-9])\s?[ap]\.?m\b\.?|noon|midnight|midday"
_ISO = r"\d{4}-\d{2}-\d{2}"
_DATE = (
    rf"{_ISO}|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_MONTHS})\b\.?(?:,?\s+\d{{4}}\b)?"
    rf"|(?:{_MONTHS})\b\.?\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?!:)(?:,?\s+\d{{4}}\b)?"
    r"|\d{1,2}\.\d{1,2}\.\d{4}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}/\d{1,2}/\d{4}"
    rf"|(?:the\s+)?day\s+before\s+yesterday|yesterday|today|(?:last|this|on|past)\s+(?:{_WEEKDAYS})\b|(?:{_WEEKDAYS})\b"
)
_DAYPART = r"(?:in\s+the\s+)?(?:morning|afternoon|evening|night)"
_MONTH = rf"(?:{_MONTHS})\b(?:\s+(?:of\s+)?\d{{4}})?"
_AGO = rf"{_COUNT}\s+(?:{_UNITS})\s+ago"
_ANY_CLOCK = rf"(?:(?:at|around|about)\s+)?(?:{_CLOCK}|{_HOUR})"
_POINT = (
    rf"(?:(?:{_DATE})(?:(?:\s*,)?\s+(?:{_ANY_CLOCK})|t{_CLOCK}|\s+{_DAYPART})?"
    rf"|(?:{_ANY_CLOCK})(?:\s+on)?\s+(?:{_DATE})|{_AGO}|{_ANY_CLOCK}|now)"
)
_MARK = "[\ue000-\uf8fe]+"
"""Stands for a point in the text, as many signs as it is long, so that ranges are short patterns over points."""
_PRIVATE = re.compile(_MARK)
_P, _Q = f"(?P<a>{_MARK})", f"(?P<b>{_MARK})"
_BARE = r"(?:[01]?\d|2[0-4])(?![\d.-])"
_POINTS = re.compile(rf"(?<!\w){_POINT}")
_RANGE = re.compile(rf"\b(?:from|between)\s+{_P}\s+(?:to|until|till|through|and)\s+{_Q}")
_DASHED = re.compile(rf"{_P}(?:\s+(?:to|until|till|through)\s+|\s*(?:–|—|\s-\s|\.\.)\s*){_Q}")
_HOURS = re.compile(
    rf"\b(?:from|between)\s+(?P<a>{_BARE})\s+(?:to|until|till|and)\s+(?P<b>{_BARE})(?:\s*o'?clock)?(?!\s*[a-z]*s\b)"
)
_SINCE = re.compile(rf"\b(?:since|starting|from)\s+(?P<a>{_MARK}|{_MONTH}(?!\s*\d))(?:\s+(?:on|onwards?))?")
_AFTER = re.compile(rf"\bafter\s+{_P}")
_UNTIL = re.compile(rf"\b(?:until|till|up\s+to|as\s+of|by)\s+{_P}")
_BEFORE = re.compile(rf"\bbefore\s+{_P}")
_LAST = re.compile(
    rf"\b(?:(?:in|during|over|within)\s+)?(?:the\s+)?(?:last|past|previous)\s+(?P<n>{_COUNT})\s+(?P<u>{_UNITS})\b"
)
_WHOLE = re.compile(
    rf"\b(?:during|over|in|within|across|throughout)\s+(?:the|these|those|all)\s+(?:whole\s+)?(?P<n>{_COUNT})\s+"
    r"(?P<u>days?|weeks?)\b"
)
_CALENDAR = re.compile(r"\b(?P<w>last|past|previous|this|current)\s+(?P<u>hour|week|weekend|month|year)\b")
_PART = re.compile(r"\b(?:(?P<w>this|last)\s+(?P<p>morning|afternoon|evening|night)|tonight)\b")
_WEEK_OF = re.compile(rf"\b(?:in\s+the\s+)?week\s+of\s+{_P}")
_AT = re.compile(rf"(?:\b(?:on|at|in|around|about|during|roughly)\s+)?{_P}")
_IN_MONTH = re.compile(rf"\b(?:in|during|for|of)\s+(?P<a>{_MONTH})")
_DAYPARTS = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 24)}


class TimeReader:
    """Reads times as seen from `now`, in a time zone."""

    def __init__(self, now: datetime, zone: tzinfo, first_day: datetime | None = None) -> None:
        """`first_day` is when capture began; 'during the 5 days' and 'since the beginning' look at it."""
        self.zone = zone
        self.now = now.astimezone(zone)
        self.midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.first_day = (first_day or self.now).astimezone(zone)
        self._points: dict[str, Stretch] = {}

    def read(self, question: str) -> tuple[Stretch | None, str]:
        """Find when a question asks about. Returns the stretch, or None, and the question without those words.

        Dates in brackets outweigh words beside them: 'yesterday (2026-03-15)'. A clock range without a date belongs to
        the date that stands elsewhere.
        """
        text = _PRIVATE.sub(lambda match: " " * len(match[0]), question.lower())
        if len(text) != len(question):  # a sign that is longer in lower case: places would not fit
            text = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in question)
        found = self._find(text)
        if not found:
            return None, question
        rest = list(question)
        for item in found:
            rest[item.start : item.end] = " " * (item.end - item.start)
        bracketed = [item for item in found if item.bracketed]
        chosen = (bracketed or found)[0]
        return chosen.stretch, "".join(rest).replace("( )", " ")

    def point(self, text: str) -> Stretch:
        """Read one point in time, as `--since` takes it. Raises ValueError."""
        match = re.fullmatch(_POINT, text.strip().lower())
        stretch = self._point(match[0]) if match else None
        if stretch is None:
            raise ValueError(f"not a point in time: {text!r}")
        return stretch

    def _find(self, text: str) -> list[_Found]:
        self._points = {}
        marked = _POINTS.sub(lambda match: self._mark(match[0]), text)
        found: list[_Found] = []
        for pattern, read in self._rules():
            for match in pattern.finditer(marked):
                overlap = any(match.start() < item.end and item.start < match.end() for item in found)
                stretch = None if overlap else self._try(read, match, text[match.start() : match.end()])
                if stretch is not None:
                    opened = text.rfind("(", 0, match.start() + 1) > text.rfind(")", 0, match.start() + 1)
                    found.append(_Found(match.start(), match.end(), stretch, opened))
        return self._join(found)

    def _mark(self, text: str) -> str:
        """Put a sign for a point in its place, as long as it was; what turns out to be none stays as it is."""
        try:
            stretch = self._point(text)
        except (ValueError, OverflowError, ParserError):
            stretch = None
        if stretch is None:
            return text
        sign = chr(0xE000 + len(self._points))
        self._points[sign] = stretch
        return sign * len(text)

    def _join(self, found: list[_Found]) -> list[_Found]:
        """Move stretches that name a clock time only onto the day that another one names."""
        days = [item for item in found if item.stretch.end - item.stretch.start >= timedelta(hours=23)]
        clocks = [item for item in found if item.stretch.words.startswith("\0")]
        if days and clocks:
            moved = self._on_day(clocks[0].stretch, days[0].stretch)
            bracketed = days[0].bracketed or clocks[0].bracketed
            return [_Found(clocks[0].start, clocks[0].end, moved, bracketed), *days, *clocks[1:]]
        return [_Found(item.start, item.end, _plain(item.stretch), item.bracketed) for item in found]

    def _on_day(self, clock: Stretch, day: Stretch) -> Stretch:
        shift = day.start.date() - clock.start.date()
        return Stretch(clock.start + shift, clock.end + shift, f"{day.words}, {_plain(clock).words}")

    def _try(self, read: Callable[[re.Match[str]], Stretch | None], match: re.Match[str], said: str) -> Stretch | None:
        try:
            stretch = read(match)
        except (ValueError, OverflowError, ParserError):
            return None
        if stretch is None or stretch.start > stretch.end:
            return None
        words = " ".join(said.split())
        return Stretch(stretch.start, stretch.end, f"\0{words}" if stretch.words == "\0" else words)

    def _rules(self) -> Iterator[tuple[re.Pattern[str], Callable[[re.Match[str]], Stretch | None]]]:
        yield _RANGE, self._range
        yield _DASHED, self._range
        yield _HOURS, self._hours
        yield _SINCE, self._since
        yield _AFTER, self._after
        yield _UNTIL, self._until
        yield _BEFORE, self._before
        yield _LAST, self._last
        yield _WHOLE, self._whole
        yield _CALENDAR, self._calendar
        yield _PART, self._daypart
        yield _WEEK_OF, self._week_of
        yield _AT, self._at
        yield _IN_MONTH, self._month

    def _range(self, match: re.Match[str]) -> Stretch:
        first, last = self._points[match["a"][0]], self._points[match["b"][0]]
        if first.words == "\0" and last.words != "\0":  # from 9:00 to 11:00 on Monday
            first = self._on_day(first, last)
        elif last.words == "\0" and first.words != "\0":  # from Monday 9:00 to 11:00
            last = self._on_day(last, first)
        end = last.start if last.end - last.start <= timedelta(minutes=1) else last.end
        return Stretch(first.start, end, first.words if first.words == last.words == "\0" else "")

    def _hours(self, match: re.Match[str]) -> Stretch:
        start = self.midnight + timedelta(hours=int(match["a"]))
        return Stretch(start, self.midnight + timedelta(hours=int(match["b"])), "\0")

    def _since(self, match: re.Match[str]) -> Stretch:
        first = self._points[match["a"][0]] if match["a"][0] in self._points else self._month(match)
        return Stretch(first.start, max(self.now, first.start))

    def _after(self, match: re.Match[str]) -> Stretch:
        first = self._points[match["a"][0]]
        return Stretch(first.end, max(self.now, first.end))

    def _until(self, match: re.Match[str]) -> Stretch:
        last = self._points[match["a"][0]]
        return Stretch(min(self._beginning(), last.start), last.end)

    def _before(self, match: re.Match[str]) -> Stretch:
        last = self._points[match["a"][0]]
        return Stretch(min(self._beginning(), last.start), last.start)

    def _last(self, match: re.Match[str]) -> Stretch:
        return Stretch(self.now - _span(match["n"], match["u"]), self.now)

    def _whole(self, match: re.Match[str]) -> Stretch:
        span = _span(match["n"], match["u"])
        return Stretch(self.midnight + relativedelta(days=1) - span, self.now)

    def _calendar(self, match: re.Match[str]) -> Stretch:
        unit, current = match["u"], match["w"] in ("this", "current")
        if unit == "hour":
            return Stretch(self.now - timedelta(hours=1), self.now)
        if unit == "weekend":
            saturday = self.midnight - timedelta(
                days=(self.now.weekday() - 5) % 7 if self.now.weekday() < 5 else self.now.weekday() - 5
            )
            saturday -= timedelta(days=0 if current or self.now.weekday() < 5 else 7)
            return Stretch(saturday, saturday + timedelta(days=2))
        moment = self.now if current else self.now - _span("1", unit)
        return self._extent(moment, unit)

    def _daypart(self, match: re.Match[str]) -> Stretch:
        day = self.midnight - timedelta(days=1 if match["w"] == "last" else 0)
        first, last = _DAYPARTS[match["p"] or "night"]
        return Stretch(day + timedelta(hours=first), day + timedelta(hours=last))

    def _week_of(self, match: re.Match[str]) -> Stretch:
        return self._extent(self._points[match["a"][0]].start, "week")

    def _at(self, match: re.Match[str]) -> Stretch:
        return self._points[match["a"][0]]

    def _month(self, match: re.Match[str]) -> Stretch:
        text = match["a"]
        start = parse(text.replace(" of ", " "), default=self.midnight.replace(day=1, tzinfo=None)).replace(
            tzinfo=self.zone, day=1
        )
        if not re.search(r"\d{4}", text) and start > self.now:
            start -= relativedelta(years=1)
        return Stretch(start, start + relativedelta(months=1))

    def _point(self, text: str) -> Stretch | None:
        """Read a point; one that names no day is of today and is marked so in `words`."""
        text = " ".join(text.split())
        if text == "now":
            return Stretch(self.now, self.now)
        ago = re.fullmatch(rf"(?P<n>{_COUNT})\s+(?P<u>{_UNITS})\s+ago", text)
        if ago:
            return self._extent(self.now - _span(ago["n"], ago["u"]), ago["u"])
        date = re.search(_DATE, text)
        day = self._day(date[0]) if date else self.midnight
        rest = text.replace(date[0], " ", 1) if date else text
        clock = re.search(rf"{_CLOCK}|{_HOUR}", rest)
        part = next((name for name in _DAYPARTS if name in rest), None)
        if clock:
            stretch = self._clock(day, clock[0], of_today=date is None)
            return Stretch(stretch.start, stretch.end, "" if date else "\0")
        if day is None or date is None:
            return None
        if part:
            first, last = _DAYPARTS[part]
            return Stretch(day + timedelta(hours=first), day + timedelta(hours=last))
        return Stretch(day, day + relativedelta(days=1))

    def _day(self, text: str) -> datetime:
        if text.endswith("before yesterday"):
            return self.midnight - timedelta(days=2)
        if text in ("yesterday", "today"):
            return self.midnight - timedelta(days=text == "yesterday")
        weekday = re.search(_WEEKDAYS, text)
        if weekday:
            back = (self.now.weekday() - _WEEKDAYS.split("|").index(weekday[0])) % 7
            back += 7 if back == 0 and text.startswith(("last", "past")) else 0
            return self.midnight - timedelta(days=back)
        dotted = re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{4}", text) is not None
        moment: datetime = parse(
            re.sub(r"\bof\b", " ", text), default=self.midnight.replace(tzinfo=None), dayfirst=dotted
        )
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=self.zone)
        if not re.search(r"\d{4}", text) and day > self.now:
            day -= relativedelta(years=1)
        return day

    def _clock(self, day: datetime, text: str, *, of_today: bool) -> Stretch:
        named = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}.get(text, text)
        in_utc = re.search(r"(utc|z)$", named) is not None
        plain = (
            re.sub(r"\s?(utc|z)$", "", named).replace(".m", "m").removesuffix(".")
            if "m" in named
            else re.sub(r"\s?(utc|z)$", "", named)
        )
        moment = parse(plain, default=day.replace(tzinfo=None)).replace(tzinfo=UTC if in_utc else self.zone)
        moment = moment.astimezone(self.zone)
        if of_today and moment > self.now:
            moment -= timedelta(days=1)
        extent = timedelta(seconds=1) if named.count(":") == 2 else timedelta(minutes=1)
        return Stretch(moment, moment + extent)

    def _extent(self, moment: datetime, unit: str) -> Stretch:
        """The calendar unit that a moment lies in."""
        kind = unit.rstrip("s")
        if kind in ("second", "sec"):
            start = moment.replace(microsecond=0)
            return Stretch(start, start + timedelta(seconds=1))
        if kind in ("minute", "min"):
            start = moment.replace(second=0, microsecond=0)
            return Stretch(start, start + timedelta(minutes=1))
        if kind in ("hour", "hr"):
            start = moment.replace(minute=0, second=0, microsecond=0)
            return Stretch(start, start + timedelta(hours=1))
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if kind == "week":
            day -= timedelta(days=day.weekday())
            return Stretch(day, day + relativedelta(weeks=1))
        if kind == "month":
            return Stretch(day.replace(day=1), day.replace(day=1) + relativedelta(months=1))
        if kind == "year":
            return Stretch(day.replace(month=1, day=1), day.replace(month=1, day=1) + relativedelta(years=1))
        return Stretch(day, day + relativedelta(days=1))

    def _beginning(self) -> datetime:
        return self.first_day.replace(hour=0, minute=0, second=0, microsecond=0)


def _plain(stretch: Stretch) -> Stretch:
    return Stretch(stretch.start, stretch.end, stretch.words.removeprefix("\0"))


def _span(count: str, unit: str) -> relativedelta:
    number = int(count) if count.isdigit() else _NUMBERS[count]
    kind = unit.rstrip("s")
    kind = {"sec": "second", "min": "minute", "hr": "hour"}.get(kind, kind)
    return relativedelta(**{f"{kind}s": number})
