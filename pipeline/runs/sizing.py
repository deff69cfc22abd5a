"""How many samples go into a shard: large enough that rewriting an hour's file is rare, small enough to lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from pipeline.dag import Stage
from pipeline.engines.shards import Shard
from pipeline.stores.catalog import Sample

LARGEST_SHARD = 4_096
MOST_GROWTH = 4
"""How many times larger than the shard before the next one may be: one that failed at once says little."""


class ShardSizer:
    """Aims at shards of a given work by what the ones before took; a fixed number of samples when one is set."""

    def __init__(self, stage: Stage, shard_frames: int, shard_seconds: float) -> None:
        self._fixed = shard_frames
        self._aim_s = shard_seconds
        self._seconds_each = stage.seconds_each

    def measured(self, samples: int, elapsed_s: float) -> None:
        """Learn from a shard that was worked on."""
        if samples:
            self._seconds_each = max(elapsed_s / samples, self._seconds_each / MOST_GROWTH, 1e-6)

    def size(self) -> int:
        """How many samples the next shard should hold."""
        return self._fixed or max(1, min(LARGEST_SHARD, int(self._aim_s / self._seconds_each)))


def cut_shards(samples: Iterable[Sample], size: Callable[[], int]) -> Iterator[Shard]:
    """Cut pending samples, which come in order of (day, run, hour, time), into shards of one hour each."""
    for (run_id, day, hour), group in groupby(samples, key=lambda item: (item.run_id, item.day, item.hour)):
        hour_samples = list(group)
        while hour_samples:
            count = size()
            yield Shard(run_id, day, hour, tuple(hour_samples[:count]))
            hour_samples = hour_samples[count:]


def one_each() -> int:
    """The size of shards of samples that are to be read alone."""
    return 1


def up_to(shards: Iterator[Shard], most: int | None) -> Iterator[Shard]:
    """Shards of at most so many samples in all."""
    while most is None or most > 0:
        shard = next(shards, None)
        if shard is None:
            return
        if most is not None:
            shard = replace(shard, samples=shard.samples[:most])
            most -= len(shard.samples)
        yield shard
