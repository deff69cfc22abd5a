"""A question becomes a typed plan: what is asked, about when, about what, and what is to be added up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from pipeline.query.asked import COUNTED, Asked
from pipeline.query.intents import Intent, choose_intent, form_of, why_unclear
from pipeline.query.programs import Program, named_in
from pipeline.query.terms import terms_of
from pipeline.query.times import Reading, Stretch, TimeReader
from pipeline.query.words import ASKING, words_of


@dataclass(frozen=True)
class Plan:
    """What a question means, as it will be answered."""

    question: str
    intent: Intent
    stretch: Stretch
    programs: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    ends: frozenset[str] = frozenset()
    """`first`, `last`: which end of time is asked for."""
    top: int = 1
    wants: str = ""
    """`time`, `number` or empty: what kind of value the answer has to hold."""
    sample: str = ""
    """A form that identifiers are to have."""
    counts: bool = False
    zone: tzinfo | None = None
    """The zone that the question names."""
    unclear: str = ""
    """What was not understood."""


_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|`([^`]+)`|(?<!\w)'([^']+(?:'\w[^']*)*)'(?!\w)|(?<!\w)‘([^’]+)’")
_HOST = re.compile(r"\b(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,}|localhost)(?::\d+)?(?:/\S*)?", re.IGNORECASE)
_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twenty": 20,
}  # fmt: skip

_ALL = 1_000


_NUMERIC = (
    r"\b(?:how (?:many|much|long|old|big|large|high|tall|far|fast|heavy)|(?:tele)?phone|number|amount|total|price|cost|"
    r"percent\w*|sum|count|versions?|port|size|weight|length|age|balance|rate|fee|temperature|speed|score|duration)\b"
)
"""What is asked for so has digits."""


def make_plan(
    question: str, times: TimeReader, default: Stretch, hosts: Sequence[str], programs: Sequence[Program]
) -> Plan:
    """Read a question. `default` is the stretch to take when it names none."""
    phrases = tuple(next(part for part in match if part) for match in _QUOTED.findall(question))
    bare = _QUOTED.sub(lambda match: " " * len(match[0]), question)
    reading = times.read(bare)
    asked = _asked(question, reading, phrases, hosts, programs)
    intent = choose_intent(asked)
    if intent is Intent.LINES and (reading.unclear or (asked.stretch and asked.stretch.start >= times.now)):
        # A line may well be about a time to come, or about several: their words are looked for like any others.
        asked = _asked(question, Reading(None, bare, reading.zone), phrases, hosts, programs)
    unclear = why_unclear(asked, intent)
    if unclear:
        intent = Intent.UNCLEAR
    ends = frozenset(
        name for name, words in (
            ("first", {"first", "earliest", "oldest", "initially", "originally", "began", "begin"}),
            ("last", {"last", "latest", "newest", "recent", "recently", "final", "finally"}),
        ) if words & asked.words
    )  # fmt: skip
    return Plan(
        question, intent, asked.stretch or default, asked.programs, asked.hosts, terms_of(asked, intent), asked.phrases,
        ends, _top(asked), _wants(asked), form_of(question), asked.has(COUNTED), reading.zone, unclear,
    )  # fmt: skip


def _asked(
    question: str, reading: Reading, phrases: tuple[str, ...], hosts: Sequence[str], programs: Sequence[Program]
) -> Asked:  # fmt: skip
    rest = reading.rest
    named_hosts = _hosts(rest, hosts)
    plain = _HOST.sub(lambda match: " " if _known(match[1], hosts) else match[0], rest)
    words = words_of(plain)
    named = named_in(plain, programs)
    left = list(plain)
    for at, end in (place for places in named.values() for place in places):
        left[at:end] = " " * (end - at)
    unexplained = tuple(word for word in words_of("".join(left)) if word.casefold() not in ASKING)
    low = " ".join(rest.lower().split())
    return Asked(rest, low, frozenset(word.casefold() for word in words), phrases, named_hosts, tuple(sorted(named)),
                  unexplained, reading.stretch, " ".join("".join(left).lower().split()), reading.unclear,
                  question)  # fmt: skip


def _hosts(text: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """Known hosts that the question names, by themselves or by the domain above them."""
    return tuple(sorted({host for match in _HOST.findall(text) for host in _known(match, hosts)}))


def _known(name: str, hosts: Iterable[str]) -> list[str]:
    wanted = name.lower().removeprefix("www.")
    return [host for host in hosts if host.removeprefix("www.") == wanted or host.endswith(f".{wanted}")]


def _top(asked: Asked) -> int:
    digits = re.search(
        r"\b(?:top|the|which|what|rank|my|show|list)\s+(?:me\s+)?(?:the\s+|top\s+)?(\d{1,2})\b|^(\d{1,2})\s+[a-z]",
        asked.low,
    )
    if digits:
        return max(1, int(digits[1] or digits[2]))
    if asked.has(r"\ball\b"):
        return _ALL
    word = re.search(rf"\b({'|'.join(_NUMBERS)})\b", asked.low)
    if word:
        return _NUMBERS[str(word[1])]
    plural = asked.has(
        r"\b(?:sites|domains|hosts|websites|programs|programmes|tools|apps|applications|windows|rank|ranking)\b"
    )
    return 3 if plural else 1


def _wants(asked: Asked) -> str:
    if asked.has(r"\bwhen\b", r"\b(?:what|which) (?:time|date|day)\b"):
        return "time"
    return "number" if asked.has(_NUMERIC) else ""
