"""Answers about windows and programs: which, when, for how long."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pipeline.query.check import Claim, Rule
from pipeline.query.ends import at_end, outermost, spans
from pipeline.query.findings import Desk, Found, minutes, plural
from pipeline.query.mentions import Mention, of_frame, of_window, seen_change, seen_in_frame
from pipeline.query.plan import Plan
from pipeline.query.timeline import Activity, Seen, follow, switches_by
from pipeline.query.words import contains_term, covers
from pipeline.stores.indexed_texts import DAY_US

NOTHING = "no active window was recorded"
_UNSAVED = re.compile(r"^[*●•]\s?")

Known = dict[Seen, Mention]


def clean_title(title: str) -> str:
    """A window's title without the mark for unsaved changes."""
    return _UNSAVED.sub("", title)


def sightings(desk: Desk, start: int, end: int) -> Known:
    """Window changes of the days that [start, end) touches, and the first and last frame of each day of a run."""
    first, last = start - start % DAY_US, end + (-end) % DAY_US
    known: Known = {}
    shown = desk.index.frames_of_windows(first, last)
    for window in desk.index.windows_between(first, last):
        mention = of_window(desk.index, window, shown.get(window.record_id))
        if mention is not None and window.title:
            known[seen_change(window)] = mention
    for ends in desk.index.day_ends(first, last):
        for frame in ends:
            if frame.title:
                known.setdefault(seen_in_frame(frame), of_frame(frame))
    return known


def time_in_programs(plan: Plan, desk: Desk) -> Found:
    """How long programs were active: all the time in which one of their windows was."""
    return _times(plan, desk, lambda seen: seen.app, lambda seen: desk.name(seen.app, seen.process_path))


def time_in_windows(plan: Plan, desk: Desk) -> Found:
    """How long windows were active: each, or all together whose title has what the question names."""
    words = ", ".join((*plan.phrases, *plan.terms))
    if words and not re.search(r"\b(?:which|rank|top|list|each)\b", plan.question.lower()):
        wanted = _wanted(plan, desk)
        return _times(plan, desk, wanted, lambda _: f'"{words}"')
    return _times(
        plan, desk, lambda seen: (seen.app, clean_title(seen.text)), lambda seen: f'"{clean_title(seen.text)}"'
    )


def longest(plan: Plan, desk: Desk) -> Found:
    """The longest time in which a program, or a window, was active without a break."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    of_window = re.search(r"\bwindows?\b", plan.question.lower()) and not re.search(
        r"\b(?:program|app)", plan.question.lower()
    )
    key: Callable[[Seen], object] = (
        (lambda seen: (seen.app, clean_title(seen.text))) if of_window else (lambda seen: seen.app)
    )
    wanted = _wanted(plan, desk)

    def best(seen: Sequence[Seen]) -> Activity | None:
        fitting = [item for item in follow(seen, start, end, key) if wanted(item.first)]
        return max(fitting, key=lambda item: (item.length, -item.start), default=None)

    found = best(list(known))
    if found is None:
        return Found(nothing=NOTHING)
    name = f'"{clean_title(found.first.text)}"' if of_window else desk.name(found.app, found.first.process_path)
    text = f"{name} was active longest without a break: {desk.between(found.start, found.end)}, {minutes(found.length)}"
    cited = (known[found.first], known[found.next])

    def rule(seen: Sequence[Seen]) -> bool:
        again = best(seen)
        return again is not None and (again.start, again.end, key(again.first)) == (
            found.start,
            found.end,
            key(found.first),
        )

    return Found([Claim(text, cited, _others(known, cited), rule)], NOTHING, parts=("windows",))


def switches(plan: Plan, desk: Desk) -> Found:
    """How often the active window changed, in all, or in the full hour or day in which it did most often."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    unit = next((unit for unit in ("hour", "day") if re.search(rf"\b{unit}\b", plan.question.lower())), "")
    most = bool(unit) and re.search(r"\b(?:most|busiest|highest|top|max\w*)\b", plan.question.lower()) is not None

    def counted(seen: Iterable[Seen]) -> dict[int, list[tuple[Seen, Seen]]]:
        return switches_by(desk.start_of(unit) if most else lambda _: start, seen, start, end)

    found = counted(known)
    if not found:
        return Found(nothing="no change of the active window was recorded")
    period = _busiest(found)
    pairs = found[period]
    times = plural(len(pairs), "time")
    text = f"the active window changed {times} {desk.between(start, end)}"
    if most:
        until = desk.start_of(unit, 1)(period)
        text = f"the active window changed most often between {desk.when(period)} and {desk.when(until)}: {times}"

    def rule(seen: Sequence[Seen]) -> bool:
        again = counted(seen)
        return _busiest(again) == period and len(again[period]) == len(pairs)

    cited = tuple(known[after] for _, after in pairs)
    return Found([Claim(text, cited, _others(known, cited), rule)], NOTHING, parts=("windows",))


def _busiest(found: Mapping[int, Sequence[object]]) -> int:
    return min(found, key=lambda period: (-len(found[period]), period))


def active_at(plan: Plan, desk: Desk) -> Found:
    """Which window was active at a moment."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    wanted = _wanted(plan, desk)
    claims = []
    for item in follow(known, start, max(end, start + 1), lambda seen: (seen.app, seen.hwnd, seen.text)):
        if not wanted(item.first):
            continue
        name = desk.name(item.app, item.first.process_path)
        text = f'{name}, window "{clean_title(item.first.text)}", was active at {desk.when(item.start)}'
        text += f" (since {desk.when(item.first.ts)})" if item.first.ts < item.start else ""
        cited = (known[item.first],)
        claims.append(Claim(text, cited, _others(known, cited), _is_active(item, start, end)))
    return Found(claims, NOTHING, headline=max(1, len(claims)), parts=("windows",))


def list_windows(plan: Plan, desk: Desk) -> Found:
    """Which windows were active in frames, each with the first and the last of them."""
    return _listed(plan, desk, "window", lambda mention: (mention.frame.app, clean_title(mention.text)))


def list_programs(plan: Plan, desk: Desk) -> Found:
    """Which programs were active in frames, each with the first and the last of them."""
    return _listed(plan, desk, "program", lambda mention: mention.frame.app)


def _listed(plan: Plan, desk: Desk, noun: str, key: Callable[[Mention], object]) -> Found:
    start, end = plan.stretch.start_us, plan.stretch.end_us
    wanted = _wanted(plan, desk)
    groups: dict[object, list[Mention]] = {}
    for number, _ in desk.index.titles_between(start, end):
        for frame in desk.index.frames_titled(number, start, end) or ():
            mention = of_frame(frame)
            if mention.text and wanted(seen_in_frame(frame)):
                groups.setdefault(key(mention), []).append(mention)
    claims, firsts, labels = [], [], dict[str, str]()
    for own in sorted(groups.values(), key=lambda item: min(mention.ts for mention in item)):
        first, last = min(own, key=lambda item: item.ts), max(own, key=lambda item: item.ts)
        firsts.append(first)
        name = desk.name(first.frame.app, first.frame.process_path)
        label = name if noun == "program" else f'{name}: "{clean_title(first.text)}"'
        text = f"{label}, first seen {desk.when(first.ts)}, last seen {desk.when(last.ts)}"
        cited = (first,) if first.frame.frame_id == last.frame.frame_id else (first, last)
        claims.append(Claim(text, cited, (), spans(first.ts, last.ts)))
        labels |= {mention.row_id: label for mention in cited}
    if not claims:
        return Found(nothing=NOTHING)
    if len(plan.ends) == 1:
        name = next(iter(plan.ends))
        outer, others = outermost(name, [mention for claim in claims for mention in claim.cited])
        text = f"{labels[outer.row_id]} was {name} seen {desk.when(outer.ts)}"
        return Found([Claim(text, (outer,), others, at_end(name, outer.ts))], NOTHING, parts=("frames",))

    def counted(seen: Sequence[Seen]) -> bool:
        return len({(item.app, clean_title(item.text)) if noun == "window" else item.app for item in seen}) == len(
            claims
        )

    head = Claim(f"{plural(len(claims), noun)} active {desk.between(start, end)}", tuple(firsts), (), counted)
    return Found([head, *claims], NOTHING, headline=1 + (len(claims) == 1), parts=("frames",))


def _times(plan: Plan, desk: Desk, key: Callable[[Seen], object], label: Callable[[Seen], str]) -> Found:
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    activities = follow(known, start, end, key)
    wanted = _wanted(plan, desk)
    totals: Counter[object] = Counter()
    firsts: dict[object, Seen] = {}
    for item in activities:
        if wanted(item.first):
            totals[key(item.first)] += item.length
            firsts.setdefault(key(item.first), item.first)
    ranked = sorted(totals, key=lambda name: (-totals[name], str(name)))
    chosen = ranked if plan.programs else ranked[: plan.top]
    claims = []
    for place, name in enumerate(chosen, start=1):
        own = [item for item in activities if key(item.first) == name and wanted(item.first)]
        cited = tuple(dict.fromkeys(known[item.first] for item in sorted(own, key=lambda item: -item.length)))
        prefix = f"{place}. " if len(chosen) > 1 else ""
        text = f"{prefix}{label(firsts[name])} was active for {minutes(totals[name])}"
        rule = _total_is(name, totals[name], place, start, end, key, wanted)
        claims.append(Claim(text, cited, _others(known, cited), rule))
    return Found(claims, NOTHING, headline=max(1, len(claims)), parts=("windows",))


def _wanted_title(plan: Plan, title: str, app: str | None) -> bool:
    return all(covers(title, word) or word.casefold() == (app or "") for word in plan.terms) and all(
        contains_term(title, phrase) for phrase in plan.phrases
    )


def _wanted(plan: Plan, desk: Desk) -> Callable[[Seen], bool]:
    """Whether a sighting passes what the question names: programs, and words of the title."""
    return lambda seen: (
        desk.allows(seen.app)
        and (not plan.programs or seen.app in plan.programs)
        and _wanted_title(plan, seen.text, seen.app)
    )


def _total_is(
    name: object, length: int, place: int, start: int, end: int, key: Callable[[Seen], object],
    wanted: Callable[[Seen], bool],
) -> Rule:  # fmt: skip
    def check(seen: Sequence[Seen]) -> bool:
        totals: Counter[object] = Counter()
        for item in follow(seen, start, end, key):
            if wanted(item.first):
                totals[key(item.first)] += item.length
        ranked = sorted(totals, key=lambda other: (-totals[other], str(other)))
        return totals[name] == length and ranked[place - 1] == name

    return check


def _is_active(activity: Activity, start: int, end: int) -> Rule:
    def check(seen: Sequence[Seen]) -> bool:
        again = follow(seen, start, max(end, start + 1), lambda item: (item.app, item.hwnd, item.text))
        return any((a.start, a.end, a.first.text) == (activity.start, activity.end, activity.first.text) for a in again)

    return check


def _others(known: Known, cited: Sequence[Mention]) -> tuple[Mention, ...]:
    named = {mention.row_id for mention in cited}
    return tuple(mention for mention in known.values() if mention.row_id not in named)
