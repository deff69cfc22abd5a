"""Answers about page loads and sites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from pipeline.query.activity import sightings
from pipeline.query.check import Claim, Rule
from pipeline.query.ends import at_end, outermost, spans
from pipeline.query.findings import Desk, Found, minutes, plural
from pipeline.query.mentions import Mention, of_visit
from pipeline.query.plan import Plan
from pipeline.query.timeline import Seen, follow
from pipeline.query.words import contains_term, covers
from pipeline.stores.index_rows import VisitRow

NOTHING = "no page was seen"


def host_of(url: str) -> str:
    """The host of an address as it is shown, with or without its scheme."""
    try:
        return (urlsplit(url if re.match(r"[a-zA-Z][\w+.-]*://", url) else f"//{url}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def most_visited(plan: Plan, desk: Desk) -> Found:
    """The sites with the most page loads."""
    visits = _visits(plan, desk)
    counts = Counter(visit.host for visit in visits)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    least = ranked[: plan.top][-1][1] if ranked else 0
    chosen = [item for item in ranked if item[1] >= least]
    mentions = {visit.visit_id: of_visit(desk.index, desk.evidence, visit) for visit in visits}
    claims = []
    for place, (host, number) in enumerate(chosen, start=1):
        own = tuple(mentions[visit.visit_id] for visit in visits if visit.host == host)
        others = tuple(mentions[visit.visit_id] for visit in visits if visit.host != host)
        text = f"{host} was visited most, with {plural(number, 'page load')}"
        if len(chosen) > 1:
            text = f"{place}. {host}: {plural(number, 'page load')}"
        claims.append(Claim(text, own, others, _ranked_so(host, number, place)))
    return Found(claims, NOTHING, headline=max(1, len(claims)), parts=("url_visits",))


def count_loads(plan: Plan, desk: Desk) -> Found:
    """How many pages were loaded, or when the first and the last time."""
    visits = _visits(plan, desk)
    if not visits:
        return Found(nothing=NOTHING)
    mentions = tuple(of_visit(desk.index, desk.evidence, visit) for visit in visits)
    where = " on " + ", ".join(sorted({visit.host for visit in visits})) if plan.hosts or plan.terms else ""
    count = Claim(f"{plural(len(visits), 'page load')}{where}", mentions, (), lambda seen: len(seen) == len(visits))
    ends = []
    if not plan.counts and (plan.ends or plan.wants == "time"):
        for name, mention in (("first", mentions[0]), ("last", mentions[-1])):
            text = f"{name} page load{where}: {desk.when(mention.ts)} ({mention.text})"
            others = tuple(item for item in mentions if item is not mention)
            ends.append(Claim(text, (mention,), others, at_end(name, mention.ts)))
    return Found([*ends, count], NOTHING, headline=len(ends) or 1, parts=("url_visits",))


def list_sites(plan: Plan, desk: Desk) -> Found:
    """Which sites were open in the active browser window, each with its first and last time."""
    visits = _visits(plan, desk, touching=True)
    hosts = list(dict.fromkeys(visit.host for visit in visits))
    claims, firsts = [], []
    for host in hosts:
        own = [visit for visit in visits if visit.host == host]
        first, last = _ends(plan, desk, own)
        firsts.append(first)
        text = f"{host}: first seen {desk.when(first.ts)}, last seen {desk.when(last.ts)}"
        cited = (first,) if first == last else (first, last)
        claims.append(Claim(text, cited, (), spans(first.ts, last.ts)))
    if not claims:
        return Found(nothing=NOTHING)
    if len(plan.ends) == 1:
        return _at_one_end(plan, desk, claims, host_of)
    head = Claim(f"{plural(len(hosts), 'site')} in the active browser window", tuple(firsts), (),
                 lambda seen: len({host_of(item.text) for item in seen}) == len(hosts))  # fmt: skip
    return Found([head, *claims], NOTHING, headline=1 + (len(claims) == 1), parts=("url_visits",))


def list_pages(plan: Plan, desk: Desk) -> Found:
    """Which pages were loaded, each with its first and last time."""
    visits = _visits(plan, desk)
    claims, firsts = [], []
    for url in dict.fromkeys(visit.url for visit in visits):
        own = [visit for visit in visits if visit.url == url]
        first, last = _ends(plan, desk, own)
        firsts.append(first)
        title = f" ({first.frame.title})" if first.frame.title else ""
        times = f"first seen {desk.when(first.ts)}, last seen {desk.when(last.ts)}"
        text = f"{url}{title}: {plural(len(own), 'page load')}, {times}"
        rows = tuple(of_visit(desk.index, desk.evidence, visit) for visit in own[1:])
        claims.append(Claim(text, (first, last) if first != last else (first,), rows, spans(first.ts, last.ts)))
    if not claims:
        return Found(nothing=NOTHING)
    if len(plan.ends) == 1:
        return _at_one_end(plan, desk, claims, str)
    head = Claim(f"{plural(len(claims), 'page')} in the active browser window", tuple(firsts), (),
                 lambda seen: len({item.text for item in seen}) == len(firsts))  # fmt: skip
    return Found([head, *claims], NOTHING, headline=1 + (len(claims) == 1), parts=("url_visits",))


def time_on_sites(plan: Plan, desk: Desk) -> Found:
    """How long sites were in the active browser window."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    visits = [v for v in desk.index.visits_over(start, end) if desk.allows(v.app)]
    known = {**sightings(desk, start, end)}
    for visit in visits:
        mention = of_visit(desk.index, desk.evidence, visit)
        known[Seen(mention.ts, visit.run_id, visit.url, visit.app, mention.frame.process_path or "", visit.hwnd,
                   is_address=True)] = mention  # fmt: skip
    totals = _host_times(list(known), start, end)
    wanted = [
        host for host in totals if (host in plan.hosts or not plan.hosts) and all(covers(host, t) for t in plan.terms)
    ]
    ranked = sorted(wanted, key=lambda host: (-totals[host], host))[: len(wanted) if plan.hosts else max(plan.top, 1)]
    claims = []
    for host in ranked:
        cited = tuple(known[seen] for seen in known if seen.is_address and host_of(seen.text) == host)
        weighed = tuple(mention for mention in known.values() if mention not in set(cited))
        claims.append(Claim(f"{host} was active for {minutes(totals[host])}", cited, weighed,
                            _host_time_is(host, totals[host], start, end)))  # fmt: skip
    return Found(claims, NOTHING, headline=max(1, len(claims)), parts=("url_visits", "windows"))


def _at_one_end(plan: Plan, desk: Desk, claims: Sequence[Claim], label: Callable[[str], str]) -> Found:
    """The first or the last of all that the claims cite."""
    name = next(iter(plan.ends))
    own, others = outermost(name, [mention for claim in claims for mention in claim.cited])
    title = f" ({own.frame.title})" if own.frame.title else ""
    text = f"{label(own.text)} was {name} seen {desk.when(own.ts)}{title}"
    return Found([Claim(text, (own,), others, at_end(name, own.ts))], NOTHING, parts=("url_visits",))


def _visits(plan: Plan, desk: Desk, *, touching: bool = False) -> list[VisitRow]:
    start, end = plan.stretch.start_us, plan.stretch.end_us
    found = desk.index.visits_over(start, end) if touching else desk.index.visits_between(start, end)

    def shows(visit: VisitRow) -> bool:
        title = desk.index.frame(visit.first_frame).title or ""
        return all(covers(visit.url, word) or covers(title, word) for word in plan.terms) and all(
            contains_term(visit.url, phrase) or contains_term(title, phrase) for phrase in plan.phrases
        )

    return [
        visit for visit in found
        if desk.allows(visit.app) and (not plan.hosts or visit.host in plan.hosts)
        and (not plan.programs or visit.app in plan.programs)
        and shows(visit)
    ]  # fmt: skip


def _ends(plan: Plan, desk: Desk, visits: Sequence[VisitRow]) -> tuple[Mention, Mention]:
    begin, end = visits[0], max(visits, key=lambda visit: (visit.last_ts, visit.id))
    first = of_visit(desk.index, desk.evidence, begin, last=begin.first_ts < plan.stretch.start_us)
    last = of_visit(desk.index, desk.evidence, end, last=end.last_ts < plan.stretch.end_us)
    return first, last


def _ranked_so(host: str, number: int, place: int) -> Rule:
    def check(seen: Sequence[Seen]) -> bool:
        counts = Counter(host_of(item.text) for item in seen)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return len(ranked) >= place and ranked[place - 1] == (host, number)

    return check


def _host_times(seen: Sequence[Seen], start: int, end: int) -> Counter[str]:
    """How long each host was shown by the active window: its address holds until the window shows another."""
    addresses: dict[tuple[str, int | None], list[Seen]] = {}
    for item in sorted(item for item in seen if item.is_address):
        addresses.setdefault((item.run_id, item.hwnd), []).append(item)
    totals: Counter[str] = Counter()
    windows = [item for item in seen if not item.is_address]
    for activity in follow(windows, start, end, lambda item: item.hwnd):
        shown = addresses.get((activity.first.run_id, activity.first.hwnd), [])
        for at, item in enumerate(shown):
            until = shown[at + 1].ts if at + 1 < len(shown) else activity.end
            totals[host_of(item.text)] += max(0, min(until, activity.end) - max(item.ts, activity.start))
    return Counter({host: length for host, length in totals.items() if length})


def _host_time_is(host: str, length: int, start: int, end: int) -> Rule:
    return lambda seen: _host_times(list(set(seen)), start, end)[host] == length
