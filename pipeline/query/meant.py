"""Lines that say what was asked for in other words, in spans that are near the question.

Meaning finds the place and may stand for one plain word of the question; all else must be written there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipeline.query.covering import allowed, holds, is_plain, may_label, said, says_value, tokens_for
from pipeline.query.findings import Desk
from pipeline.query.fusion import fuse
from pipeline.query.layout import in_window, lines_on, row_of
from pipeline.query.mentions import OCR, Mention, of_frame, of_track
from pipeline.query.near_spans import NearSpan
from pipeline.query.plan import Plan
from pipeline.query.reworded import SAME_QUESTION, SAME_WORD, are_opposites, negates, stand_ins, wording
from pipeline.query.words import ASKING, contains_term, words_of
from pipeline.stores.indexed_spans import IndexedSpan, SpanLine, lines_of, spans_showing

LEAST_LIKENESS = 2_000
"""How like the question a span has to be, in 1/10,000, for meaning to say anything in it."""
_SAID_PLACES = 40
_LOOKED_AT = 30
_MOST_ROWS = 6
_MOST_WORDINGS = 16


@dataclass(frozen=True)
class Place:
    """A line in a span that is near the question."""

    line: SpanLine
    near: NearSpan


@dataclass(frozen=True)
class Meant:
    """A row of lines that answers; the near span that it was found in, if it was; the word that it says otherwise,
    if any, and how; and how like the question it is with that word, in 1/10,000.
    """

    row: tuple[Mention, ...]
    near: NearSpan | None = None
    word: str = ""
    said_as: str = ""
    likeness: int = 10_000


def fused_texts(plan: Plan, desk: Desk, words: Sequence[str]) -> tuple[list[int], dict[int, Place]]:
    """Texts in the fused order of words and meaning, by their numbers; and where those stand that are in near spans."""
    by_words = said(desk, words)
    names = [token for word in words if not may_label(word) for token in tokens_for(word)]
    by_names = desk.index.ranked_rare(names)
    spans = {near.span.span_id: near for near in _nearest(plan, desk)}
    for number in (*by_words[:_SAID_PLACES], *by_names[:_SAID_PLACES]):
        for span in _showing(plan, desk, number):
            near = spans.get(span.span_id) or desk.meaning.of(span)
            if near is not None:
                spans[span.span_id] = near
    places: dict[int, Place] = {}
    for near in sorted(spans.values(), key=lambda item: (item.rank, item.span.span_id)):
        for line in lines_of(desk.index, near.span):
            places.setdefault(line.text_id, Place(line, near))
    by_meaning = {number: place.near.rank for number, place in places.items()}
    return fuse(_ranks(by_words), _ranks(by_names), by_meaning), places


def _showing(plan: Plan, desk: Desk, text_id: int) -> list[IndexedSpan]:
    """The span that shows a text last."""
    tracks = desk.index.tracks_with(text_id, plan.stretch.start_us, plan.stretch.end_us, 1)
    return [span for track in tracks for span in spans_showing(desk.index, track)[-1:]]


def _ranks(found: Sequence[int]) -> dict[int, int]:
    return {number: rank for rank, number in enumerate(found, 1)}


def meant_lines(plan: Plan, desk: Desk, words: Sequence[str]) -> list[Meant]:
    """Lines in near spans that cover the question with the title of their window, or but for one plain word."""
    order, places = fused_texts(plan, desk, words)
    near = [places[number] for number in order if number in places]
    near = [place for place in near if place.near.likeness >= LEAST_LIKENESS]
    found = list(_covering(plan, desk, words, _promising(near, words)))
    whole = [meant for meant, word in found if not word]
    return whole or _reworded(plan, desk, words, [(meant, word) for meant, word in found if word])


def _nearest(plan: Plan, desk: Desk) -> list[NearSpan]:
    def allows(app: str | None) -> bool:
        return desk.allows(app) and (not plan.programs or app in plan.programs)

    return desk.meaning.nearest(allows, earliest="first" in plan.ends)


def _promising(places: Iterable[Place], words: Sequence[str]) -> list[Place]:
    """Places whose line has a plain word of the question, those first that lack fewest with their span's heading."""
    lacking = []
    for place in places:
        left = [word for word in words if not holds(place.line.text, word)]
        if any(is_plain(word) and word not in left for word in words):
            heading = place.near.span.heading or ""
            lacking.append((sum(not holds(heading, word) for word in left), place))
    return [place for _, place in sorted(lacking, key=lambda item: item[0])][:_LOOKED_AT]


def _covering(
    plan: Plan, desk: Desk, words: Sequence[str], places: Iterable[Place]
) -> Iterator[tuple[Meant, str]]:  # fmt: skip
    """Rows that may answer, each with the word that is written neither in it nor in its title, if there is one."""
    rows_left = _MOST_ROWS
    for place in places:
        line = _cited(plan, desk, place)
        if line is None:
            continue
        word = _lacking(plan, words, line.text, line.frame.title or "")
        row = [line]
        if word is None and rows_left:
            rows_left -= 1
            lines = in_window(lines_on(desk, line.frame), line.frame)
            row = row_of(lines, line) if any(item.row_id == line.row_id for item in lines) else row
            word = _lacking(plan, words, " ".join(item.text for item in row), line.frame.title or "")
        if word is not None:
            joined = " ".join(item.text for item in row)
            titled = any(item != word and not holds(joined, item) for item in words)
            yield Meant((*row, of_frame(line.frame)) if titled else tuple(row), place.near), word


def _cited(plan: Plan, desk: Desk, place: Place) -> Mention | None:
    """The line as a frame of the span and of the plan's time shows it."""
    [track] = desk.index.tracks_numbered([place.line.track])
    span, stretch = place.near.span, plan.stretch
    start, end = max(span.first_ts, stretch.start_us), min(span.last_ts, stretch.end_us - 1)
    for last in (False, True):
        line = of_track(desk.index, track, last=last)
        if start <= line.frame.ts <= end and allowed(plan, desk, line.frame):
            return line
    return None


def _lacking(plan: Plan, words: Sequence[str], row: str, title: str) -> str | None:
    """The one word that neither a row nor its title has; empty when they have all; None when they do not answer."""
    left = [word for word in words if not holds(row, word)]
    lacking = [word for word in left if not _names(title, word)]
    written = sum(is_plain(word) for word in words if word not in left)
    titled = sum(is_plain(word) for word in left if word not in lacking)
    if len(lacking) > 1 or not all(map(is_plain, lacking)) or not written or written < titled:
        return None
    if not says_value(plan, row, words) or not _says_more(row, words):
        return None
    return lacking[0] if lacking else ""


def _names(title: str, word: str) -> bool:
    """Whether a title has a word; a plain one as a name has it: 'requested' is not what 'New request' says."""
    if not is_plain(word):
        return holds(title, word)
    return any(contains_term(title, form) for form in (word, f"{word}s", word.removesuffix("s")))


def _says_more(row: str, words: Sequence[str]) -> bool:
    """Whether a row says anything beside what the question says already."""
    return any(
        item.casefold() not in ASKING and not any(holds(item, word) or holds(word, item) for word in words)
        for item in words_of(row)
    )  # fmt: skip


def _reworded(plan: Plan, desk: Desk, words: Sequence[str], found: Sequence[tuple[Meant, str]]) -> list[Meant]:
    """Of rows that lack one word each, those that have another for it with which the question stays the same."""
    tried = [list(_wordings(plan, words, meant, word)) for meant, word in found]
    in_turn = [item for turn in zip_longest(*tried) for item in turn if item is not None]
    texts = list(dict.fromkeys(text for _, text in in_turn))[:_MOST_WORDINGS]
    likeness = dict(zip(texts, desk.meaning.likeness(plan.question, texts), strict=False))
    fitting = [replace(meant, likeness=likeness.get(text, 0)) for meant, text in in_turn]
    fitting = [item for item in fitting if item.likeness >= SAME_QUESTION]
    for word, others in sorted(_by_word(fitting).items()):
        alike = dict(zip(others, desk.meaning.likeness(word, others), strict=False))
        fitting = [item for item in fitting if item.word != word or alike.get(item.said_as, 0) >= SAME_WORD]
    best = max(fitting, key=lambda item: item.likeness, default=None)
    chosen = [item for item in fitting if best and (item.word, item.said_as) == (best.word, best.said_as)]
    return sorted(chosen, key=lambda item: len(_said(item)))  # the one that says least besides says it best


def _by_word(found: Iterable[Meant]) -> dict[str, list[str]]:
    others: dict[str, set[str]] = {}
    for item in found:
        others.setdefault(item.word, set()).add(item.said_as)
    return {word: sorted(held) for word, held in others.items()}


def _wordings(plan: Plan, words: Sequence[str], meant: Meant, word: str) -> Iterator[tuple[Meant, str]]:
    """The question with each word of the row, that is not its opposite, for one of its own."""
    row = _said(meant)
    if negates(row, plan.question):
        return
    for other in stand_ins(row, words):
        if not are_opposites(word, other):
            yield replace(meant, word=word, said_as=other), wording(plan.question, word, other)


def _said(meant: Meant) -> str:
    return " ".join(item.text for item in meant.row if item.source == OCR)
