"""One order out of several, by reciprocal ranks."""

from __future__ import annotations

from collections.abc import Mapping

SCALE = 1_000_000_000_000
OFFSET = 60
"""How little the very first places of one list outweigh a good place in both; 60 is the value of Cormack, Clarke and
Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods" (2009)."""


def fuse(*rankings: Mapping[int, int]) -> list[int]:
    """Ids of all rankings, the best first; a ranking gives each of its ids a rank, from 1 on, which ids may share.

    Only ranks count, since a rank by words and a likeness of vectors cannot be added up. The sum is made of whole
    numbers and equal ones go by id: the order in which anything came says nothing.
    """
    scores: dict[int, int] = {}
    for ranking in rankings:
        for name, rank in ranking.items():
            scores[name] = scores.get(name, 0) + SCALE // (OFFSET + rank)
    return sorted(scores, key=lambda name: (-scores[name], name))
