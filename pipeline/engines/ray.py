"""The Ray engine: the same work on the same shards, side by side in processes of Ray Data.

The driver hands out descriptors of shards and gets Arrow tables back; it is the only one that writes. Each worker
process opens the evidence read-only, asks the gate before every request, and stops when the driver is gone. On another
node of a cluster it goes by the driver's word instead, and asks a model server of that node (`ray_node.py`).
Stages without a model are worked on in the driver, while Ray starts: what they do takes less time than its way there.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from uuid import uuid4

import pyarrow as pa

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.driver_word import DriverWord
from pipeline.engines.local import LocalEngine
from pipeline.engines.ray_environment import LOCAL, end_on_sigterm, ray_environment
from pipeline.engines.ray_folder import make_folder
from pipeline.engines.ray_jobs import collect, explain, warm_up
from pipeline.engines.ray_node import here
from pipeline.engines.ray_results import read_results
from pipeline.engines.ray_session import RaySession
from pipeline.engines.ray_work import Job, process_start
from pipeline.engines.shards import Model, ScreenModel, Shard, ShardResult, nothing_done
from pipeline.errors import Unavailable
from pipeline.gate import Gate, GateTerms
from pipeline.settings import Settings

FIRST_WAVE, LARGEST_WAVE = 4, 64
"""Shards handed to Ray at once. Few at first: their time decides how large the next ones are."""

_HAND_IN_S = 5.0
"""How long workers may take to hand in what they had finished when the gate closed, or to end when nobody wants it."""

log = logging.getLogger("pipeline")


class RayEngine:
    """Runs the shards of model stages in worker processes of Ray, which it starts, and ends in `close`."""

    name = "ray"

    def __init__(self, root: DataRoot, settings: Settings, terms: GateTerms, cpus: int, address: str = "") -> None:
        """Nothing is started yet. `cpus` is for a Ray of our own; one at an `address` has its own."""
        self._root = root
        self._settings = settings
        self._terms = terms
        self._gate = Gate(root.activity_signal, **terms)
        self._cpus = cpus
        self._address = address
        self._local = LocalEngine(root)
        self._starting: Future[RaySession] | None = None
        self._while_started = ExitStack()
        self._wanted: Path | None = None
        self._word: DriverWord | None = None
        self._by_node: Counter[str] = Counter()
        self._collecting: threading.Thread | None = None
        self.startup_s = 0.0
        """How long it took until Ray was ready for the first shard, once it was."""

    def prepare(self) -> None:
        """Begin to start Ray and its workers; the caller can go on meanwhile. Errors are told by `ready`."""
        if self._starting is None:
            self._while_started.enter_context(ray_environment(own=not self._address))
            self._while_started.enter_context(end_on_sigterm())
            thread = self._while_started.enter_context(ThreadPoolExecutor(1, thread_name_prefix="ray-start"))
            self._starting = thread.submit(self._start)  # not a thread that ends before: Ray's processes end with it

    def ready(self) -> RaySession:
        """Wait until Ray is ready for the first shard. Raises Unavailable, NotInstalled, ContractInvalid."""
        self.prepare()
        assert self._starting is not None
        return self._starting.result()

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
                session = self.ready()
                job = job or self._job(session, stage, model, code_version)
                yield from self._work(session, job, wave)
                session.require_allowed()
                size = min(size * 4, LARGEST_WAVE)
        finally:
            self._end_work()

    def close(self) -> None:
        """End Ray and remove its files."""
        starting, self._starting = self._starting, None
        with self._while_started:
            self._end_work()
            if starting is not None and starting.exception() is None:  # what failed has cleaned up after itself
                starting.result().close()

    def _start(self) -> RaySession:
        started = time.monotonic()
        session = RaySession(self._root, self._cpus, self._address, self._settings.ray_networks)
        try:
            warm_up(session.workers)
        except Exception as error:  # noqa: BLE001 told by `ready`
            session.close()
            raise explain(error) from None
        self.startup_s = time.monotonic() - started
        log.info("Ray %s after %.1f s", "joined" if self._address else "started", self.startup_s)
        return session

    def _require_reachable(self, model: Model) -> None:
        if model.server is None:
            raise Unavailable("the Ray engine needs a model that other processes can reach", remedy=LOCAL)

    def _job(self, session: RaySession, stage: Stage, model: Model, code_version: str) -> Job:
        at_once = (
            self._settings.vlm_concurrency if isinstance(model, ScreenModel) else self._settings.request_concurrency
        )
        self._wanted = make_folder(self._root)
        if self._address:
            self._word = DriverWord(self._wanted)
        return Job(
            job_id=uuid4().hex,
            wanted=self._wanted,
            data_root=self._root.path,
            settings=self._settings,
            gate=self._terms,
            stage=stage,
            server=model.server,
            server_on_node=model.on_node,
            code_version=code_version,
            concurrency=max(1, at_once // session.workers_of_a_node),
            driver=os.getpid(),
            driver_started=process_start(os.getpid()),
            place=here(),
            node=session.node,
        )

    def _end_work(self) -> None:
        """Have the workers stop, also early, and wait for the thread that waits for them: Ray is not ended under it."""
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
        if self._collecting is not None:
            self._collecting.join(_HAND_IN_S)
            self._collecting = None

    def _work(self, session: RaySession, job: Job, wave: list[Shard]) -> Iterator[ShardResult]:
        """Yield a result for every shard of a wave; an empty one for what was not handed in after the gate closed."""
        outstanding = dict(enumerate(wave))
        tables: SimpleQueue[pa.Table | Exception | None] = SimpleQueue()
        given = (job, wave, session.workers, tables)
        self._collecting = threading.Thread(target=collect, args=given, name="ray-data", daemon=True)
        self._collecting.start()
        hand_in_by: float | None = None
        word = self._word

        def closed() -> None:
            tables.put(None)
            if word is not None:
                word.close()

        with self._gate.tell(closed):
            while outstanding:
                try:
                    table = tables.get(timeout=None if hand_in_by is None else max(0.0, hand_in_by - time.monotonic()))
                except Empty:
                    yield from (nothing_done(job.stage, shard) for shard in outstanding.values())
                    return
                if table is None:
                    hand_in_by = time.monotonic() + _HAND_IN_S
                    continue
                if isinstance(table, Exception):
                    raise explain(table)
                for index, node, result in read_results(table, wave):
                    if outstanding.pop(index, None) is not None:
                        self._by_node[node] += len(result.batch.results)
                        yield result
