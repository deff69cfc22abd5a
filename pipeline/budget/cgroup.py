"""A control group for all processes of a DataRoot: the kernel itself holds them to their part of the machine.

    v2   <an ancestor of ours that we may write, with cpu and memory enabled>/autocapture-<DataRoot>/
    v1   cpu/<our group>/autocapture-<DataRoot>/    memory/<our group>/autocapture-<DataRoot>/

There is one for each DataRoot, so that two runs never share one, and it stays as long as a process is in it: a server
that outlives its run is held to the same limits until it ends. Whoever starts next removes groups that are empty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.budget.limits import Limits
from pipeline.budget.machine import CGROUPS, OWN_GROUPS, groups_of, v2_folder
from schemas.canonical import sha256_hex

PREFIX = "autocapture-"

PERIOD_US = 50_000
"""The kernel refills a group's processor time this often; short, so that no second gets much more than its part."""

_MARGIN = 0.92
"""The part of the limit that is given out: a window that begins in the middle of a refill sees up to one more, and each
processor ends the slice that it holds."""

_LEAST_QUOTA_US = 1_000
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Throttled:
    """What the kernel did to hold a group: refills that came too late for somebody, for how long in all, and kills."""

    times: int = 0
    micros: int = 0
    killed: int = 0

    def since(self, before: Throttled) -> Throttled:
        """What came to it since then; a group that was made anew begins at nothing."""
        return Throttled(*(max(0, now - then) for now, then in zip(self._all(), before._all(), strict=True)))

    def _all(self) -> tuple[int, int, int]:
        return self.times, self.micros, self.killed


@dataclass(frozen=True)
class Hierarchy:
    """A group in one hierarchy of control groups: its folder, where this process was before, what it controls."""

    version: int
    folder: Path
    home: Path
    controllers: tuple[str, ...]

    def make(self) -> bool:
        """Make the group; False when it is there already. Raises OSError."""
        try:
            self.folder.mkdir()
        except FileExistsError:
            return False
        return True

    def hold_to(self, limits: Limits) -> None:
        """Set the limits. Memory that cannot be limited that low is left to who watches it. Raises OSError for CPU."""
        quota = max(_LEAST_QUOTA_US, int(limits.cpus * _MARGIN * PERIOD_US))
        if "cpu" in self.controllers and self.version == 2:
            self._write("cpu.max", "max" if limits.all_cpus else f"{quota} {PERIOD_US}")
        elif "cpu" in self.controllers:
            self._write("cpu.cfs_period_us", str(PERIOD_US))
            self._write("cpu.cfs_quota_us", "-1" if limits.all_cpus else str(quota))
        if "memory" in self.controllers:
            with suppress(OSError):  # more is in use than the limit
                self._write("memory.max" if self.version == 2 else "memory.limit_in_bytes", str(limits.memory_bytes))

    def add(self, pid: int) -> None:
        """Put a process with all its threads into the group; what it starts is in it too. Raises OSError."""
        self._write("cgroup.procs", str(pid))

    def send_home(self, pid: int) -> None:
        """Put a process back to where this one was before."""
        with suppress(OSError):
            (self.home / "cgroup.procs").write_text(str(pid))

    def members(self) -> set[int]:
        """The processes in the group."""
        with suppress(OSError, ValueError):
            return {int(line) for line in (self.folder / "cgroup.procs").read_text().split()}
        return set()

    def remove(self) -> None:
        """Remove the group unless there is a process in it."""
        with suppress(OSError):
            self.folder.rmdir()

    def throttled(self) -> Throttled:
        """What the kernel counted so far."""
        found = _counts(self.folder / "cpu.stat") if "cpu" in self.controllers else {}
        micros = found.get("throttled_usec", found.get("throttled_time", 0) // 1000)
        killed = 0
        if "memory" in self.controllers:
            name = "memory.events" if self.version == 2 else "memory.oom_control"
            killed = _counts(self.folder / name).get("oom_kill", 0)
        return Throttled(found.get("nr_throttled", 0), micros, killed)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@dataclass(frozen=True)
class Group:
    """The group of a DataRoot, in one hierarchy (v2) or in one for each controller (v1)."""

    parts: tuple[Hierarchy, ...]

    @property
    def called(self) -> str:
        """What it is, for people: `cgroup v1 (cpu, memory)`."""
        return (
            f"cgroup v{self.parts[0].version} ({', '.join(name for part in self.parts for name in part.controllers)})"
        )

    def enter(self, limits: Limits, *, always_set: bool) -> None:
        """Put this process into the group, and set the limits of one that is new, or of any. Raises OSError."""
        for part in self.parts:
            for attempt in range(_ATTEMPTS):
                is_new = part.make()
                try:
                    part.add(os.getpid())
                except FileNotFoundError:  # another one has just found it empty, and removed it
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    break
            if is_new or always_set:
                part.hold_to(limits)

    def leave(self) -> None:
        """Put this process back to where it was, and remove the group if nobody is left in it."""
        for part in self.parts:
            if part.home != part.folder:
                part.send_home(os.getpid())
                part.remove()

    def add(self, pids: Sequence[int]) -> None:
        """Put processes that are not in it into the group, as far as they are still there."""
        for part in self.parts:
            for pid in set(pids) - part.members():
                with suppress(OSError):
                    part.add(pid)

    def throttled(self) -> Throttled:
        """What the kernel counted so far."""
        found = [part.throttled() for part in self.parts]
        return Throttled(*(sum(counts) for counts in zip(*(item._all() for item in found), strict=True)))


def group_name(data_root: Path) -> str:
    """The name of a DataRoot's group."""
    return PREFIX + sha256_hex(str(data_root.resolve()).encode())[:12]


def find_group(data_root: Path, cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> Group | None:
    """Where this process may make a DataRoot's group; None where no group that limits the processor can be made."""
    name = group_name(data_root)
    for found in (_find_v2(name, cgroups, own_groups), _find_v1(name, cgroups, own_groups)):
        if any("cpu" in part.controllers for part in found):
            return Group(tuple(found))
    return None


def remove_empty_groups(group: Group) -> None:
    """Remove what crashes left beside a group: groups of ours that no process is in."""
    for part in group.parts:
        for folder in sorted(part.folder.parent.glob(f"{PREFIX}*")):
            with suppress(OSError):
                folder.rmdir()


def _find_v2(name: str, cgroups: Path, own_groups: Path) -> list[Hierarchy]:
    """The nearest place above us where cpu is enabled for children and a group can be made; memory too if it is."""
    top = v2_folder(cgroups)
    for controllers, own in groups_of(own_groups):
        if controllers:
            continue
        for place in (own, *own.parents):
            folder = top / place
            enabled = _words(folder / "cgroup.subtree_control")
            if "cpu" in enabled and _may_write(folder):
                wanted = tuple(item for item in ("cpu", "memory") if item in enabled)
                return [Hierarchy(2, _beside_ours(folder) / name, top / own, wanted)]
    return []


def _find_v1(name: str, cgroups: Path, own_groups: Path) -> list[Hierarchy]:
    found = []
    for controllers, own in groups_of(own_groups):
        for controller in ("cpu", "memory"):
            home = cgroups / controller / own
            if controller in controllers and _may_write(home):
                found.append(Hierarchy(1, _beside_ours(home) / name, home, (controller,)))
    return sorted(found, key=lambda part: part.controllers)


def _beside_ours(folder: Path) -> Path:
    """A process that was started from within a group of ours makes its own beside that one, not within."""
    return folder.parent if folder.name.startswith(PREFIX) else folder


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _counts(path: Path) -> dict[str, int]:
    return dict(_pairs(path))


def _pairs(path: Path) -> Iterator[tuple[str, int]]:
    with suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, number = line.partition(" ")
            if number.strip().isdecimal():
                yield name, int(number)
