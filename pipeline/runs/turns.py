"""In which order pending samples go to a model: the newest day first, and a share of the work for the oldest one.

    days  03-06 ◀─ newest, most turns          the rest between them          oldest, every fifth turn ─▶ 03-01

Without the share, a backlog would wait for as long as anything new comes in. Whose turn it is, is remembered from run
to run: many short runs would else all begin with the newest day and never come to the oldest one. The order shows in no
row `[row-1]`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from pipeline.engines.shards import Shard
from pipeline.runs.sizing import cut_shards
from pipeline.stores.catalog import Catalog, Sample
from pipeline.stores.pending import Day, Pending

_REMEMBERED = 20_000
"""Samples after which what was done earlier counts half."""


class Turns:
    """Hands out shards from both ends of what is pending, and remembers how much of the oldest end was done."""

    def __init__(self, catalog: Catalog, stage: str, oldest_share: float) -> None:
        self._catalog, self._mark, self._share = catalog, f"turns_{stage}", oldest_share
        oldest, both = (int(part) for part in (catalog.mark(self._mark) or "0 0").split())
        self._given = [oldest, both]
        self._done = [oldest, both]
        self._of_oldest: set[tuple[Day, str]] = set()
        self._of_both: set[tuple[Day, str]] = set()

    def shards(
        self, pending: Pending, size: Callable[[], int], keep: Callable[[Sample], bool] = lambda _: True
    ) -> Iterator[Shard]:
        """Cut what is pending into shards, taking turns; what is not to `keep` is left out."""
        days = deque(pending.days)

        def samples(next_day: Callable[[], Day]) -> Iterator[Sample]:
            while days:
                yield from filter(keep, pending.load(next_day()))

        newest, oldest = cut_shards(samples(days.popleft), size), cut_shards(samples(days.pop), size)
        while True:
            from_oldest = bool(days) and self._is_turn_of_oldest()
            ends = (oldest, newest) if from_oldest else (newest, oldest)
            shard = next((found for end in ends for found in islice(end, 1)), None)
            if shard is None:
                return
            if days:
                self._gave(shard, from_oldest=from_oldest)
            yield shard

    def finished(self, shard: Shard, samples: int) -> None:
        """Note how much of a shard was done."""
        key = (shard.run_id, shard.day), shard.hour
        self._done[0] += samples if key in self._of_oldest else 0
        self._done[1] += samples if key in self._of_both else 0

    def remember(self) -> None:
        """Leave for the next run whose turn it is."""
        oldest, both = self._done
        while both > _REMEMBERED:
            oldest, both = oldest // 2, both // 2
        text = f"{oldest} {both}"
        if self._catalog.mark(self._mark) != text and both:
            with self._catalog.transaction():
                self._catalog.set_mark(self._mark, text)

    def _is_turn_of_oldest(self) -> bool:
        oldest, both = self._given
        return self._share > 0 and oldest < self._share * both

    def _gave(self, shard: Shard, *, from_oldest: bool) -> None:
        key, samples = ((shard.run_id, shard.day), shard.hour), len(shard.samples)
        self._of_both.add(key)
        self._given[1] += samples
        if from_oldest:
            self._of_oldest.add(key)
            self._given[0] += samples
