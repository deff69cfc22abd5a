"""The local engine: shards one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import Model, Shard, ShardResult, work_shard
from pipeline.stores.evidence import EvidenceStore


class LocalEngine:
    """Runs shards in order; a model's requests within a shard run side by side."""

    name = "local"

    def __init__(self, root: DataRoot) -> None:
        self._root = root

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: Model | None, code_version: str
    ) -> Iterator[ShardResult]:
        """Yield the result of each shard as it is finished; the next one starts when it is asked for."""
        with EvidenceStore(self._root) as evidence:
            for shard in shards:
                yield work_shard(stage, shard, evidence, model, code_version)

    def quiet(self) -> None:
        """What works is in this process, and ends by itself."""

    def close(self) -> None:
        """Nothing is left open between two calls of `run`."""

    def end(self) -> None:
        """Nothing was started."""
