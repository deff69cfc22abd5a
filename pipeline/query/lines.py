"""Any other question: lines of text that hold all that it names, and the kind of value that it asks for.

No line, no answer: a question whose words no line states is not answered with what merely stands near it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.query.check import Claim
from pipeline.query.covering import allowed, holds, holds_all, may_label, said, says_value, tokens_for
from pipeline.query.findings import Desk, Found
from pipeline.query.layout import in_window, lines_on, row_of
from pipeline.query.meant import Meant, meant_lines
from pipeline.query.mentions import Mention, of_frame, of_track
from pipeline.query.plan import Plan
from pipeline.stores.text_tokens import match_all

NOTHING = "no line on screen states it"
_PARTS = ("text_index",)
_MOST_TEXTS = 60
_MOST_PLACES = 3
_MOST_LINES = 3
_LOOKED_AT = 60
_SURE_BY_WORDS, _SURE_BY_MEANING = 90, 70
"""How sure a line in a near span is, in percent of what it is when it holds all words by itself."""


def best_lines(plan: Plan, desk: Desk) -> Found:
    """Lines, or rows of lines side by side, that cover the question."""
    words = [*plan.phrases, *plan.terms]
    if not words:
        return Found(nothing="the question names nothing to look for", leans_on="line_tracks")
    rows = list(_single_lines(plan, desk, words)) or list(_rows(plan, desk, words))
    claims = _claims(plan, desk, [Meant(tuple(row)) for row in rows])
    if claims:
        desk.meaning.note = "not asked: what the question names was found as it is written"
        return Found(claims, NOTHING, "line_tracks", 1, _PARTS)
    if not desk.meaning.join(plan.question, plan.stretch.start_us, plan.stretch.end_us):
        return Found(claims, NOTHING, "line_tracks", 1, _PARTS)
    return Found(_claims(plan, desk, meant_lines(plan, desk, words)), NOTHING, "line_tracks", 1, (*_PARTS, "landscape"))


def _claims(plan: Plan, desk: Desk, rows: Sequence[Meant]) -> list[Claim]:
    """The first few rows that say different things, each as a claim."""
    ordered = sorted(rows, key=lambda item: item.row[0].ts, reverse="first" not in plan.ends) if plan.ends else rows
    claims: list[Claim] = []
    told: set[str] = set()
    for meant in ordered:
        text = _statement(meant.row)
        if text not in told and len(claims) < _MOST_LINES:
            told.add(text)
            claims.append(_claim(meant, text, desk.when(meant.row[0].ts)))
    return claims


def _claim(meant: Meant, text: str, when: str) -> Claim:
    if meant.near is None:
        return Claim(f"{text} ({when})", meant.row)
    percent = _SURE_BY_MEANING if meant.word else _SURE_BY_WORDS
    row = tuple(replace(item, score=item.score * percent * meant.likeness // 1_000_000) for item in meant.row)
    if not meant.word:
        return Claim(f"{text} ({when})", row, found_by=meant.near)
    how = f"“{meant.word}” read as “{meant.said_as}”"
    return Claim(f"{text} ({when}; found by meaning: {how})", row, found_by=meant.near)


def _single_lines(plan: Plan, desk: Desk, words: Sequence[str]) -> Iterator[list[Mention]]:
    """Lines that hold all words by themselves, the best first."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    for number, text in desk.index.search(match_all([tokens_for(word) for word in words]), _MOST_TEXTS):
        if not holds_all(text, words) or not says_value(plan, text, words):
            continue
        tracks = desk.index.tracks_with(number, start, end, 1)
        lines = (of_track(desk.index, track) for track in tracks)
        yield from ([line] for line in lines if allowed(plan, desk, line.frame))


def _rows(plan: Plan, desk: Desk, words: Sequence[str]) -> Iterator[list[Mention]]:
    """Rows of lines in one frame that hold the words, where names may stand in the window's title instead."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    labels = [word for word in words if may_label(word)]
    if not labels:
        return
    seen: set[tuple[str, ...]] = set()
    shown: dict[int, list[Mention]] = {}
    for number, text in desk.index.texts(said(desk, words)[:_MOST_TEXTS]):
        if not any(holds(text, word) for word in labels):
            continue
        for line in _places(desk, number, start, end, words):
            row = _row(plan, desk, line, words, shown)
            name = tuple(item.text for item in row)
            if row and name not in seen:
                seen.add(name)
                yield row


def _places(desk: Desk, text_id: int, start: int, end: int, words: Sequence[str]) -> list[Mention]:
    """Where a line stands: first where the window's title says most of the words, then the latest."""
    tracks = desk.index.tracks_with(text_id, start, end, _LOOKED_AT)
    lines = [of_track(desk.index, track) for track in tracks]
    lines.sort(key=lambda line: -sum(holds(line.frame.title or "", word) for word in words))
    return lines[:_MOST_PLACES]


def _row(
    plan: Plan, desk: Desk, line: Mention, words: Sequence[str], shown: dict[int, list[Mention]]
) -> list[Mention]:  # fmt: skip
    """The row that a line stands in, with the title that covers the rest; empty when something is not covered.

    `shown` keeps the lines of each frame that was looked at.
    """
    frame = line.frame
    if not allowed(plan, desk, frame):
        return []
    if frame.id not in shown:
        shown[frame.id] = in_window(lines_on(desk, frame), frame)
    lines = shown[frame.id]
    row = row_of(lines, line) if any(item.row_id == line.row_id for item in lines) else []
    joined = " ".join(item.text for item in row)
    left = [word for word in words if not holds(joined, word)]
    title = frame.title or ""
    if not row or not says_value(plan, joined, words) or not all(holds(title, word) for word in left):
        return []
    labelled = any(may_label(word) and holds(joined, word) for word in words)
    more = [item for item in row if not any(item.text.casefold().strip(" :") == word.casefold() for word in words)]
    if not labelled or not more or (left and any(may_label(word) and " " not in word for word in left)):
        return []
    return [*row, of_frame(frame)] if left else row


def _statement(row: Sequence[Mention]) -> str:
    lines = [item.text for item in row if item.source == "ocr"]
    title = next((f" — {item.text}" for item in row if item.source != "ocr"), "")
    return ": ".join([lines[0].rstrip(" :"), " ".join(lines[1:])]) + title if len(lines) > 1 else lines[0] + title
