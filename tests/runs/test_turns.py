"""In which order pending samples go: newest day first, and a share for the oldest that no run forgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.dataroot import DataRoot
from pipeline.runs.sizing import up_to
from pipeline.runs.turns import Turns
from pipeline.stores.catalog import DONE, Catalog, Outcome, Sample
from pipeline.stores.pending import pending

DAYS = [f"2026-03-0{day}" for day in range(1, 7)]


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """Six days of ten samples each, nothing done."""
    root = DataRoot(tmp_path / "root").create()
    with Catalog(root) as catalog:
        catalog.add_samples([Sample(f"r/{day}/{n}", "frame", "r", n, day, "10") for day in DAYS for n in range(10)])
    return root


def work(root: DataRoot, share: float, samples: int, size: int = 2) -> list[str]:
    """One run that comes to so many samples: on which day each was."""
    with Catalog(root) as catalog:
        turns = Turns(catalog, "ocr", share)
        waiting = pending(catalog, "ocr", "frame", None, 0)
        days = []
        for shard in up_to(turns.shards(waiting, lambda: size), samples):
            catalog.record_outcomes("ocr", [Outcome(sample, DONE, "f") for sample in shard.samples])
            turns.finished(shard, len(shard.samples))
            days += [sample.day for sample in shard.samples]
        turns.remember()
        return days


def test_the_newest_day_comes_first(root: DataRoot) -> None:
    assert work(root, 0.0, 60) == [day for day in reversed(DAYS) for _ in range(10)]


def test_the_oldest_day_gets_its_share_of_the_work(root: DataRoot) -> None:
    days = work(root, 0.2, 20)
    assert days[:4] == [DAYS[5], DAYS[5], DAYS[0], DAYS[0]]
    assert days.count(DAYS[0]) == 4
    assert days.count(DAYS[5]) == 10


def test_runs_that_come_to_one_shard_only_do_not_forget_the_oldest_day(root: DataRoot) -> None:
    days = [day for _ in range(10) for day in work(root, 0.2, 2)]
    assert days.count(DAYS[0]) == 4


def test_everything_is_taken_once_whatever_the_share(root: DataRoot) -> None:
    days = work(root, 0.5, 100, size=3)
    assert sorted(days) == [day for day in DAYS for _ in range(10)]
    assert work(root, 0.5, 100) == []


def test_with_one_day_that_waits_there_are_no_turns(root: DataRoot) -> None:
    work(root, 0.0, 50)
    assert work(root, 1.0, 4) == [DAYS[0]] * 4


def test_a_limit_holds_over_shards(root: DataRoot) -> None:
    assert len(work(root, 0.2, 7, size=4)) == 7


def test_what_is_not_to_be_kept_is_left_out(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        turns = Turns(catalog, "ocr", 0.2)
        waiting = pending(catalog, "ocr", "frame", None, 0)
        kept = turns.shards(waiting, lambda: 4, lambda sample: sample.sample_id.endswith("/3"))
        assert sorted(sample.sample_id for shard in kept for sample in shard.samples) == [f"r/{d}/3" for d in DAYS]


def test_the_next_shard_is_planned_without_looking_at_all_days(root: DataRoot) -> None:
    read: list[str] = []
    with Catalog(root) as catalog:
        waiting = pending(catalog, "ocr", "frame", None, 0)
        load = waiting.load
        waiting.load = lambda day: read.append(day[1]) or load(day)  # type: ignore[func-returns-value]
        shards = Turns(catalog, "ocr", 0.2).shards(waiting, lambda: 4)
        next(shards)
        assert read == [DAYS[5], DAYS[4]]  # the one after it, to see where its last hour ends
        next(shards)
        assert read == [DAYS[5], DAYS[4], DAYS[0], DAYS[1]]
