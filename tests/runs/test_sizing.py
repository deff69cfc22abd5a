"""How shards are cut, and how large."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from pipeline.dag import stage
from pipeline.runs.sizing import LARGEST_SHARD, ShardSizer, cut_shards
from pipeline.stores.catalog import Sample


def sizer(shard_frames: int = 0, shard_seconds: float = 20.0) -> ShardSizer:
    return ShardSizer(stage("find_text_lines"), shard_frames, shard_seconds)


def test_the_first_shard_goes_by_what_the_stage_usually_takes() -> None:
    assert sizer().size() == 10
    assert sizer(shard_seconds=0.1).size() == 1


def test_a_fixed_size_stays() -> None:
    fixed = sizer(shard_frames=7)
    fixed.measured(7, 1000.0)
    assert fixed.size() == 7


def test_slow_work_makes_small_shards_at_once() -> None:
    slow = sizer()
    slow.measured(10, 200.0)
    assert slow.size() == 1


def test_fast_work_makes_larger_shards_step_by_step() -> None:
    fast = sizer()
    sizes = []
    for _ in range(8):
        sizes.append(fast.size())
        fast.measured(fast.size(), 0.0)
    assert sizes == [10, 40, 160, 640, 2560, LARGEST_SHARD, LARGEST_SHARD, LARGEST_SHARD]


def test_a_shard_of_which_nothing_was_finished_teaches_nothing() -> None:
    idle = sizer()
    idle.measured(0, 100.0)
    assert idle.size() == 10


HOURS = st.sampled_from([("r", "2026-03-01", "10"), ("r", "2026-03-01", "11"), ("q", "2026-03-01", "11")])


@given(st.lists(HOURS, max_size=20).map(sorted), st.lists(st.integers(1, 5), min_size=20, max_size=20))
def test_every_sample_is_in_one_shard_of_its_hour(hours: list[tuple[str, str, str]], sizes: list[int]) -> None:
    samples = [Sample(f"{n}", "t", run, n, day, hour) for n, (run, day, hour) in enumerate(hours)]
    left = list(sizes)
    shards = list(cut_shards(samples, lambda: left.pop(0)))
    assert list(chain.from_iterable(shard.samples for shard in shards)) == samples
    for shard, size in zip(shards, sizes, strict=False):
        assert 0 < len(shard.samples) <= size
        assert {(item.run_id, item.day, item.hour) for item in shard.samples} == {(shard.run_id, shard.day, shard.hour)}
