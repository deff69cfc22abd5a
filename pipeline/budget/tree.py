"""The processes of a run: this one, its servers, and all that they started; what they use of processor and memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STATE, _PARENT, _USER, _SYSTEM, _STARTED, _RSS = 0, 1, 11, 12, 19, 21
"""Where what stands in /proc/PID/stat, counted from behind the name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as it was when it was looked at: processor time in seconds, resident memory in bytes."""

    pid: int
    parent: int
    state: str
    started: int
    cpu_s: float
    rss: int


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names the process. None when it is dead."""
    seen = ProcessTree(list).look_at(pid)
    return None if seen is None else seen.started


@dataclass
class ProcessTree:
    """All processes below some roots; `others` gives the roots that are no children of this process: servers."""

    others: Callable[[], Iterable[int]]
    proc: Path = Path("/proc")
    used_s: float = 0.0
    """Processor time of all of them since the first look, also of those that have ended since."""
    recent: dict[int, float] = field(default_factory=dict)
    """What each used between the last two looks."""
    _members: dict[int, Seen] = field(default_factory=dict)

    def find(self) -> list[int]:
        """Look who belongs to the tree, this process first; looks through all processes."""
        everybody = {seen.pid: seen for seen in map(self.look_at, self._pids()) if seen is not None}
        children: dict[int, list[int]] = {}
        for seen in everybody.values():
            children.setdefault(seen.parent, []).append(seen.pid)
        found: dict[int, None] = {}
        left = [os.getpid(), *self.others()]
        while left:
            pid = left.pop(0)
            if pid in everybody and pid not in found:
                found[pid] = None
                left += children.get(pid, ())
        self._take({pid: everybody[pid] for pid in found})
        return list(found)

    def look(self) -> None:
        """Look again at those found last; cheaper than to find them."""
        self._take({seen.pid: seen for seen in map(self.look_at, self._members) if seen is not None})

    @property
    def members(self) -> dict[int, Seen]:
        """Who was there at the last look."""
        return self._members

    @property
    def rss(self) -> int:
        """Resident memory of all, bytes; what several share counts for each."""
        return sum(seen.rss for seen in self._members.values())

    def memory(self) -> int:
        """Memory of all, bytes; what several share is divided between them. Takes milliseconds for a large process."""
        return sum(self._pss(seen) for seen in self._members.values())

    def memory_below(self, pid: int) -> int:
        """Memory of one of them and of all that it started, bytes."""
        found, left = set[int](), [pid]
        while left:
            parent = left.pop()
            found.add(parent)
            left += [seen.pid for seen in self._members.values() if seen.parent == parent and seen.pid not in found]
        return sum(self._pss(self._members[member]) for member in found if member in self._members)

    def _take(self, now: dict[int, Seen]) -> None:
        before, self._members = self._members, now
        self.recent = {}
        for pid, seen in now.items():
            known = before.get(pid)
            if known is not None and known.started == seen.started:
                self.recent[pid] = max(0.0, seen.cpu_s - known.cpu_s)
        self.used_s += sum(self.recent.values())

    def _pids(self) -> list[int]:
        return [int(place.name) for place in self.proc.iterdir() if place.name.isdecimal()]

    def look_at(self, pid: int) -> Seen | None:
        """A process as it is now; None when it is dead."""
        try:
            fields = (self.proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[_STATE] in "ZX":
            return None
        cpu_s = (int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK_S
        return Seen(pid, int(fields[_PARENT]), fields[_STATE], int(fields[_STARTED]), cpu_s, int(fields[_RSS]) * _PAGE)

    def _pss(self, seen: Seen) -> int:
        with suppress(OSError, ValueError):
            for line in (self.proc / str(seen.pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        return seen.rss
