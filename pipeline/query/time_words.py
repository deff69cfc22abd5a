"""The words that name times: patterns over a question in lower case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


class Late:
    """A pattern that is compiled when a text first holds a sign of it: no question needs more than a few of them."""

    def __init__(self, pattern: str, sign: str) -> None:
        """`sign` is a short pattern that is found wherever `pattern` is."""
        self.pattern = pattern
        self.sign = sign

    def search(self, text: str) -> re.Match[str] | None:
        """As `re.search`."""
        return re.search(self.pattern, text) if re.search(self.sign, text) else None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As `re.finditer`."""
        return re.finditer(self.pattern, text) if re.search(self.sign, text) else iter(())

    def sub(self, put: Callable[[re.Match[str]], str], text: str) -> str:
        """As `re.sub`."""
        return re.sub(self.pattern, put, text) if re.search(self.sign, text) else text


_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
NUMBERS = {word: number for number, word in enumerate(_WORDS.split())} | {
    "a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3, "thirty": 30, "sixty": 60, "ninety": 90,
}  # fmt: skip
ORDINALS = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5,
}  # fmt: skip
UNITS = {
    "s": "second", "sec": "second", "second": "second", "m": "minute", "min": "minute", "minute": "minute",
    "h": "hour", "hr": "hour", "hour": "hour", "d": "day", "day": "day", "w": "week", "wk": "week", "week": "week",
    "fortnight": "fortnight", "month": "month", "year": "year", "yr": "year",
}  # fmt: skip
DAYPARTS = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 24)}
"""Hours of the day, from and to."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b"
)
_LONG_DAYS = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b"
_DAYS = (
    r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)\b"
)
UNIT = r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|fortnights?|months?|years?|yrs?)\b"
_SHORT_UNIT = r"(?:s|m|h|d|w)\b"
COUNT = r"(?:\d{1,4}|" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + ")"
ORDINAL = r"\d{1,2}(?:st|nd|rd|th)\b"

AMPM = r"[ap]\.?m\b\.?"
CLOCK = rf"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:\s?{AMPM})?(?:\s?(?:h|hrs|utc)\b|z\b)?(?![:\d])"
HOUR = rf"(?:1[0-2]|0?[1-9])(?:\.[0-5]\d)?\s?{AMPM}|(?:2[0-3]|1\d|0?\d)\s?o['’]?clock|\bnoon\b|\bmidnight\b|\bmidday\b"

_ISO = r"\d{4}-\d{2}-\d{2}"
_NEXT = (
    r"(?=\s*(?:$|[?.,;:)!\-–]|(?:at|between|from|to|until|till|through|thru|and|or|in|on|during|by|before|after|i|"
    r"did|do|"
    r"was|were|have|had|with|without|which|what|who|when|how|morning|afternoon|evening|night|of)\b))"
)
"""What may follow a bare 'the 22nd', so that 'the 2nd page' is none."""
_AFTER_ANY = "|".join(rf"(?<=\b{word}\s)" for word in ("at", "around", "since", "after", "before", "until", "till"))
BARE_HOUR = rf"(?:{_AFTER_ANY})(?:2[0-3]|1\d|0?\d)\b{_NEXT}"
LONE_HOUR = r"(?<![\w:.])\d{1,2}(?=$|\s+on$)"
ANY_CLOCK = rf"(?:(?:at|around|about)\s+)?(?:{CLOCK}|{HOUR}|{BARE_HOUR})"
BARE_ORDINAL = (
    rf"(?:the\s+|(?<=\bon\s)|(?<=\band\s)|(?<=\bto\s)|(?<=\bsince\s)){ORDINAL}(?:\s+of\s+(?:this|last|"
    rf"the)\s+month)?{_NEXT}"
)
SLASHED = r"\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})\b|(?<![\d/])\d{1,2}/\d{1,2}\b(?!/)"
CALENDAR_DATE = (
    rf"{_ISO}|\d{{1,2}}(?:st|nd|rd|th)?\.?\s+(?:of\s+)?{MONTHS}\.?(?:,?\s+\d{{4}}\b(?!:))?"
    rf"|{MONTHS}\.?\s+(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?\b(?![:.]\d|\s?{AMPM})(?:,?\s+\d{{4}}\b)?"
    rf"|\d{{1,2}}\.\d{{1,2}}\.\d{{4}}|\d{{4}}/\d{{1,2}}/\d{{1,2}}|{SLASHED}"
)
OF_WEEK = (
    rf"(?:on\s+)?{_DAYS}\s+(?:of\s+|in\s+)?(?:last|this|previous)\s+week|(?:in\s+)?(?:last|this)\s+week(?:['’]s)?"
    rf"(?:\s*,)?\s+(?:on\s+)?{_DAYS}|{_LONG_DAYS}\s+(?:a|one)\s+week\s+ago"
    rf"|(?:a|one)\s+week\s+ago\s+(?:on\s+)?{_DAYS}"
)
RELATIVE_DATE = (
    rf"(?:the\s+)?day\s+before\s+yesterday|yesterday|today|tomorrow|(?:last|this|past)\s+{_DAYS}"
    rf"|(?:(?<=\bon\s)|(?<=\bsince\s)|(?<=\bfrom\s)){_DAYS}|{_LONG_DAYS}"
)
WEEKDAY = re.compile(_DAYS)
DATE = rf"(?:{OF_WEEK}|(?:{_DAYS}\s*,?\s+(?:the\s+)?)?(?:{CALENDAR_DATE}|{BARE_ORDINAL})|{RELATIVE_DATE})"
LONE_DATE = rf"{DATE}|{ORDINAL}|{_DAYS}"
"""The same where the word before it, which made a date of it, is cut off."""
DAYPART = r"(?:in\s+the\s+|at\s+)?(?:early\s+|late\s+)?(?:morning|afternoon|evening|night)\b"
AGO = rf"{COUNT}\s+{UNIT}\s+ago"
_BEFORE_DATE = (
    rf"(?:{ANY_CLOCK})(?:\s+on)?(?:\s*,)?\s+|(?:in\s+the\s+)?(?:morning|afternoon|evening|night)\s+(?:of|on)\s+"
)
_AFTER_DATE = rf"(?:(?:\s*,)?\s+(?:{ANY_CLOCK})|t{CLOCK}|\s+{DAYPART})?"
POINT = rf"(?:(?P<clocked>{_BEFORE_DATE})?(?:{DATE})(?(clocked)|{_AFTER_DATE})|{AGO}|{ANY_CLOCK}|now\b)"
"""A date with what is said of its hour before or after it; each part stands there once: compiling takes time."""
_OF_DAYPART = "morning|afternoon|evening|night"
_OF_POINT = rf"\d|noon|midday|yesterday|today|tomorrow|now|ago|mon|tue|wed|thu|fri|sat|sun|{_OF_DAYPART}"
POINTS = Late(rf"(?<![\w./\\])(?<![a-z_]-){POINT}(?![\w/\\]|-[a-z_]|\.\w)", _OF_POINT)

MARK = "[\ue000-\uf8fe]+"
"""Stands for a point in the text, as many signs as it is long, so that ranges are short patterns over points."""
PRIVATE = re.compile(MARK)
_TWO_MARKS = "[\ue000-\uf8fe][^\ue000-\uf8fe]+[\ue000-\uf8fe]"
_OF_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_P, _Q = f"(?P<a>{MARK})", f"(?P<b>{MARK})"
_TO = r"(?:\s+(?:to|until|till|through|thru|up\s+to)\s+|\s*(?:–|—|-|\.\.)\s*)"
_BETWEEN = r"(?:\s+(?:to|until|till|through|thru|and)\s+|\s*(?:–|—|-|\.\.)\s*)"
_NTH = r"(?:the\s+)?(?P<n>[0-3]?\d)(?:st|nd|rd|th)?"
_NO_MORE = rf"(?![\d:.]*\d|\s?{AMPM}|\s*o['’]?clock|\s*[a-z]*s\b)"
_BARE = r"(?:2[0-4]|[01]?\d)"

_FROM = r"\b(?:(?:(?:in|during|over)\s+)?(?:the\s+)(?:week|days?|period)\s+)?(?:from|between)\s+"
RANGE = Late(rf"(?:{_FROM}|\b(?:since|starting)\s+)(?:on\s+)?{_P}{_BETWEEN}(?:on\s+)?{_Q}", _TWO_MARKS)
DASHED = Late(rf"{_P}{_TO}{_Q}", _TWO_MARKS)
DAY_TO_POINT = Late(rf"(?:{_FROM}|\bon\s+)?(?<![\d:.-]){_NTH}(?P<t>{_BETWEEN}){_Q}", r"\d")
POINT_TO_DAY = Late(rf"(?:{_FROM}|\bon\s+)?{_P}(?P<t>{_BETWEEN}){_NTH}(?:,?\s+(?P<y>\d{{4}})\b|{_NO_MORE})", r"\d")
HOUR_TO_CLOCK = Late(rf"(?:\b(?:from|between)\s+)?(?<![\d:.-])(?P<n>{_BARE})(?::(?P<m>[0-5]\d))?{_BETWEEN}{_Q}", r"\d")
CLOCK_TO_HOUR = Late(rf"\b(?:from|between)\s+{_P}{_BETWEEN}(?P<n>{_BARE}){_NO_MORE}", r"\d")
HOURS = Late(rf"\b(?:from|between)\s+(?P<a>{_BARE}){_BETWEEN}(?P<b>{_BARE}){_NO_MORE}", r"\d")
LISTED = Late(rf"{MARK}(?:\s*(?:,|&|\+|/|\band\b|\bor\b)\s*(?:and\s+)?(?:on\s+)?{MARK})+", _TWO_MARKS)
_OPEN = rf"(?P<a>{MARK}|{MONTHS}(?:\s+\d{{4}})?(?!\s*\d))"
SINCE = Late(
    rf"\b(?:since|starting|beginning|from)\s+(?:on\s+)?{_OPEN}(?:\s+(?:on|onwards?))?", "since|starting|beginning|from"
)
AFTER = Late(rf"\b(?:after|later\s+than)\s+{_P}", "after|later")
UNTIL = Late(rf"\b(?:until|till|up\s+to|up\s+until|as\s+of|by|through)\s+{_P}", "until|till|up|as|by|through")
BEFORE = Late(rf"\b(?:before|prior\s+to|earlier\s+than)\s+{_P}", "before|prior|earlier")
LAST = Late(
    rf"\b(?:(?:in|during|over|within|for)\s+)?(?:the\s+|these\s+)?(?:last|past|previous|preceding)\s+"
    rf"(?:(?P<n>{COUNT})\s+(?P<u>{UNIT})|(?P<n2>\d{{1,4}})\s?(?P<u2>{_SHORT_UNIT}|{UNIT}))",
    "last|past|previous|preceding",
)
ROLLING = Late(
    r"\b(?:(?:in|during|over|within|for)\s+)?(?:the\s+)?(?:past\s+(?P<u>day|week|fortnight|month|year)"
    r"|(?:last|past)\s+(?P<v>hour|minute|day))\b",
    "last|past",
)
WHOLE = Late(
    rf"\b(?:during|over|in|within|across|throughout)\s+(?:the|these|those|all)\s+(?:whole\s+)?(?P<n>{COUNT})\s+"
    r"(?P<u>days?|weeks?)\b",
    "day|week",
)
CALENDAR = Late(
    r"\b(?:(?:in|during|over|on|at)\s+)?(?:the\s+)?(?:(?P<w>last|previous|this|current)\s+(?P<u>week|weekend|"
    r"month|year)"
    r"|(?P<e>weekend))\b(?!\s+(?:of|in)\b)",
    "week|month|year",
)
SINCE_UNIT = Late(
    rf"\b(?:since|from)\s+(?:the\s+)?(?:(?P<w>last|this|previous)\s+(?P<u>week|weekend|month|year|morning|"
    rf"afternoon|evening"
    rf"|night)|(?:start|beginning)\s+of\s+(?:the|this)\s+(?P<v>day|week|month|year)|"
    rf"(?P<n>{COUNT})\s+(?P<x>{UNIT})\s+ago)",
    "since|from",
)
PART = Late(r"\b(?:(?P<w>this|last)\s+(?P<p>morning|afternoon|evening|night)|tonight)\b", _OF_DAYPART)
PART_ALONE = Late(
    r"\b(?:in\s+the|during\s+the|at)\s+(?:early\s+|late\s+)?(?P<p>morning|afternoon|evening|night)\b",
    _OF_DAYPART,
)
WEEK_OF = Late(rf"\b(?:(?:in|during)\s+)?(?:the\s+)?week\s+(?:of|beginning|starting)\s+{_P}", "week")
WEEK_NUMBER = Late(
    r"\b(?:(?:in|during)\s+)?(?:(?:iso\s+|calendar\s+)?(?:week|wk)\s+(?:no\.?\s*|number\s+|#\s*)?|[ck]w\s*)"
    r"(?P<n>[0-5]?\d)\b(?!\s*[:.]\d)(?:(?:\s+of|,|/)?\s*(?P<y>\d{4})\b)?"
    r"|\b(?:in\s+)?(?P<y2>\d{4})-?w(?P<n2>\d{2})\b",
    r"\d",
)
WEEK_OF_MONTH = Late(
    rf"\b(?:(?:in|during|over|on)\s+)?(?:the\s+)?(?P<o>{'|'.join(ORDINALS)}|last)\s+(?P<u>week|half|weekend|"
    rf"{MARK})\s+(?:of|in)\s+"
    rf"(?:(?P<a>{MONTHS}(?:\s+(?:of\s+)?\d{{4}})?)|(?P<m>this|last|the)\s+month)",
    r"\s(?:of|in)\s",
)
DAYS_OF = Late(
    rf"\b(?:(?:in|during|over|on)\s+)?(?:the\s+)?(?P<o>first|last)\s+(?:(?P<n>{COUNT})\s+)?days?\s+(?:of|in)\s+"
    rf"(?:(?P<a>{MONTHS}(?:\s+(?:of\s+)?\d{{4}})?)|(?P<w>this|last|the)\s+(?P<u>week|month))",
    r"day",
)
AT = Late(rf"(?:\b(?:on|at|in|around|about|during|roughly|of|for)\s+)?(?:the\s+)?{_P}", MARK)
IN_MONTH = Late(
    rf"\b(?:(?:in|during|for|of|over|throughout)\s+(?P<l>(?:last|this)\s+)?|(?P<l2>(?:last|this)\s+)|"
    rf"(?={MONTHS}\s+\d{{4}}))"
    rf"(?P<a>{MONTHS}(?:\s+(?:of\s+)?\d{{4}}\b)?)(?!\s*\d)",
    _OF_MONTH,
)
IN_YEAR = Late(r"\b(?:in|during)\s+(?P<y>(?:19|20)\d{2})(?:-(?P<m>0[1-9]|1[0-2]))?\b(?![-.]\w)", r"\d")
LEFT_OVER = Late(
    rf"\b(?:{_LONG_DAYS}|yesterday|today|tomorrow|tonight|ago|weeks?|weekends?|weekdays?|fortnight|months?|mornings?"
    rf"|afternoons?|evenings?|nights?|noon|quarters?|(?:working|business)\s+days?|(?:january|february|april|june|"
    rf"july|august"
    rf"|september|october|november|december)"
    r"|(?:at|between|from|after|before|until|till|since|by|around)\s+\d{1,2}(?::\d\d)?(?![\w./:-]|\s*[%°€$£]|"
    r"\s+[a-z]+s\b)"
    r"|on\s+\d{1,2}\s*(?:,|and|or|&))\b",
    rf"day|ago|week|tomorrow|fortnight|month|noon|quarter|{_OF_DAYPART}|{_OF_MONTH}|\d",
)
"""Words of time that nothing was read from."""
REPEATED = Late(
    rf"\b(?:every|each|per)\s+(?:{_LONG_DAYS}|day|week|weekday|month|hour|morning|afternoon|evening|night)\b"
    rf"|\b(?:hourly|daily|weekly|monthly)\b|\bon\s+{_LONG_DAYS[:-2]}s\b",
    "every|each|per|ly|days",
)
"""Times that come again are no one stretch."""
