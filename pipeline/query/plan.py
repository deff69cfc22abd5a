"""A question becomes a typed plan: what is asked, about when, about what, and what is to be added up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.query.intents import COUNTED, SAMPLE, Asked, Intent, choose_intent
from pipeline.query.programs import Program
from pipeline.query.times import Stretch, TimeReader
from pipeline.query.words import ASKING, COUNTING, DOING, SHOWING, words_of


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


_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|`([^`]+)`|(?<!\w)'([^']+(?:'\w[^']*)*)'(?!\w)|(?<!\w)‘([^’]+)’")
_HOST = re.compile(r"\b(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,}|localhost)(?::\d+)?(?:/\S*)?", re.IGNORECASE)
_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twenty": 20,
}  # fmt: skip

_ATTRIBUTE = (
    r"\b(?:what|which)(?:['’]s| is| was| are| were)? (?:the )?(?:current |last |latest |first )?(\w+) (?:of|for)\b"
)
"""What is asked for of a thing must itself be on screen: the state of X, the title of Y."""


def make_plan(
    question: str, times: TimeReader, default: Stretch, hosts: Sequence[str], programs: Sequence[Program]
) -> Plan:
    """Read a question. `default` is the stretch to take when it names none."""
    asked = _read(question, times, hosts, programs)
    intent = choose_intent(asked)
    ends = frozenset(
        name for name, words in (
            ("first", {"first", "earliest", "oldest", "initially", "originally", "began", "begin"}),
            ("last", {"last", "latest", "newest", "recent", "recently", "final", "finally"}),
        ) if words & asked.words
    )  # fmt: skip
    return Plan(
        question, intent, asked.stretch or default, asked.programs, asked.hosts, _terms(asked, intent), asked.phrases,
        ends, _top(asked), _wants(asked), _sample(question), asked.has(COUNTED),
    )  # fmt: skip


def _read(question: str, times: TimeReader, hosts: Sequence[str], programs: Sequence[Program]) -> Asked:
    phrases = tuple(next(part for part in match if part) for match in _QUOTED.findall(question))
    bare = _QUOTED.sub(lambda match: " " * len(match[0]), question)
    stretch, rest = times.read(bare)
    named_hosts = _hosts(rest, hosts)
    plain = _HOST.sub(lambda match: " " if _known(match[1], hosts) else match[0], rest)
    words = words_of(plain)
    named_programs = tuple(sorted({p.app for p in programs if _names(p, words)}))
    spent = {word.casefold() for p in programs if p.app in named_programs for word in (p.app, *p.name.split())}
    unexplained = tuple(word for word in words if word.casefold() not in ASKING and word.casefold() not in spent)
    low = " ".join(rest.lower().split())
    return Asked(rest, low, frozenset(word.casefold() for word in words), phrases, named_hosts, named_programs,
                  unexplained, stretch)  # fmt: skip


def _hosts(text: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """Known hosts that the question names, by themselves or by the domain above them."""
    return tuple(sorted({host for match in _HOST.findall(text) for host in _known(match, hosts)}))


def _known(name: str, hosts: Iterable[str]) -> list[str]:
    wanted = name.lower().removeprefix("www.")
    return [host for host in hosts if host.removeprefix("www.") == wanted or host.endswith(f".{wanted}")]


def _names(program: Program, words: Sequence[str]) -> bool:
    said = {word.casefold() for word in words}
    return program.app in said or program.app.removesuffix("64") in said or (
        program.name.casefold() in " ".join(word.casefold() for word in words)
        and all(part.casefold() in said for part in program.name.split())
    )  # fmt: skip


_TEXTUAL = {Intent.LINES, Intent.DIALOG, Intent.COMMAND_ERROR}
_EXTRA = {
    Intent.SEARCHES: "search searches searched searching term terms phrase phrases query queries keyword keywords typed"
    " entered string word words text look looked googled engine box google for last latest up put",
    Intent.DIALOGS: "error errors warning warnings alert alerts dialog dialogs dialogue dialogues popup popups pop-up"
    " pop-ups message messages box boxes notification notifications problem problems failure failures popped up shown"
    " title titles date dates day came come failed occur occurred there",
    Intent.IDENTIFIERS: "identifier identifiers id ids form forms format pattern patterns like ticket tickets issue"
    " issues key keys number numbers code codes reference references look looking shape shaped style kind such case"
    " incident incidents following follow seen",
    Intent.SEEN: "identifier string came come up show showed sighting occurrence appearance noticed spotted look looked"
    " turn turned pop popped encounter encountered occur occurred ever phrase popped displayed point appears"
    " file files document documents folder folders opened open edited edit active used use worked work viewed view",
    Intent.SITES_MOST: "favourite favorite",
}


def _terms(asked: Asked, intent: Intent) -> tuple[str, ...]:
    """The words that the evidence has to hold, in the order of the question."""
    spent = set(SHOWING)
    if intent not in _TEXTUAL and intent is not Intent.SEEN:
        spent |= COUNTING | DOING
    spent |= set(_EXTRA.get(intent, "").split())
    if intent is Intent.LINES:
        spent -= {"used", *re.findall(_ATTRIBUTE, asked.low)}
    left = [word for word in asked.unexplained if word.casefold() not in spent]
    if intent is Intent.IDENTIFIERS:
        left = [word for word in left if not SAMPLE.fullmatch(word)]
    return tuple(
        dict.fromkeys(word for word in left if not (word.isdigit() and len(word) < 3 and intent not in _TEXTUAL))
    )


def _top(asked: Asked) -> int:
    digits = re.search(r"\b(?:top|the|which|what|rank)\s+(?:the\s+)?(\d{1,2})\b", asked.low)
    if digits:
        return max(1, int(digits[1]))
    word = re.search(rf"\b({'|'.join(_NUMBERS)})\b", asked.low)
    if word:
        return _NUMBERS[str(word[1])]
    plural = asked.has(r"\b(?:sites|domains|hosts|websites|programs|apps|applications|windows|rank|ranking)\b")
    return 3 if plural else 1


def _wants(asked: Asked) -> str:
    if asked.has(r"\bwhen\b", r"\b(?:what|which) (?:time|date|day)\b"):
        return "time"
    numeric = r"\b(?:how (?:many|much)|(?:tele)?phone|number|amount|total|price|cost|percent\w*|sum|count)\b"
    return "number" if asked.has(numeric) else ""


def _sample(question: str) -> str:
    found = SAMPLE.search(question)
    return found[1] if found else ""
