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
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from queue import Empty
from uuid import uuid4

import pyarrow as pa

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.driver_word import DriverWord
from pipeline.engines.local import LocalEngine
from pipeline.engines.ray_environment import LOCAL, end_on_sigterm
from pipeline.engines.ray_folder import make_folder
from pipeline.engines.ray_messages import Check, Done, Ended, Failed, Ready, Rows, Said, Wave
from pipeline.engines.ray_node import here
from pipeline.engines.ray_process import HAND_IN_S, RayProcess
from pipeline.engines.ray_results import describe, read_results
from pipeline.engines.ray_work import Job, process_start
from pipeline.engines.shards import Model, ScreenModel, Shard, ShardResult, nothing_done
from pipeline.errors import Unavailable
from pipeline.gate import GateTerms
from pipeline.settings import Settings

FIRST_WAVE, LARGEST_WAVE = 4, 64
"""Shards handed to Ray at once. Few at first: their time decides how large the next ones are."""

STAYS_S = 300.0
"""How long the Ray of a `worker` stays while it is not used: stopped, it takes memory, but nothing of the processor."""

_WELL_S, _UP_S = 20.0, 120.0
"""How long one that was stopped may take to say that all is well, or until it is up when it was only starting, before
it is ended and another one is started."""

_ON_ITS_WAY_S = 0.02
"""How long what was handed in when all was stopped may be on its way."""

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
        self._cpus = cpus
        self._address = address
        self._stay_s = stay_s
        self._local = LocalEngine(root)
        self._while_started = ExitStack()
        self._guard = threading.Lock()
        self._driver: RayProcess | None = None
        self._ready: Ready | None = None
        self._cannot_start: Exception | None = None
        self._is_stopped = self._is_quiet = self._is_at_work = False
        self._checks = self._waves = 0
        self._began_at = self._hand_in_by = 0.0
        self._wanted: Path | None = None
        self._word: DriverWord | None = None
        self._by_node: Counter[str] = Counter()
        self.startup_s = 0.0
        """How long it took until Ray was ready for the first shard, once it was."""

    def prepare(self) -> None:
        """Begin to start Ray and its workers; the caller can go on meanwhile. Errors are told by `ready`."""
        if self._driver is not None and self._driver.has_ended:
            self.end()
        with self._guard:
            if self._is_quiet:
                return
            if self._driver is None:
                self._start()
            elif self._is_stopped:
                self._go_on(self._driver)

    def ready(self) -> Ready | None:
        """Wait until Ray is ready for the first shard; None when the gate has closed.

        Raises Unavailable, NotInstalled, ContractInvalid.
        """
        while True:
            self.prepare()
            if self._is_quiet or self._ready is not None:
                return None if self._is_quiet else self._ready
            if self._cannot_start is not None:
                error, self._cannot_start = self._cannot_start, None
                raise error
            self._hear_how_it_is()

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
                ray = self.ready()
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
        self._hand_in_by = time.monotonic() + HAND_IN_S + _ON_ITS_WAY_S
        self._is_quiet = True
        if (word := self._word) is not None:
            word.close()
        with self._guard:
            if self._driver is not None:
                self._stop(self._driver, soon=self._is_at_work)
                self._driver.said.put(None)

    def close(self) -> None:
        """The run is over: end Ray and remove its files, or have it stay."""
        with self._while_started:
            self._end_work()
            if self._stay_s == 0:
                self.end()
            elif self._driver is not None:
                self._stop(self._driver, soon=False)
            self._is_quiet = False

    def end(self) -> None:
        """End Ray for good, and remove its files."""
        with self._guard:
            driver, self._driver = self._driver, None
            self._ready, self._is_stopped = None, False
        if driver is not None:
            driver.end(kindly=not self._is_quiet)

    def _start(self) -> None:
        self._while_started.enter_context(end_on_sigterm())
        self._began_at, self._checks = time.monotonic(), 0
        networks, stay_s = self._settings.ray_networks, self._stay_s or STAYS_S
        try:
            self._driver = RayProcess(self._root, self._cpus, self._address, networks, stay_s)
        except (OSError, Unavailable) as error:
            self._cannot_start = error

    def _stop(self, driver: RayProcess, *, soon: bool) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            driver.stop(soon=soon)

    def _go_on(self, driver: RayProcess) -> None:
        """Have it go on; whether it can is asked once it has been ready."""
        self._is_stopped = False
        self._began_at = time.monotonic()
        driver.go_on()
        if self._ready is not None:
            self._ready = None
            self._checks += 1
            driver.ask(Check(self._checks))

    def _hear_how_it_is(self) -> None:
        """Wait for a word of the driver that is not ready yet. One that does not get over a stop is ended.

        Raises what keeps it from becoming ready.
        """
        driver = self._driver
        assert driver is not None
        try:
            longest_s = _WELL_S if self._checks else _UP_S
            said = driver.said.get(timeout=longest_s if driver.was_stopped else None)
        except Empty:
            said = Ended()
        if isinstance(said, Ready) and said.answers == self._checks:
            self._ready = said
            self._say_ready()
        elif isinstance(said, Failed | Ended):
            self.end()
            if not driver.was_stopped:
                raise said.error if isinstance(said, Failed) else _lost()
            log.info("Ray did not get over its stop, and is started anew")

    def _say_ready(self) -> None:
        self.startup_s = time.monotonic() - self._began_at
        how = "goes on" if self._checks else "joined" if self._address else "started"
        log.info("Ray %s after %.1f s", how, self.startup_s)

    def _require_reachable(self, model: Model) -> None:
        if model.server is None:
            raise Unavailable("the Ray engine needs a model that other processes can reach", remedy=LOCAL)

    def _job(self, ray: Ready, stage: Stage, model: Model, code_version: str) -> Job:
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
            driver = self._driver
            assert driver is not None
            try:
                for table in self._tables(driver, job, outstanding):
                    for index, node, result in read_results(table, wave):
                        if outstanding.pop(index, None) is not None:
                            self._by_node[node] += len(result.batch.results)
                            yield result
                break
            except Unavailable:
                if self._driver is driver or not driver.was_stopped:
                    raise
                log.info("Ray did not get over its stop, and is started anew")
                if self.ready() is None:
                    break
        if outstanding and not self._is_quiet:
            raise _lost()
        yield from (nothing_done(job.stage, shard) for shard in outstanding.values())

    def _tables(self, driver: RayProcess, job: Job, shards: Mapping[int, Shard]) -> Iterator[pa.Table]:
        """Have shards worked on; ends when all of them are, or a moment after the gate has closed."""
        self._waves += 1
        number = self._waves
        self._is_at_work = True
        driver.ask(Wave(number, job, [describe(index, shard) for index, shard in shards.items()]))
        try:
            while True:
                said = self._hear(driver)
                if said is None or said == Done(number):
                    return
                if isinstance(said, Rows) and said.wave == number:
                    yield pa.ipc.open_stream(said.stream).read_all()
        finally:
            self._is_at_work = False

    def _hear(self, driver: RayProcess) -> Said | None:
        """The next word of the driver; None when the gate has closed and there is no more to come.

        Raises what went wrong.
        """
        while True:
            left_s = max(0.0, self._hand_in_by - time.monotonic()) if self._is_quiet else None
            try:
                said = driver.said.get(timeout=left_s)
            except Empty:
                return None
            if isinstance(said, Failed | Ended):
                self.end()
                if self._is_quiet:
                    return None
                raise said.error if isinstance(said, Failed) else _lost()
            if said is not None:
                return said


def _lost() -> Unavailable:
    return Unavailable("Ray lost its processes", remedy=LOCAL)
