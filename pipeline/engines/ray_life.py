"""Ray from run to run: started beside other work, stopped when the user comes, let go on when they have left, ended.

prepare ─▶ starting ─▶ ready ─▶ at work ─▶ ready …
              └───────────┴── quiet ─┴──▶ stopped ── prepare ─▶ asked whether all is well ─▶ ready
                                             └── not well, or for too long ─▶ ended, started anew
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from queue import Empty

import pyarrow as pa

from pipeline.dataroot import DataRoot
from pipeline.engines.ray_environment import LOCAL, end_on_sigterm
from pipeline.engines.ray_messages import Check, Done, Ended, Failed, Ready, Rows, Said, Wave
from pipeline.engines.ray_process import HAND_IN_S, RayProcess
from pipeline.engines.ray_results import describe
from pipeline.engines.ray_work import Job
from pipeline.engines.shards import Shard
from pipeline.errors import Unavailable
from pipeline.settings import Settings

STAYS_S = 300.0
"""How long the Ray of a `worker` stays while it is not used: stopped, it takes memory, but nothing of the processor."""

_WELL_S, _UP_S = 20.0, 120.0
"""How long one that was stopped may take to say that all is well, or until it is up when it was only starting, before
it is ended and another one is started."""

_ON_ITS_WAY_S = 0.02
"""How long what was handed in when all was stopped may be on its way."""

log = logging.getLogger("pipeline")


class LostToStop(Unavailable):
    """A Ray that was stopped has not got over it; another one can be started."""


class RayLife:
    """One Ray at a time, and how it is. For the run's own thread, but `quiet`, which is for the gate's."""

    def __init__(self, root: DataRoot, settings: Settings, cpus: int, address: str, stay_s: float) -> None:
        """Nothing is started yet. With `stay_s` it stays between two runs, for so long at most."""
        self._root, self._networks = root, settings.ray_networks
        self._cpus, self._address = cpus, address
        self._stay_s = stay_s
        self._while_started = ExitStack()
        self._guard = threading.Lock()
        self._driver: RayProcess | None = None
        self._ready: Ready | None = None
        self._cannot_start: Exception | None = None
        self._is_stopped = self._is_at_work = False
        self._checks = self._waves = 0
        self._began_at = self._hand_in_by = 0.0
        self.is_quiet = False
        """Whether the gate has closed since the run began."""
        self.startup_s = 0.0
        """How long it took until Ray was ready for the first shard, once it was."""

    def prepare(self) -> None:
        """Begin to start Ray, or let it go on; the caller can go on meanwhile. Errors are told by `ready`."""
        if self._driver is not None and self._driver.has_ended:
            self.end()
        with self._guard:
            if self.is_quiet:
                return
            if self._driver is None:
                self._start()
            elif self._is_stopped:
                self._go_on(self._driver)

    def ready(self) -> Ready | None:
        """Wait until Ray is ready for shards; None when the gate has closed.

        Raises Unavailable, NotInstalled, ContractInvalid.
        """
        while True:
            self.prepare()
            if self.is_quiet or self._ready is not None:
                return None if self.is_quiet else self._ready
            if self._cannot_start is not None:
                error, self._cannot_start = self._cannot_start, None
                raise error
            self._hear_how_it_is()

    def tables(self, job: Job, shards: Mapping[int, Shard]) -> Iterator[pa.Table]:
        """Have shards worked on; ends when all of them are, or a moment after the gate has closed.

        Raises LostToStop, Unavailable, ContractInvalid, and what else went wrong in the driver.
        """
        driver = self._driver
        assert driver is not None
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

    def quiet(self) -> None:
        """The gate has closed: all of Ray is stopped in a moment."""
        self._hand_in_by = time.monotonic() + HAND_IN_S + _ON_ITS_WAY_S
        self.is_quiet = True
        with self._guard:
            if self._driver is not None:
                self._stop(self._driver, soon=self._is_at_work)
                self._driver.said.put(None)

    def rest(self) -> None:
        """The run is over: end Ray and remove its files, or have it stay, stopped."""
        with self._while_started:
            if self._stay_s == 0:
                self.end()
            elif self._driver is not None:
                self._stop(self._driver, soon=False)
            self.is_quiet = False

    def end(self) -> None:
        """End Ray for good, and remove its files."""
        with self._guard:
            driver, self._driver = self._driver, None
            self._ready, self._is_stopped = None, False
        if driver is not None:
            driver.end(kindly=not self.is_quiet)

    def _start(self) -> None:
        self._while_started.enter_context(end_on_sigterm())
        self._began_at, self._checks = time.monotonic(), 0
        try:
            self._driver = RayProcess(self._root, self._cpus, self._address, self._networks, self._stay_s or STAYS_S)
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
        longest_s = _WELL_S if self._checks else _UP_S
        try:
            said = driver.said.get(timeout=longest_s if driver.was_stopped else None)
        except Empty:
            said = Ended()
        if isinstance(said, Ready) and said.answers == self._checks:
            self._ready = said
            self._say_ready()
        elif isinstance(said, Failed | Ended):
            self.end()
            if not driver.was_stopped:
                raise _error(said)
            log.info("Ray did not get over its stop, and is started anew")

    def _say_ready(self) -> None:
        self.startup_s = time.monotonic() - self._began_at
        how = "goes on" if self._checks else "joined" if self._address else "started"
        log.info("Ray %s after %.1f s", how, self.startup_s)

    def _hear(self, driver: RayProcess) -> Said | None:
        """The next word of the driver at work; None when the gate has closed and there is no more to come.

        Raises what went wrong.
        """
        while True:
            left_s = max(0.0, self._hand_in_by - time.monotonic()) if self.is_quiet else None
            try:
                said = driver.said.get(timeout=left_s)
            except Empty:
                return None
            if isinstance(said, Failed | Ended):
                self.end()
                if self.is_quiet:
                    return None
                error = _error(said)
                if driver.was_stopped and isinstance(error, Unavailable):
                    raise LostToStop(error.message, remedy=error.remedy)
                raise error
            if said is not None:
                return said


def _error(said: Failed | Ended) -> Exception:
    return said.error if isinstance(said, Failed) else lost()


def lost() -> Unavailable:
    """The error for a Ray that is gone, or gave no result."""
    return Unavailable("Ray lost its processes", remedy=LOCAL)
