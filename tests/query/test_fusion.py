"""One order out of several rankings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.query.fusion import OFFSET, SCALE, fuse

_RANKING = st.dictionaries(st.integers(0, 30), st.integers(1, 1_000), max_size=20)


def test_a_good_place_in_both_lists_outweighs_the_first_place_in_one() -> None:
    by_words = {1: 1, 2: 2, 3: 3}
    by_meaning = {4: 1, 3: 2}
    assert fuse(by_words, by_meaning) == [3, 1, 4, 2]


def test_equal_ones_go_by_id_and_may_share_a_rank() -> None:
    assert fuse({9: 1, 4: 1, 7: 1}) == [4, 7, 9]
    assert fuse({1: 1}, {2: 1}) == [1, 2]


def test_nothing_is_fused_to_nothing() -> None:
    assert fuse() == fuse({}, {}) == []


def test_scores_are_whole_numbers_that_tell_far_ranks_apart() -> None:
    assert SCALE // (OFFSET + 900_000) > SCALE // (OFFSET + 900_001)
    assert fuse({1: 900_001, 2: 900_000}) == [2, 1]


@given(st.lists(_RANKING, max_size=4), st.randoms())
def test_the_order_of_what_comes_in_says_nothing(rankings: list[dict[int, int]], chance: object) -> None:
    mixed = [dict(sorted(ranking.items(), key=lambda _: chance.random())) for ranking in rankings]  # type: ignore[attr-defined]
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert fuse(*mixed) == fuse(*rankings)
