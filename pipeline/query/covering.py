"""What a text has to hold to answer a question: its words, and the kind of value that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.query.findings import Desk
from pipeline.query.plan import Plan
from pipeline.query.words import contains_term, covers, variants
from pipeline.stores.index_rows import FrameRow
from pipeline.stores.text_tokens import whole_token

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_TIME = re.compile(
    rf"\d{{1,2}}:\d{{2}}|\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
    rf"|\b{_MONTH}\w*\.? \d{{1,2}}\b|\b\d{{1,2}}\.? {_MONTH}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")


def holds(text: str, word: str) -> bool:
    """Whether a text has a word or phrase: as written, or, for a plain word, in one of its forms."""
    return contains_term(text, word) or (" " not in word and covers(text, word))


def holds_all(text: str, words: Iterable[str]) -> bool:
    """Whether a text has all words."""
    return all(holds(text, word) for word in words)


def may_label(word: str) -> bool:
    """A plain word or a phrase can be a label; an identifier or a name with digits stands for a thing."""
    return not any(sign.isdigit() for sign in word)


def is_plain(word: str) -> bool:
    """A word of the language: no phrase, no name with capitals, no digits or signs, no script without small letters."""
    return word.isalpha() and word.islower()


def says_value(plan: Plan, text: str, words: Iterable[str]) -> bool:
    """Whether a text holds a value of the kind that is asked for, beside the words that were asked with."""
    rest = text
    for word in words:
        rest = re.sub(re.escape(word), " ", rest, flags=re.IGNORECASE)
    if plan.wants == "time":
        return _TIME.search(rest) is not None
    return plan.wants != "number" or _DIGIT.search(rest) is not None


def allowed(plan: Plan, desk: Desk, frame: FrameRow) -> bool:
    """Whether a frame passes the filters: the program, and the site that its active window showed."""
    if not desk.allows(frame.app) or (plan.programs and frame.app not in plan.programs):
        return False
    visits = desk.index.visits_over(frame.ts, frame.ts + 1) if plan.hosts else []
    return not plan.hosts or any(v.host in plan.hosts and v.hwnd == frame.hwnd for v in visits)


def said(desk: Desk, words: Sequence[str]) -> list[int]:
    """Texts with any of the words that can be labels, or with several where each is common, the best first."""
    groups = (tokens_for(word) for word in words if may_label(word))
    return desk.index.ranked_groups([group for group in groups if group])


def tokens_for(word: str) -> list[str]:
    """Tokens of the index, any of which a text with this word or phrase holds."""
    return variants(word) if " " not in word else [whole_token(word), *(whole_token(part) for part in word.split())]
