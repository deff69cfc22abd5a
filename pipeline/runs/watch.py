"""What stands around a run and never changes what it does: its part of the machine, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.budget.hold import Budget
from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked
from pipeline.gate import Gate, GateTerms
from pipeline.runs.hypervisor import Output, ReadyFile, hypervisor_run_id
from pipeline.runs.live import remove_live, write_live
from pipeline.runs.metrics import serve_metrics
from pipeline.runs.progress import ProgressReport
from pipeline.runs.servers import own_servers
from pipeline.runs.telemetry import Telemetry
from pipeline.settings import Settings
from pipeline.stores.atomic import make_directories
from pipeline.stores.journal import Journal

if TYPE_CHECKING:
    from pipeline.runs.work import Work

PUBLISH_EVERY_S = 2.0
_TICK_EVERY_S = 1.0
_EVENTS = "system.run"


class Watch:
    """What the run loop tells: first that it has the DataRoot to itself, then with what it works. This one is deaf."""

    def held(self) -> AbstractContextManager[object]:
        """Around all that a run does, with the run lock held."""
        return nullcontext()

    def around(self, work: Work) -> AbstractContextManager[object]:  # noqa: ARG002
        """Around the work itself, within the manifest."""
        return nullcontext()

    def preempted(self) -> None:
        """The gate has closed: on return nobody is stopped or woken by us. From any thread."""

    def waiting_since(self, ts_us: int) -> None:
        """The oldest sample that a stage is to take was captured then, in microseconds since 1970."""

    def require_room(self) -> None:
        """Raises Unavailable when the run takes more memory than it may."""


NOBODY_WATCHES = Watch()


class RunWatch(Watch):
    """Holds each run of a command to its budget, and tells what it does: in a file, as metrics, in the audit journal.

    A context manager around the command. `progress` is what runs are to report to.
    """

    def __init__(
        self, root: DataRoot, settings: Settings, terms: GateTerms, shown: ProgressReport, *, command: str = "run",
        ready_file: Path | None = None, metrics_port: int | None = None,
    ) -> None:  # fmt: skip
        """Raises UsageError for a limit or a name in the environment that is none."""
        self._root, self._settings = root, settings
        self._output = Output(root, command)
        self._ready = ReadyFile(ready_file)
        self._port = metrics_port if metrics_port is not None else settings.metrics_port or None
        self._gate = Gate(root.activity_signal, **terms)
        self._samples: dict[str, Any] = {}
        self._stack = ExitStack()
        self._said: str | None = None
        self.progress = Telemetry(shown, self._gate.ask)
        self.budget = self._new_budget()

    def __enter__(self) -> RunWatch:
        """Raises Unavailable when the port for metrics cannot be had."""
        self._stack.enter_context(self._output)
        self._stack.callback(self._ready.remove)
        if self._port is not None:
            self._stack.enter_context(serve_metrics(self._port, self._snapshot))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def ready(self) -> None:
        """All is set up; a command that waits for the user to leave says so itself, a run by having begun."""
        self._ready.write(self._root)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.budget = self._new_budget()
        with self.budget.held():
            yield

    @contextmanager
    def around(self, work: Work) -> Iterator[None]:
        self._samples = work.report.samples
        self._said = None
        over = threading.Event()
        thread = threading.Thread(target=self._tell, args=(work.manifest.run_id, over), name="telemetry", daemon=True)
        self.ready()
        thread.start()
        content = work.manifest.content
        content.update(budget=self.budget.snapshot(), ap_run_id=hypervisor_run_id())
        try:
            yield
        except Blocked as error:
            self.progress.preemptions += work.manifest.begun
            self._said = error.message
            raise
        finally:
            over.set()
            thread.join()
            remove_live(self._root)
            content["budget"] = self.budget.snapshot()
            if work.manifest.begun:
                self._note(work.manifest.run_id, content["budget"])
            self._output.add_run(work.manifest.run_id, content["stages"])
            self.progress.note_ended(work.report.samples)
            self._samples = {}

    def waiting_since(self, ts_us: int) -> None:
        self.progress.note_oldest(ts_us)

    def preempted(self) -> None:
        self.budget.stand_back()

    def require_room(self) -> None:
        self.budget.require_room()

    def _new_budget(self) -> Budget:
        return Budget(self._root, self._settings, own_servers(self._root))

    def _snapshot(self) -> dict[str, Any]:
        return self.progress.snapshot(self._samples, self.budget)

    def _tell(self, run_id: str, over: threading.Event) -> None:
        about = {"run_id": run_id, "ap_run_id": hypervisor_run_id()}
        number = 0
        while True:
            told = self._snapshot()
            gate = told["gate"]
            self.progress.tick(f"gate {'open' if gate['open'] else 'closed'}: {gate['reason']}")
            if number % round(PUBLISH_EVERY_S / _TICK_EVERY_S) == 0:
                with suppress(OSError):  # a full disk is told by those whose files matter
                    write_live(self._root, {**about, **told})
            number += 1
            if over.wait(_TICK_EVERY_S):
                return

    def _note(self, run_id: str, budget: dict[str, Any]) -> None:
        """Note in the audit journal that the run was preempted or throttled, if it was. Raises OSError."""
        if self._said is not None:
            self._append(run_id, "preempted", {"reason": self._said})
        if any(budget["throttled"].values()):
            told = {name: budget[name] for name in ("by", "limits", "throttled", "servers_ended")}
            self._append(run_id, "throttled", told)

    def _append(self, run_id: str, what: str, payload: dict[str, Any]) -> None:
        make_directories(self._root.audit)
        journal, event = Journal(self._root.run_events, self._root.quarantine), f"{_EVENTS}.{what}"
        payload = {"run_id": run_id, "ap_run_id": hypervisor_run_id(), **payload}
        journal.append(f"{_EVENTS}/{event}/{run_id}", event, _EVENTS, datetime.now(UTC), payload)
