"""Holding a run, with its servers and all that they start, to its part of the machine, and counting what that took.

By a control group where one can be made; else by affinity, thread counts, niceness and a governor. Either way a thread
looks at memory once a second, takes servers in that were there before, and reads the kernel's counts.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pipeline.budget.cgroup import Group, Throttled, find_group, group_name, remove_empty_groups
from pipeline.budget.governor import STEP_S, Governor, choose_cpus, narrow
from pipeline.budget.limits import limits_of
from pipeline.budget.machine import cpus_allowed, forget_cpus, remember_cpus
from pipeline.budget.memory_watch import MemoryWatch
from pipeline.budget.tree import ProcessTree
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.settings import Settings

LOOK_EVERY_S = 1.0

_LIKELY_KILLED = "500"
"""What is added to a process's chance to be killed for want of memory: the driver is to be the last one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnServers:
    """The servers of a DataRoot, as the budget needs them: `processes` of each kind, the server first, then its keeper;
    and how to `end` one."""

    processes: Callable[[], Mapping[str, list[int]]]
    end: Callable[[str], object]

    def all(self) -> list[int]:
        """All their processes."""
        return [pid for pids in self.processes().values() for pid in pids]

    def keepers(self) -> list[int]:
        """What must never be stopped: it watches what is."""
        return [pid for pids in self.processes().values() for pid in pids[1:]]

    def first(self) -> dict[str, int]:
        """The server's own process of each kind."""
        return {kind: pids[0] for kind, pids in self.processes().items() if pids}


NO_SERVERS = OwnServers(dict, lambda _: None)


class Budget:
    """What one run is held to, by what, and what that took. To be asked from any thread."""

    def __init__(self, root: DataRoot, settings: Settings, servers: OwnServers, part: str = "") -> None:
        """A command that has nothing to do with the servers is a `part` of its own, with limits of its own.

        Raises UsageError for a limit in the environment that is no number.
        """
        self.limits = limits_of(settings)
        self.ended: Counter[str] = Counter()
        self.by = "nothing"
        self._place, self._settings, self._servers = root.path / part, settings, servers
        self._tree = ProcessTree(servers.all)
        self._memory = MemoryWatch(self._tree, self.limits.memory_bytes, servers.first, servers.end)
        self._group: Group | None = None
        self._governor: Governor | None = None
        self._before = self._last = Throttled()
        self._killed = 0
        self._over = threading.Event()
        self._cpus: frozenset[int] | None = None
        self._keepers: list[int] = []

    def require_room(self) -> None:
        """Raises Unavailable when the run alone takes more memory than it may."""
        if self._memory.too_much:
            raise Unavailable(
                f"the run was stopped: {self._memory.too_much}",
                remedy="raise memory_share or AP_MEM_LIMIT_MB; what was finished is kept",
            )

    def stand_back(self) -> None:
        """Stop and wake nobody any more, for the rest of this run: somebody else wants its processes to be still."""
        if self._governor is not None:
            self._governor.stand_back()

    def snapshot(self) -> dict[str, Any]:
        """Limits, throttle counts by reason and memory, without floats: for manifests and telemetry."""
        governor = self._governor
        times, micros = (governor.times, round(governor.held_s * 1e6)) if governor else (self._last.times,
                                                                                        self._last.micros)  # fmt: skip
        return {
            "by": self.by,
            "limits": self.limits.as_dict(),
            "throttled": {"cpu": times, "cpu_ms": micros // 1000, "memory": self.ended.total(), "killed": self._killed},
            "servers_ended": dict(sorted(self.ended.items())),
            "memory_mb": self._memory.used >> 20,
            "memory_peak_mb": self._memory.peak >> 20,
            "cpu_used_ms": round(self._tree.used_s * 1000),
            "processes": len(self._tree.members),
        }

    @contextmanager
    def held(self, *, always_set: bool = True) -> Iterator[Budget]:
        """Hold this process, and what it starts from now on, to the limits. Servers that outlive it stay held to them.

        Only who has the DataRoot to himself may set the limits of a group that is there: `always_set`.
        """
        with ExitStack() as stack:
            remember_cpus(cpus_allowed())
            stack.callback(forget_cpus)
            self._enter(stack, always_set)
            self._tree.find()
            self._take_in()
            thread = threading.Thread(target=self._watch, name="budget", daemon=True)
            stack.callback(self._end, thread)
            thread.start()
            yield self

    def _enter(self, stack: ExitStack, always_set: bool) -> None:
        group = find_group(self._place) if self._settings.budget_by == "auto" else None
        if group is not None:
            try:
                group.enter(self.limits, always_set=always_set)
            except OSError as error:
                group.leave()
                _log.info("no control group can be used (%s)", error.strerror)
            else:
                self._group, self.by = group, group.called
                self._before = group.throttled()
                stack.callback(group.leave)
                remove_empty_groups(group)
        if self._group is None and not self.limits.all_cpus:
            self.by = "governor"
            self._hold_without_kernel(stack)
        _log.info("held to %.2f processors and %d MB by %s", self.limits.cpus, self.limits.memory_bytes >> 20, self.by)

    def _hold_without_kernel(self, stack: ExitStack) -> None:
        allowed = frozenset(os.sched_getaffinity(0))
        turn = int(group_name(self._place)[-4:], 16)
        self._cpus = choose_cpus(allowed, self.limits.cpus, turn)
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        stack.callback(narrow, [os.getpid()], allowed)
        narrow([os.getpid()], self._cpus)
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, max(niceness, self._settings.worker_nice))
        stack.callback(_set_priority, niceness)
        self._governor = Governor(self._tree, self.limits.cpus, lambda: self._keepers)

    def _watch(self) -> None:
        pause_s = STEP_S if self._governor else LOOK_EVERY_S
        steps = round(LOOK_EVERY_S / pause_s)
        number = 0
        while not self._over.wait(pause_s):
            number += 1
            try:
                if self._governor is not None:
                    self._governor.step()
                if number % steps == 0:
                    self._look_closer()
            except OSError as error:  # a process or a file that went away meanwhile; the next look is another
                _log.debug("budget: %s", error.strerror)

    def _look_closer(self) -> None:
        self._tree.find()
        self._take_in()
        if self._group is not None:
            now = self._group.throttled().since(self._before)
            if now.killed > self._killed:
                _log.warning("the kernel killed a process of this run that took more memory than all may use")
            self._last, self._killed = now, now.killed
        why = self._memory.step()
        if why is not None:
            self.ended["memory"] += 1
            _log.warning("%s", why)

    def _take_in(self) -> None:
        """Hold to the limits what was started before or elsewhere, such as a server that an earlier run left up."""
        members = list(self._tree.members)
        self._keepers = self._servers.keepers()
        others = [pid for pid in members if pid != os.getpid()]
        if self._group is not None:
            self._group.add(members)
        elif self._cpus is not None:
            narrow([pid for pid in others if _affinity(pid) != self._cpus], self._cpus)
        for pid in others:
            _make_likely_killed(pid)

    def _end(self, thread: threading.Thread) -> None:
        self._over.set()
        self.stand_back()
        thread.join()
        with suppress(OSError):
            self._tree.find()
            if self._group is not None:
                self._last = self._group.throttled().since(self._before)


def _affinity(pid: int) -> frozenset[int]:
    with suppress(OSError):
        return frozenset(os.sched_getaffinity(pid))
    return frozenset()


def _set_priority(niceness: int) -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _make_likely_killed(pid: int) -> None:
    with suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "r+") as file:  # noqa: PTH123
        if int(file.read()) < int(_LIKELY_KILLED):
            file.seek(0)
            file.write(_LIKELY_KILLED)
