"""The time zone that a question names: 'in UTC', '10:52 Berlin time', 'Europe/Berlin', 'CET', 'UTC+2'."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_ABBREVIATIONS = {
    "UTC": "UTC", "GMT": "UTC", "CET": "CET", "CEST": "CET", "EET": "EET", "EEST": "EET", "WET": "WET",
    "BST": "Europe/London",
    "EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago",
    "MST": "America/Denver", "MDT": "America/Denver", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
    "JST": "Asia/Tokyo", "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney",
}  # fmt: skip
_REGIONS = {
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver",
    "pacific": "America/Los_Angeles", "uk": "Europe/London", "london": "Europe/London",
}  # fmt: skip
_OFFSET = re.compile(r"\b(?:in\s+)?(?:UTC|GMT)\s?(?P<h>[+-]\d{1,2})(?::?(?P<m>\d\d))?\b")
_IANA = re.compile(r"\b(?:in\s+)?(?P<z>(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)"
                   r"/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?)(?:\s+time)?\b")  # fmt: skip
_TIME = r"\s+(?:local\s+|standard\s+)?time\b"
_TWO_WORDS = re.compile(rf"\b(?:in\s+)?(?P<z>[A-Z][a-z]+\s[A-Z][a-z]+){_TIME}")
_ONE_WORD = re.compile(rf"\b(?:in\s+)?(?P<z>[A-Z][a-z]+|UK|pacific|eastern){_TIME}")
_SHORT = re.compile(
    rf"\b(?:in\s+)?(?P<z>{'|'.join(sorted(_ABBREVIATIONS, key=len, reverse=True))})\b(?!-)(?:\s+time\b)?"
)
_BESIDE = re.compile(r"(?:(?<![\w.-])\d{1,2}(?:[:.]\d\d){0,2}|[ap]\.?m\.?|noon|midnight|in|\()\s*$", re.IGNORECASE)


def named_zone(question: str) -> tuple[tzinfo | None, str]:
    """The zone that a question names, if any, and the question with blanks in its place."""
    readers = ((_OFFSET, _offset), (_IANA, _zone), (_TWO_WORDS, _city), (_ONE_WORD, _city), (_SHORT, _abbreviation))
    for pattern, read in readers:
        for match in pattern.finditer(question):
            zone = read(match)
            if zone is not None:
                return zone, question[: match.start()] + " " * len(match[0]) + question[match.end() :]
    return None, question


def _offset(match: re.Match[str]) -> tzinfo | None:
    hours, minutes = int(match["h"]), int(match["m"] or 0)
    if abs(hours) > 14 or not _is_meant(match):
        return None
    return timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes))


def _zone(match: re.Match[str]) -> tzinfo | None:
    try:
        return ZoneInfo(match["z"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _city(match: re.Match[str]) -> tzinfo | None:
    region = _REGIONS.get(match["z"].casefold())
    wanted = match["z"].replace(" ", "_")
    names = [region] if region else sorted(name for name in available_timezones() if name.rsplit("/", 1)[-1] == wanted)
    return ZoneInfo(names[0]) if names else None


def _abbreviation(match: re.Match[str]) -> tzinfo | None:
    if not _is_meant(match):
        return None
    name = _ABBREVIATIONS[match["z"]]
    return UTC if name == "UTC" else ZoneInfo(name)


def _is_meant(match: re.Match[str]) -> bool:
    """An abbreviation counts beside a time, in brackets, or after 'in'; else it may be anything."""
    said = match[0]
    return said.startswith("in") or said.endswith("time") or _BESIDE.search(match.string[: match.start()]) is not None
