"""Any other question: lines of text that hold all that it names, and the kind of value that it asks for.

No line, no answer: a question whose words no line states is not answered with what merely stands near it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.query.check import Claim
from pipeline.query.findings import Desk, Found
from pipeline.query.layout import in_window, lines_on, row_of
from pipeline.query.mentions import Mention, of_frame, of_track
from pipeline.query.plan import Plan
from pipeline.query.words import contains_term, covers, variants
from pipeline.stores.text_index import FrameRow
from pipeline.stores.text_tokens import match_all, match_any, whole_token

NOTHING = "no line on screen states it"
_PARTS = ("text_index",)
_MOST_TEXTS = 60
_MOST_PLACES = 3
_MOST_LINES = 3
_LOOKED_AT = 60
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_TIME = re.compile(
    rf"\d{{1,2}}:\d{{2}}|\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}"
    rf"|\b{_MONTH}\w*\.? \d{{1,2}}\b|\b\d{{1,2}}\.? {_MONTH}",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")


def best_lines(plan: Plan, desk: Desk) -> Found:
    """Lines, or rows of lines side by side, that cover the question."""
    words = [*plan.phrases, *plan.terms]
    if not words:
        return Found(nothing="the question names nothing to look for", leans_on="line_tracks")
    rows = list(_single_lines(plan, desk, words)) or list(_rows(plan, desk, words))
    ordered = sorted(rows, key=lambda row: row[0].ts, reverse="first" not in plan.ends) if plan.ends else rows
    claims: list[Claim] = []
    said: set[str] = set()
    for row in ordered:
        text = _statement(row)
        if text not in said and len(claims) < _MOST_LINES:
            said.add(text)
            claims.append(Claim(f"{text} ({desk.when(row[0].ts)})", tuple(row)))
    return Found(claims, NOTHING, "line_tracks", 1, _PARTS)


def _single_lines(plan: Plan, desk: Desk, words: Sequence[str]) -> Iterator[list[Mention]]:
    """Lines that hold all words by themselves, the best first."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    for number, text in desk.index.search(match_all([_tokens(word) for word in words]), _MOST_TEXTS):
        if not _holds_all(text, words) or not _says_value(plan, text, words):
            continue
        tracks = desk.index.tracks_with(number, start, end, 1)
        lines = (of_track(desk.index, track) for track in tracks)
        yield from ([line] for line in lines if _allowed(plan, desk, line.frame))


def _rows(plan: Plan, desk: Desk, words: Sequence[str]) -> Iterator[list[Mention]]:
    """Rows of lines in one frame that hold the words, where names may stand in the window's title instead."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    labels = [word for word in words if _may_label(word)]
    if not labels:
        return
    seen: set[tuple[str, ...]] = set()
    for number, text in desk.index.search(
        match_any([token for word in labels for token in _tokens(word)]), _MOST_TEXTS
    ):
        if not any(_holds(text, word) for word in labels):
            continue
        for line in _places(desk, number, start, end, words):
            row = _row(plan, desk, line, words)
            name = tuple(item.text for item in row)
            if row and name not in seen:
                seen.add(name)
                yield row


def _places(desk: Desk, text_id: int, start: int, end: int, words: Sequence[str]) -> list[Mention]:
    """Where a line stands: first where the window's title says most of the words, then the latest."""
    tracks = desk.index.tracks_with(text_id, start, end, _LOOKED_AT)
    lines = [of_track(desk.index, track) for track in tracks]
    lines.sort(key=lambda line: -sum(_holds(line.frame.title or "", word) for word in words))
    return lines[:_MOST_PLACES]


def _row(plan: Plan, desk: Desk, line: Mention, words: Sequence[str]) -> list[Mention]:
    """The row that a line stands in, with the title that covers the rest; empty when something is not covered."""
    frame = line.frame
    if not _allowed(plan, desk, frame):
        return []
    lines = in_window(lines_on(desk, frame), frame)
    row = row_of(lines, line) if any(item.row_id == line.row_id for item in lines) else []
    joined = " ".join(item.text for item in row)
    left = [word for word in words if not _holds(joined, word)]
    title = frame.title or ""
    if not row or not _says_value(plan, joined, words) or not all(_holds(title, word) for word in left):
        return []
    said = any(_may_label(word) and _holds(joined, word) for word in words)
    more = [item for item in row if not any(item.text.casefold().strip(" :") == word.casefold() for word in words)]
    if not said or not more or (left and any(_may_label(word) and " " not in word for word in left)):
        return []
    return [*row, of_frame(frame)] if left else row


def _statement(row: Sequence[Mention]) -> str:
    lines = [item.text for item in row if item.source == "ocr"]
    title = next((f" — {item.text}" for item in row if item.source != "ocr"), "")
    return ": ".join([lines[0].rstrip(" :"), " ".join(lines[1:])]) + title if len(lines) > 1 else lines[0] + title


def _allowed(plan: Plan, desk: Desk, frame: FrameRow) -> bool:
    """Whether a frame passes the filters: the program, and the site that its active window showed."""
    if not desk.allows(frame.app) or (plan.programs and frame.app not in plan.programs):
        return False
    visits = desk.index.visits_over(frame.ts, frame.ts + 1) if plan.hosts else []
    return not plan.hosts or any(v.host in plan.hosts and v.hwnd == frame.hwnd for v in visits)


def _says_value(plan: Plan, text: str, words: Iterable[str]) -> bool:
    """Whether a text holds a value of the kind that is asked for, beside the words that were asked with."""
    rest = text
    for word in words:
        rest = re.sub(re.escape(word), " ", rest, flags=re.IGNORECASE)
    if plan.wants == "time":
        return _TIME.search(rest) is not None
    return plan.wants != "number" or _DIGIT.search(rest) is not None


def _holds_all(text: str, words: Iterable[str]) -> bool:
    return all(_holds(text, word) for word in words)


def _holds(text: str, word: str) -> bool:
    return contains_term(text, word) or (" " not in word and covers(text, word))


def _may_label(word: str) -> bool:
    """A plain word or a phrase can be a label; an identifier or a name with digits stands for a thing."""
    return not any(sign.isdigit() for sign in word)


def _tokens(word: str) -> list[str]:
    return variants(word) if " " not in word else [whole_token(word), *(whole_token(part) for part in word.split())]
