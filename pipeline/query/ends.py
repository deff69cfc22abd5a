"""Which of several mentions is the first, which the last, and the rules that prove it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.query.check import Rule
from pipeline.query.mentions import Mention


def outermost(name: str, mentions: Sequence[Mention]) -> tuple[Mention, tuple[Mention, ...]]:
    """The `first` or the `last` mention, and the others."""
    pick = min if name == "first" else max
    own = pick(mentions, key=lambda item: (item.ts, item.row_id))
    return own, tuple(dict.fromkeys(item for item in mentions if item is not own))


def at_end(name: str, moment: int) -> Rule:
    """A rule: what is cited first is the first (or last) of all."""
    pick = min if name == "first" else max
    return lambda seen: seen[0].ts == moment == pick(item.ts for item in seen)


def spans(first: int, last: int) -> Rule:
    """A rule: what is cited begins and ends so."""
    return lambda seen: min(item.ts for item in seen) == first and max(item.ts for item in seen) == last
