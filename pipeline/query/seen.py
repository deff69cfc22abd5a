"""Answers about when something was seen, and which identifiers were."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache

from pipeline.query.check import Claim
from pipeline.query.covering import allowed
from pipeline.query.ends import at_end, spans
from pipeline.query.findings import Desk, Found, plural
from pipeline.query.mentions import Mention, of_frame, of_track, of_visit
from pipeline.query.plan import Plan
from pipeline.query.words import contains_term, covers, variants
from pipeline.stores.text_tokens import match_all, whole_token
from pipeline.stores.text_walk import shown_in_order

MOST_TEXTS = 20_000
"""How many different texts that hold the words are looked at, when they are not walked through in order of time."""
_COMMON, _FARTHEST = 500, 200_000
"""So many texts with the words make it quicker to walk through all that was on screen; so far from either end."""
_MOST_TRACKS = 1_000
_WEIGHED = 100
_OUTERMOST = 30
"""Of how many texts the first, and of how many the last mentions are looked up."""
MOST_NAMES = 100
"""How many identifiers are told at most."""
_PARTS = ("text_index",)
_ANY_LETTERS = frozenset({"", *(letters * n for letters in ("A", "X", "N") for n in range(1, 7)),
                          *("ABCDEF"[:n] for n in range(1, 7)), "XY", "XYZ", "WXYZ"})  # fmt: skip
"""Letters of a sample that stand for any."""


InOrder = Callable[[bool], Iterator[tuple[int, int]]]
"""Texts by their moment and number: from the first seen on; or, when asked for `True`, from the last seen back."""


def first_and_last(plan: Plan, desk: Desk) -> Found:
    """When a term, or several words in one text, were first and last on screen."""
    words = [*plan.phrases, *plan.terms]
    if not words:
        words, plan = [*plan.hosts], replace(plan, hosts=())
    if not words and plan.programs:
        return _program_seen(plan, desk)
    label = ", ".join(words) or "it"
    nothing = f"{label} was not seen"
    if not words:
        return Found(nothing=nothing, leans_on="line_tracks")
    ends = _ends(plan, desk, _candidates(plan, desk, words), words[0])
    if not ends:
        return Found(nothing=nothing, leans_on="line_tracks", parts=_PARTS)
    first, last = ends[0], max(ends, key=lambda item: (item.ts, item.row_id))
    others = tuple(item for item in ends[:_WEIGHED] if item not in (first, last))
    claims = {
        "first": Claim(
            f"{label} was first seen {desk.when(first.ts)}", (first,), (*others, last), at_end("first", first.ts)
        ),
        "last": Claim(
            f"{label} was last seen {desk.when(last.ts)}", (last,), (*others, first), at_end("last", last.ts)
        ),
    }
    chosen = [claim for name, claim in claims.items() if not plan.ends or name in plan.ends]
    return Found(chosen, nothing, "line_tracks", len(chosen), _PARTS)


def identifiers(plan: Plan, desk: Desk) -> Found:
    """Which identifiers of a form were seen, each with its first and last time."""
    pattern = _form(plan.sample)
    nothing = "no such identifier was seen"
    seen: dict[str, list[tuple[int, str]]] = {}
    for number, text in _with_form(plan, desk):
        for name in dict.fromkeys(pattern.findall(text)):
            seen.setdefault(name, []).append((number, text))
    claims, firsts = [], []
    for name in sorted(seen)[:MOST_NAMES]:
        ends = _ends(plan, desk, _sorted(plan, desk, [number for number, _ in seen[name]]), name)
        if not ends or not all(any(covers(item.whole, word) for item in ends) for word in plan.terms):
            continue
        first, last = ends[0], max(ends, key=lambda item: (item.ts, item.row_id))
        firsts.append(first)
        text = f"{name}: first seen {desk.when(first.ts)}, last seen {desk.when(last.ts)}"
        claims.append(Claim(text, (first, last) if first != last else (first,), (), spans(first.ts, last.ts)))
    if not claims:
        return Found(nothing=nothing, leans_on="line_tracks", parts=_PARTS)
    number = len(claims)
    at_least = "at least " if len(seen) > MOST_NAMES else ""
    head = Claim(f"{at_least}{plural(number, 'identifier')} of that form", tuple(firsts), (),
                 lambda found: len(found) == number and all(pattern.search(item.text) for item in found))  # fmt: skip
    return Found([head, *claims], nothing, "line_tracks", 2 if len(claims) == 1 else 1, _PARTS)


def _program_seen(plan: Plan, desk: Desk) -> Found:
    frames = [
        frame for frame in desk.index.frames_between(plan.stretch.start_us, plan.stretch.end_us)
        if frame.app in plan.programs and frame.title
    ]  # fmt: skip
    if not frames:
        return Found(nothing="it was not active")
    claims = []
    for name, frame in (("first", frames[0]), ("last", frames[-1])):
        if not plan.ends or name in plan.ends:
            text = f"{desk.name(frame.app, frame.process_path)} was {name} active {desk.when(frame.ts)}"
            other = frames[-1] if name == "first" else frames[0]
            weighed = () if other.frame_id == frame.frame_id else (of_frame(other),)
            claims.append(Claim(text, (of_frame(frame),), weighed, at_end(name, frame.ts)))
    return Found(claims, headline=len(claims), parts=("frames",))


def _candidates(plan: Plan, desk: Desk, words: Sequence[str]) -> InOrder:
    """Texts that hold all words, in order of time from either end."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    groups = [_groups_of(word) for word in words]
    exact = [group[:1] for part in groups for group in part if group[0]]
    common = exact and len(desk.index.search(match_all(exact), _COMMON, ranked=False)) == _COMMON

    @cache
    def all_found() -> InOrder:
        usable = [[token for token in group if token.rstrip("*")] for part in groups for group in part]
        usable = [group for group in usable if group]
        texts = desk.index.search(match_all(usable), MOST_TEXTS, ranked=False) if usable else []
        return _sorted(plan, desk, [number for number, text in texts if _holds(text, words)])

    def searched(backwards: bool) -> Iterator[tuple[int, int]]:
        return all_found()(backwards)

    held: dict[int, bool] = {}

    def walked(backwards: bool) -> Iterator[tuple[int, int]]:
        told: set[int] = set()
        for passed, shown in enumerate(shown_in_order(desk.index, start, end, backwards=backwards)):
            if passed == _FARTHEST:
                yield from searched(backwards)  # they lie close together, far from this end
                return
            if shown.number not in held:
                held[shown.number] = _holds(shown.text, words)
            if held[shown.number] and shown.number not in told:
                told.add(shown.number)
                yield (shown.last_ts if backwards else shown.first_ts), shown.number

    return walked if common else searched


def _groups_of(word: str) -> list[list[str]]:
    """Tokens of which a text holds one each: a plain word in its forms, each word of a phrase as it is."""
    parts = word.split()
    return [variants(word)] if len(parts) == 1 else [[whole_token(part)] for part in parts]


def _sorted(plan: Plan, desk: Desk, numbers: Iterable[int]) -> InOrder:
    ends = desk.index.text_ends(numbers, plan.stretch.start_us, plan.stretch.end_us)
    early = sorted((first, number) for number, first, _ in ends)
    late = sorted(((last, number) for number, _, last in ends), key=lambda item: (-item[0], item[1]))
    return lambda backwards: iter(late if backwards else early)


def _holds(text: str, words: Iterable[str]) -> bool:
    return all(
        contains_term(text, word) or (" " not in word and word.isalpha() and covers(text, word)) for word in words
    )


def _ends(plan: Plan, desk: Desk, in_order: InOrder, part: str) -> list[Mention]:
    """Mentions of texts within the plan's stretch, in order of time: of those that come first and that come last."""
    found: dict[tuple[str, int], Mention] = {}
    for backwards in (False, True):
        texts = 0
        best: int | None = None
        for moment, number in in_order(backwards):
            if best is not None and texts >= _OUTERMOST and (moment < best if backwards else moment > best):
                break
            own = [mention.narrowed(part) for mention in _mentions(plan, desk, number)]
            found |= {(mention.row_id, mention.ts): mention for mention in own}
            if own:
                texts += 1
                times = [item.ts for item in own if best is None or (item.ts > best) == backwards]
                best = (max if backwards else min)(times, default=best)
    return sorted(found.values(), key=lambda item: (item.ts, item.row_id))


def _mentions(plan: Plan, desk: Desk, number: int) -> list[Mention]:
    """The first and the last mention of a text within the plan's stretch, in its programs and on its sites."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    return [
        mention for mention in _all_mentions(plan, desk, number, start, end)
        if start <= mention.ts < end and allowed(plan, desk, mention.frame)
    ]  # fmt: skip


def _all_mentions(plan: Plan, desk: Desk, number: int, start: int, end: int) -> Iterator[Mention]:
    index = desk.index
    filtered = plan.programs or plan.hosts or desk.program_filter
    ends = index.track_ends(number, start, end) or ()
    for track in index.tracks_with(number, start, end, _MOST_TRACKS) if filtered else ends:
        yield of_track(index, track)
        if track.last_record != track.first_record:
            yield of_track(index, track, last=True)
    for frame in index.frames_titled(number, start, end) or ():
        yield of_frame(frame)
    for visit in index.visits_with_url(number, start, end) or ():
        yield of_visit(index, desk.evidence, visit)
        yield of_visit(index, desk.evidence, visit, last=True)


def _form(sample: str) -> re.Pattern[str]:
    """The pattern that a sample stands for.

    ABC-123   any letters, as many, the same sign, as many digits: the letters stand for any
    OPS-12    OPS, the same sign, any number
    CHG       CHG, with or without a sign, any number
    """
    if not sample:
        return re.compile(r"(?<![\w-])[A-Z]{2,10}-\d+(?![\w-])")
    letters, signs, digits = _parts(sample)
    if letters and (letters in _ANY_LETTERS):
        body = rf"[A-Z]{{{len(letters)}}}{re.escape(signs)}" + (rf"\d{{{len(digits)}}}" if digits else r"\d+")
    else:
        body = re.escape(letters) + (re.escape(signs) if signs or digits else "-?") + r"\d+"
    return re.compile(rf"(?<![\w-]){body}(?![\w-])")


def _parts(sample: str) -> tuple[str, str, str]:
    """Letters, signs and digits of a sample, in whatever order the signs stand."""
    letters, signs, digits = ("".join(re.findall(kind, sample)) for kind in ("[A-Z]", r"[^A-Z\d]", r"\d"))
    return letters, signs, digits


def _with_form(plan: Plan, desk: Desk) -> Iterator[tuple[int, str]]:
    """Texts that hold something of a form; the index has no list of forms, so all texts are looked at."""
    letters, signs, digits = _parts(plan.sample)
    any_letters = letters in _ANY_LETTERS
    glob = "*" + ("[A-Z]" * (len(letters) or 2) if any_letters and signs != "#" else letters)
    glob += (signs if signs or digits else "*") if plan.sample else "-"
    glob += "[0-9]" * (len(digits) if any_letters and digits else 1) + "*"
    yield from desk.index.texts_like(glob, plan.stretch.start_us, plan.stretch.end_us)
