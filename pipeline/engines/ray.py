"""The Ray engine: the same work on the same shards, side by side in processes of Ray Data.

The driver hands out descriptors of shards and gets Arrow tables back; it is the only one that writes. Each worker
process opens the evidence read-only, asks the gate itself before every request, and stops when the driver is gone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import pyarrow as pa

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.ray_session import LOCAL, RaySession, import_ray
from pipeline.engines.ray_work import Job, describe, process_start, read_results, work_descriptors
from pipeline.engines.shards import Shard, ShardResult, TextModel, nothing_done
from pipeline.errors import Unavailable
from pipeline.gate import Gate, GateTerms
from pipeline.settings import Settings

FIRST_WAVE, LARGEST_WAVE = 4, 64
"""Shards handed to Ray at once. Few at first: their time decides how large the next ones are."""

MOST_WORKERS = 4
CPUS_OF_A_WORKER = 0.25
"""A fraction, so that workers and Ray's own tasks never wait for one another; mostly they wait for models anyway."""

_ASK_EVERY_S = 0.25
_HAND_IN_S = 5.0
"""How long workers may take to hand in what they had finished when the gate closed."""


class RayEngine:
    """Runs shards in worker processes of Ray; starts Ray when there is work, and ends it in `close`."""

    name = "ray"

    def __init__(self, root: DataRoot, settings: Settings, terms: GateTerms, cpus: int, address: str = "") -> None:
        """Nothing is started yet. `cpus` is for a Ray of our own; one at an `address` has its own."""
        self._root = root
        self._settings = settings
        self._terms = terms
        self._gate = Gate(root.activity_signal, **terms)
        self._cpus = cpus
        self._address = address
        self._workers = min(MOST_WORKERS, max(2, cpus))
        self._session: RaySession | None = None
        self.startup_s = 0.0
        """How long it took to start Ray, once it was."""

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: TextModel | None, code_version: str
    ) -> Iterator[ShardResult]:
        """Yield the results of shards in any order, wave by wave.

        Raises Unavailable when Ray loses its processes, ContractInvalid when it listens elsewhere than on loopback.
        """
        job = self._job(stage, model, code_version)
        left, size = iter(shards), FIRST_WAVE
        while wave := list(islice(left, size)):
            session = self._started()
            yield from self._work(job, wave)
            session.require_loopback_only()
            size = min(size * 4, LARGEST_WAVE)

    def close(self) -> None:
        """End Ray and remove its files."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _started(self) -> RaySession:
        if self._session is None:
            self._session = RaySession(self._root, self._cpus, self._address)
            self.startup_s = self._session.startup_s
        return self._session

    def _job(self, stage: Stage, model: TextModel | None, code_version: str) -> Job:
        if model is not None and model.server is None:
            raise Unavailable("the Ray engine needs a model that other processes can reach", remedy=LOCAL)
        return Job(
            job_id=uuid4().hex,
            data_root=self._root.path,
            settings=self._settings,
            gate=self._terms,
            stage=stage,
            server=model.server if model else None,
            code_version=code_version,
            concurrency=max(1, self._settings.request_concurrency // self._workers),
            driver=os.getpid(),
            driver_started=process_start(os.getpid()),
        )

    def _work(self, job: Job, wave: list[Shard]) -> Iterator[ShardResult]:
        """Yield a result for every shard of a wave; an empty one for what was not handed in after the gate closed."""
        outstanding = dict(enumerate(wave))
        tables: SimpleQueue[pa.Table | Exception] = SimpleQueue()
        threading.Thread(target=_collect, args=(job, wave, self._workers, tables), name="ray-data", daemon=True).start()
        closed_at: float | None = None
        while outstanding:
            try:
                table = tables.get(timeout=_ASK_EVERY_S)
            except Empty:
                if closed_at is None and not self._gate.ask().open:
                    closed_at = time.monotonic()
                if closed_at is not None and time.monotonic() - closed_at > _HAND_IN_S:
                    yield from (nothing_done(job.stage, shard) for shard in outstanding.values())
                    return
                continue
            if isinstance(table, Exception):
                raise _explain(table)
            for index, result in read_results(table, wave):
                if outstanding.pop(index, None) is not None:
                    yield result


def _collect(job: Job, wave: list[Shard], workers: int, tables: SimpleQueue[pa.Table | Exception]) -> None:
    """Run a wave as a Ray Data job; in a thread of its own, so that the driver can look at the gate meanwhile."""
    try:
        for table in _dataset(job, wave, workers).iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=1
        ):
            tables.put(table)
        tables.put(LookupError("Ray ended without a result for every shard"))
    except Exception as error:  # noqa: BLE001 raised again in the driver's own thread
        tables.put(error)


def _dataset(job: Job, wave: list[Shard], workers: int) -> Any:
    ray = import_ray()
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.print_on_execution_start = False
    descriptors = [describe(index, shard) for index, shard in enumerate(wave)]
    return ray.data.from_items(descriptors, override_num_blocks=len(wave)).map_batches(
        work_descriptors,
        fn_kwargs={"job": job},
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=CPUS_OF_A_WORKER,
        compute=ray.data.TaskPoolStrategy(size=min(workers, len(wave))),
    )


def _explain(error: Exception) -> Exception:
    """A worker or a node that Ray lost is no bug of ours; what a worker raised is."""
    ray = import_ray()
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError, ray.exceptions.RaySystemError, LookupError)  # fmt: skip
    if isinstance(error, lost):
        return Unavailable(f"Ray lost its processes: {type(error).__name__}", remedy=LOCAL)
    return error
