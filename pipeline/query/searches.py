"""Answers about search terms: what the address of a page of results says was searched for."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from pipeline.query.check import Claim
from pipeline.query.ends import at_end
from pipeline.query.findings import Desk, Found
from pipeline.query.mentions import of_visit
from pipeline.query.plan import Plan
from pipeline.query.words import covers
from pipeline.stores.index_rows import VisitRow

NOTHING = "no search was seen"
_NAMES = (
    "q", "query", "search", "search_query", "search_term", "searchterm", "text", "wd", "keyword", "keywords", "term",
    "s", "p", "k", "phrase",
)  # fmt: skip
_SEARCHING = re.compile(
    r"search|results?\b|find|query|lookup|duckduckgo|google|bing|yahoo|yandex|baidu|ecosia|startpage|qwant|kagi|brave",
    re.IGNORECASE,
)


def search_terms(plan: Plan, desk: Desk) -> Found:
    """The last search term, or the first, or all."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    found = []
    for visit in desk.index.visits_between(start, end):
        term = searched_for(visit.url)
        fits = (not plan.hosts or visit.host in plan.hosts) and desk.allows(visit.app)
        if term and fits and all(covers(f"{visit.url} {term}", word) for word in plan.terms):
            found.append((visit, term))
    if not found:
        return Found(nothing=NOTHING)
    if plan.ends == {"last"} or plan.ends == {"first"}:
        return _one_end(desk, found, "last" if "last" in plan.ends else "first")
    claims, said = [], set()
    for visit, term in found:
        if term not in said:
            said.add(term)
            mention = of_visit(desk.index, desk.evidence, visit)
            claims.append(Claim(f'"{term}" was searched for on {visit.host}, {desk.when(mention.ts)}', (mention,)))
    return Found(claims, NOTHING, headline=len(claims), parts=("url_visits",))


def searched_for(url: str) -> str:
    """The search term in an address; empty when it is none of a page of results."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        pairs = dict(parse_qsl(parts.query))
    except ValueError:
        return ""
    name = next((name for name in _NAMES if pairs.get(name, "").strip()), None)
    if name is None or not _SEARCHING.search(f"{parts.hostname or ''}{parts.path}"):
        return ""
    return pairs[name].strip()


def _one_end(desk: Desk, found: list[tuple[VisitRow, str]], name: str) -> Found:
    visit, term = found[-1 if name == "last" else 0]
    mentions = [of_visit(desk.index, desk.evidence, item) for item, _ in found]
    own = next(mention for mention in mentions if mention.row_id == visit.visit_id)
    text = f'the {name} search term was "{term}", on {visit.host}, {desk.when(own.ts)}'
    others = tuple(mention for mention in mentions if mention is not own)
    return Found([Claim(text, (own,), others, at_end(name, own.ts))], NOTHING, parts=("url_visits",))
