"""One onset of activity: the processor time of a process tree, looked at until it stays quiet.

All of it counts, Ray's own daemons too; what those took is told beside it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_gate_sidecar import Sidecar

WINDOW_S, SHARE = 0.1, 0.02
"""Quiet is a window so long in which at most so much of a core was used."""

_SCHED_CLOCK = 2
"""With the complement of a process's number above it, the clock of that process: clock_getcpuclockid(3)."""

_SAMPLE_S, _STAYS_S, _GIVE_UP_S = 0.01, 0.6, 4.0
_EXPECTED_S = 0.2
"""What is used later than that is told by process."""

_RAYS_OWN = ("gcs_server", "raylet", "ray/dashboard", "log_monitor", "runtime_env/agent", "ray::IDLE")

Sample = tuple[float, int]
"""Seconds since the user came, and nanoseconds of the processor used by then."""


class Tree:
    """Processor time of a process and all below it, by the kernel's own count in nanoseconds."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._seen: dict[int, int] = {}
        self.used: Counter[str] = Counter()

    def look(self) -> int:
        """Add what was used since the last look; returns all that was used so far, in nanoseconds."""
        seen: dict[int, int] = {}
        for pid in self._processes():
            with suppress(OSError):
                seen[pid] = time.clock_gettime_ns(~pid << 3 | _SCHED_CLOCK)
                used = seen[pid] - self._seen.get(pid, 0)
                if used:
                    self.used["ray" if _is_rays(pid) else "ours"] += used
        self._seen = seen
        return self.used.total()

    def what_ray_does(self) -> str:
        """How far Ray is, by what its processes call themselves; empty where there is none."""
        commands = [_command(pid) for pid in self._seen]
        signs = {"at work": "work_descriptors", "started": "ray::IDLE", "starting": "ray_driver"}
        return next((what for what, sign in signs.items() if any(sign in command for command in commands)), "")

    def by_process(self) -> dict[str, int]:
        """What each process that is there has used, in nanoseconds, by what it is."""
        found: Counter[str] = Counter()
        for pid, used in self._seen.items():
            words = _command(pid).split("\0")
            name = next((word for word in words if word.startswith("workers.") or word == "worker"), words[0])
            found[name] += used
        return dict(found)

    def _processes(self) -> list[int]:
        """By their parents: what is orphaned becomes a child of a keeper. By threads, Ray's would be 600 files."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):  # noqa: PTH208  a hundred times a second
            if name.isdecimal():
                with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    parent = int(file.read().rpartition(b")")[2].split(None, 2)[1])
                    children.setdefault(parent, []).append(int(name))
        found = [self._root]
        for pid in found:
            found += children.get(pid, ())
        return found


def measure_onset(user: Sidecar, tree: Tree) -> dict[str, Any]:
    """Have the user come, measure when all is quiet, and have them stay a while to see whether it is."""
    before = dict[str, int]()
    ray_is = tree.what_ray_does()
    came_at = user.say(active=True)
    samples = [(0.0, tree.look())]
    rays = tree.used["ray"]
    quiet_at: float | None = None
    moments, now = 0, 0.0
    while now < _GIVE_UP_S:
        time.sleep(_SAMPLE_S)
        used, now = tree.look(), time.monotonic() - came_at
        samples.append((now, used))
        before = before or (tree.by_process() if now > _EXPECTED_S else {})
        if quiet_at is None:
            quiet_at = _first_quiet(samples)
        elif now > quiet_at + _STAYS_S:
            if _stays(samples, quiet_at):
                break
            moments, over = moments + 1, quiet_at + WINDOW_S
            quiet_at = _first_quiet([item for item in samples if item[0] > over])
    quiet_s = quiet_at if quiet_at is not None else _GIVE_UP_S
    found: dict[str, Any] = {"quiet_ms": round(1000 * quiet_s), "quiet_for_a_moment_only": moments}
    if ray_is:
        found["ray_is"] = ray_is
        found["rays_own_share_of_a_core"] = round((tree.used["ray"] - rays) / 1e9 / samples[-1][0], 4)
    return found | ({"cpu_ms_later": _later(before, tree.by_process())} if quiet_s > _EXPECTED_S else {})


def _later(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    spent = {name: round((used - before.get(name, 0)) / 1e6) for name, used in after.items()}
    return {name: ms for name, ms in spent.items() if ms > 0}


def _is_rays(pid: int) -> bool:
    return any(name in _command(pid) for name in _RAYS_OWN)


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def _first_quiet(samples: list[Sample]) -> float | None:
    """From when on a window held little, if the last samples show one."""
    end, used = samples[-1]
    start = next((item for item in reversed(samples) if item[0] <= end - WINDOW_S), None)
    if start is None or used - start[1] > SHARE * (end - start[0]) * 1e9:
        return None
    return start[0]


def _stays(samples: list[Sample], quiet_at: float) -> bool:
    start = next(item for item in samples if item[0] >= quiet_at)
    end = samples[-1]
    return end[1] - start[1] <= SHARE * (end[0] - start[0]) * 1e9
