"""Tells whether an answer says what is expected: by its words, and by the value that they must have.

`must_include` is often less than the whole answer: counts, orders, seconds and times stand in `value`, with
`tolerance_s` and `tolerance_min`. Texts are compared without regard to case, and to white space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schemas.answer import Answer

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")
_SPENT = re.compile(r"(?:([\d,]+) (?:h|hours?)\b)?\s*(?:([\d,]+) (?:min|minutes?)\b)?\s*(?:([\d,]+) (?:s|seconds?)\b)?")
_MINUTE = timedelta(minutes=1)
Expected = Mapping[str, Any]


def fault(item: Mapping[str, Any], answer: Answer) -> str:
    """What is wrong with an answer that was given; empty when nothing is."""
    expected = item["expected"]
    said = _plain("\n".join([answer.summary, *answer.bullets, *(claim.text for claim in answer.claims)]))
    lacking = [part for part in expected["must_include"] if not _includes(said, part)]
    if lacking and not _only_minutes(item):
        return f"lacks {lacking}"
    unwanted = [part for part in expected["must_not_include"] if _plain(part) in said]
    if unwanted:
        return f"says {unwanted}"
    judge = _JUDGES.get(item["kind"])
    return judge(expected, _Said(answer, ZoneInfo(item.get("tz") or "UTC"))) if judge else ""


class _Said:
    """An answer's statements, and what can be read from them."""

    def __init__(self, answer: Answer, zone: ZoneInfo) -> None:
        self.claims = [_plain(claim.text) for claim in answer.claims] or [_plain(answer.summary)]
        self.zone = zone

    def about(self, *parts: str) -> str | None:
        """The first statement that holds all of these."""
        return next((text for text in self.claims if all(_plain(part) in text for part in parts)), None)

    def moments(self, text: str) -> list[datetime]:
        """The times that a statement names."""
        found = [datetime.fromisoformat(" ".join(parts)) for parts in _MOMENT.findall(text)]
        return [moment.replace(tzinfo=self.zone) for moment in found]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _includes(said: str, part: str) -> bool:
    """Whether a text has a part; a bare number must not be a part of a longer one."""
    part = _plain(part)
    return re.search(rf"(?<![\d.,:-]){part}(?![\d:-]|[.,]\d)", said) is not None if part.isdigit() else part in said


def _only_minutes(item: Mapping[str, Any]) -> bool:
    """A length may be worded in hours: its value tells."""
    return bool(item["kind"] == "time_in_program")


def _number(value: int, said: _Said) -> str:
    counted = rf"(?<![\d.,:-]){value:,}(?![\d:-]|[.,]\d)\s+[a-z]"
    return "" if any(re.search(counted, text) for text in said.claims) else f"not the number {value}"


def _visits(expected: Expected, said: _Said) -> str:
    value = expected["value"]
    if isinstance(value, int):
        return _number(value, said)
    own = said.about(value["host"])
    return _number(value["visits"], _only(said, own)) if own else f"not {value['host']}"


def _only(said: _Said, text: str) -> _Said:
    one = object.__new__(_Said)
    one.claims, one.zone = [text], said.zone
    return one


def _ranked_sites(expected: Expected, said: _Said) -> str:
    """Each with its count, none that is less, the higher before the lower."""
    value = expected["value"]
    places = []
    for row in value:
        own = said.about(row["domain"])
        if own is None or _number(row["visits"], _only(said, own)):
            return f"not {row['domain']} with {row['visits']}"
        places.append((-row["visits"], said.claims.index(own)))
    if [at for _, at in sorted(places)] != sorted(at for _, at in places):
        return "another order"
    return ""


def _sightings(*keys: str) -> Callable[[Expected, _Said], str]:
    """Each row has its statement with its times, and there is none for anything else."""

    def judge(expected: Expected, said: _Said) -> str:
        rows = expected["value"] if isinstance(expected["value"], list) else [expected["value"]]
        tolerance = timedelta(seconds=expected.get("tolerance_s", 60))
        for row in rows:
            names = [row[key] for key in keys]
            own = said.about(*names)
            if own is None:
                return f"no statement about {names}"
            if not _has_times(said.moments(own), row, ("first", "last", "ts_utc"), tolerance):
                return f"other times for {names}: {own}"
        return _no_more(said, len(rows)) if keys else ""

    return judge


def _has_times(moments: Sequence[datetime], row: Expected, names: Iterable[str], tolerance: timedelta) -> bool:
    wanted = [datetime.fromisoformat(row[name]) for name in names if name in row]
    return all(any(abs(moment - want) <= tolerance for moment in moments) for want in wanted)


def _no_more(said: _Said, number: int) -> str:
    """A list may have a statement that sums it up."""
    extra = len(said.claims) - number
    return "" if extra in (0, 1) else f"{extra} statements more than {number}"


def _seen(expected: Expected, said: _Said) -> str:
    value, tolerance = expected["value"], timedelta(seconds=expected["tolerance_s"])
    for name in ("first", "last"):
        own = said.about(f"{name} ")
        if name in value and (own is None or not _has_times(said.moments(own), value, (name,), tolerance)):
            return f"not {name} {value[name]}"
    return ""


def _titled_days(expected: Expected, said: _Said) -> str:
    for row in expected["value"]:
        if said.about(row["title"], row["date"]) is None:
            return f"no {row['title']} on {row['date']}"
    return _no_more(said, len(expected["value"]))


def _spent(text: str) -> set[timedelta]:
    """The lengths of time that a text names: 75 minutes, 1 h 15 min, 50 seconds."""
    found = set()
    for match in _SPENT.finditer(text):
        if match[0].strip():
            hours, minutes, seconds = (int((part or "0").replace(",", "")) for part in match.groups())
            found.add(timedelta(hours=hours, minutes=minutes, seconds=seconds))
    return found


def _lasts(text: str, wanted: timedelta, tolerance: timedelta) -> bool:
    return any(abs(length - wanted) <= tolerance for length in _spent(text))


def _program_time(expected: Expected, said: _Said) -> str:
    wanted = timedelta(minutes=expected["value"]["minutes"])
    tolerance = expected["tolerance_min"] * _MINUTE
    return "" if any(_lasts(text, wanted, tolerance) for text in said.claims) else f"not {wanted}"


def _longest(expected: Expected, said: _Said) -> str:
    value, tolerance = expected["value"], expected["tolerance_min"] * _MINUTE
    own = said.about(value["program"])
    if own is None or not _has_times(said.moments(own), value, ("start", "end"), tolerance):
        return f"not {value['program']} from {value['start']} to {value['end']}"
    return "" if _lasts(own, value["minutes"] * _MINUTE, tolerance) else f"not {value['minutes']} minutes"


def _hour(expected: Expected, said: _Said) -> str:
    value = expected["value"]
    if not _has_times(said.moments(said.claims[0]), value, ("start",), timedelta(0)):
        return f"not the hour from {value['start']}"
    return _number(value["switches"], said)


def _dialog(expected: Expected, said: _Said) -> str:
    value = expected["value"]
    if isinstance(value, str):
        return _text(expected, said)
    wanted, tolerance = timedelta(seconds=value["seconds"]), timedelta(seconds=expected["tolerance_s"])
    if said.about(value["text"]) is None:
        return "another text"
    return "" if any(_lasts(text, wanted, tolerance) for text in said.claims) else f"not {value['seconds']} seconds"


def _ranked_programs(expected: Expected, said: _Said) -> str:
    """`value` has all programs; only the first of them, which `must_include` names, need be told."""
    for place, row in enumerate(expected["value"][: len(expected["must_include"])]):
        text = said.claims[place] if place < len(said.claims) else ""
        if _plain(row["program"]) not in text or not _lasts(text, row["minutes"] * _MINUTE, _MINUTE):
            return f"not {row['program']} with {row['minutes']} minutes at place {place + 1}"
    return ""


def _programs(expected: Expected, said: _Said) -> str:
    missing = [name for name in expected["value"] if said.about(name) is None]
    return f"not {missing}" if missing else _no_more(said, len(expected["value"]))


def _titled(expected: Expected, said: _Said) -> str:
    return "" if said.about(expected["value"]["title"]) else f"not {expected['value']['title']}"


def _text(expected: Expected, said: _Said) -> str:
    return "" if said.about(expected["value"]) else f"not {expected['value']!r}"


_JUDGES: dict[str, Callable[[Expected, _Said], str]] = {
    "most_visited_site": _visits,
    "visit_count": _visits,
    "top_domains": _ranked_sites,
    "top_domains_week": _ranked_sites,
    "unique_windows": _sightings("title"),
    "unique_windows_24h": _sightings("title"),
    "unique_domains": _sightings("domain"),
    "unique_domains_24h": _sightings("domain"),
    "identifiers_recent": _sightings("id"),
    "pages_opened": _sightings("title", "address"),
    "identifier_seen": _seen,
    "phrase_first": _seen,
    "phrase_last": _seen,
    "longest_session": _longest,
    "most_switches": _hour,
    "dialog_duration": _dialog,
    "dialog_text": _dialog,
    "error_messages": _titled_days,
    "top_programs": _ranked_programs,
    "top_apps_week": _ranked_programs,
    "programs_used": _programs,
    "time_in_program": _program_time,
    "screen_at": _titled,
    "error_message": _text,
    "last_search": _text,
    "line": _text,
}
