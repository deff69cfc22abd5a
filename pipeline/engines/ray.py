"""The Ray engine: the same work on the same shards, side by side in processes of Ray Data.

A driver, a process of its own, holds Ray (`ray_driver.py`). The run hands it descriptors of shards and gets Arrow
tables back; the run is the only one that writes. Each worker process opens the evidence read-only, asks the gate before
every request, and stops when the run is gone. On another node of a cluster it goes by the run's word instead, and asks
a model server of that node (`ray_node.py`).
Stages without a model are worked on in the run, while Ray starts: what they do takes less time than its way there.

When the user comes, Ray is stopped where it stands, starting or started; a `worker` has it go on when they leave.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from uuid import uuid4

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.driver_word import DriverWord
from pipeline.engines.local import LocalEngine
from pipeline.engines.ray_environment import LOCAL
from pipeline.engines.ray_folder import make_folder
from pipeline.engines.ray_life import LostToStop, RayLife, lost
from pipeline.engines.ray_messages import Ready
from pipeline.engines.ray_node import here
from pipeline.engines.ray_results import read_results
from pipeline.engines.ray_work import Job, process_start
from pipeline.engines.shards import Model, ScreenModel, Shard, ShardResult, nothing_done
from pipeline.errors import Unavailable
from pipeline.gate import GateTerms
from pipeline.settings import Settings

FIRST_WAVE, LARGEST_WAVE = 4, 64
"""Shards handed to Ray at once. Few at first: their time decides how large the next ones are."""

log = logging.getLogger("pipeline")


class RayEngine:
    """Runs the shards of model stages in worker processes of Ray, which it starts, and ends in `close`."""

    name = "ray"

    def __init__(
        self, root: DataRoot, settings: Settings, terms: GateTerms, cpus: int, address: str = "", stay_s: float = 0.0
    ) -> None:
        """Nothing is started yet. `cpus` is for a Ray of our own; one at an `address` has its own.

        With `stay_s` it stays between two runs, for so long at most, and `end` ends it.
        """
        self._root = root
        self._settings = settings
        self._terms = terms
        self._is_joined = bool(address)
        self._ray = RayLife(root, settings, cpus, address, stay_s)
        self._local = LocalEngine(root)
        self._wanted: Path | None = None
        self._word: DriverWord | None = None
        self._by_node: Counter[str] = Counter()

    @property
    def startup_s(self) -> float:
        """How long it took until Ray was ready for the first shard, once it was."""
        return self._ray.startup_s

    def prepare(self) -> None:
        """Begin to start Ray and its workers; the caller can go on meanwhile. Errors are told by `ready`."""
        self._ray.prepare()

    def ready(self) -> Ready | None:
        """Wait until Ray is ready for the first shard; None when the gate has closed.

        Raises Unavailable, NotInstalled, ContractInvalid.
        """
        return self._ray.ready()

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: Model | None, code_version: str
    ) -> Iterator[ShardResult]:
        """Yield the results of shards, those of a model stage in any order, wave by wave.

        Raises Unavailable when Ray loses its processes, ContractInvalid when it listens elsewhere than on loopback.
        """
        if model is None:
            yield from self._local.run(stage, shards, model, code_version)
            return
        self._require_reachable(model)
        left, size = iter(shards), FIRST_WAVE
        job: Job | None = None
        try:
            while wave := list(islice(left, size)):
                ray = self._ray.ready()
                if ray is None:
                    yield from (nothing_done(stage, shard) for shard in wave)
                    return
                job = job or self._job(ray, stage, model, code_version)
                yield from self._work(job, wave)
                size = min(size * 4, LARGEST_WAVE)
        finally:
            self._end_work()

    def quiet(self) -> None:
        """The gate has closed: all of Ray is stopped in a moment. For the gate's thread."""
        if (word := self._word) is not None:
            word.close()
        self._ray.quiet()

    def close(self) -> None:
        """The run is over: end Ray and remove its files, or have it stay."""
        try:
            self._end_work()
        finally:
            self._ray.rest()

    def end(self) -> None:
        """End Ray for good, and remove its files."""
        self._ray.end()

    def _require_reachable(self, model: Model) -> None:
        if model.server is None:
            raise Unavailable("the Ray engine needs a model that other processes can reach", remedy=LOCAL)

    def _job(self, ray: Ready, stage: Stage, model: Model, code_version: str) -> Job:
        at_once = (
            self._settings.vlm_concurrency if isinstance(model, ScreenModel) else self._settings.request_concurrency
        )
        self._wanted = make_folder(self._root)
        if self._is_joined:
            self._word = DriverWord(self._wanted)
        return Job(
            job_id=uuid4().hex,
            wanted=self._wanted,
            data_root=self._root.path,
            settings=Settings.model_construct(**dict(self._settings)),  # of a class that others find
            gate=self._terms,
            stage=stage,
            server=model.server,
            server_on_node=model.on_node,
            code_version=code_version,
            concurrency=max(1, at_once // ray.workers_of_a_node),
            driver=os.getpid(),
            driver_started=process_start(os.getpid()),
            place=here(),
            node=ray.node,
        )

    def _end_work(self) -> None:
        """Have the workers stop, also early."""
        if self._word is not None:
            self._word.remove()
            self._word = None
        if self._wanted is not None:
            with suppress(FileNotFoundError):
                self._wanted.rmdir()
            self._wanted = None
        if len(self._by_node) > 1:
            done = ", ".join(f"{number} on {node}" for node, number in sorted(self._by_node.items()))
            log.info("Ray: samples were worked on by nodes: %s", done)
        self._by_node.clear()

    def _work(self, job: Job, wave: list[Shard]) -> Iterator[ShardResult]:
        """Yield a result for every shard of a wave; an empty one for what was not handed in after the gate closed."""
        outstanding = dict(enumerate(wave))
        while outstanding:
            try:
                for table in self._ray.tables(job, outstanding):
                    for index, node, result in read_results(table, wave):
                        if outstanding.pop(index, None) is not None:
                            self._by_node[node] += len(result.batch.results)
                            yield result
                break
            except LostToStop as error:
                log.info("%s after a stop, and is started anew", error.message)
                if self._ray.ready() is None:
                    break
        if outstanding and not self._ray.is_quiet:
            raise lost()
        yield from (nothing_done(job.stage, shard) for shard in outstanding.values())
