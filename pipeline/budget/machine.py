"""What this machine gives: processors and memory, as far as affinity and the control groups above us allow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

_NO_LIMIT_V1 = 1 << 60
"""A v1 group without a memory limit says a number near 2^63."""

_narrowed_from: list[float] = []


def cpus_allowed(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> float:
    """How many processors this process may use, as it was before we held ourselves to a part of them."""
    if _narrowed_from:
        return _narrowed_from[-1]
    return min([float(len(os.sched_getaffinity(0))), *_cpu_quotas(cgroups, own_groups)])


def remember_cpus(cpus: float) -> None:
    """From now on affinity and quota are our own doing and tell nothing of the machine any more."""
    _narrowed_from.append(cpus)


def forget_cpus() -> None:
    """What was remembered last holds no more."""
    _narrowed_from.pop()


def cpu_budget(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """`cpus_allowed` in whole processors, at least one."""
    return max(1, int(cpus_allowed(cgroups, own_groups)))


def memory_allowed(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """How much memory this process may use, in bytes."""
    return min([psutil.virtual_memory().total, *_memory_limits(cgroups, own_groups)])


def groups_of(own_groups: Path = OWN_GROUPS) -> list[tuple[list[str], PurePosixPath]]:
    """The control groups of this process: the controllers of each hierarchy (none for v2) and the path in it."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return []
    fields = [line.split(":", 2) for line in lines]
    return [(names.split(",") if names else [], PurePosixPath(group.lstrip("/"))) for _, names, group in fields]


def v2_folder(cgroups: Path) -> Path:
    """Where the v2 hierarchy is mounted: at the top, or beside v1's in `unified`."""
    beside = cgroups / "unified"
    return beside if beside.is_dir() else cgroups


def _cpu_quotas(cgroups: Path, own_groups: Path) -> Iterator[float]:
    for controllers, group in groups_of(own_groups):
        if not controllers:
            folder, read = v2_folder(cgroups), _quota_v2
        elif "cpu" in controllers:
            folder, read = cgroups / "cpu", _quota_v1
        else:
            continue
        for place in (group, *group.parents):
            try:
                yield read(folder / place)
            except (OSError, ValueError, ZeroDivisionError):
                continue  # no quota there


def _memory_limits(cgroups: Path, own_groups: Path) -> Iterator[int]:
    for controllers, group in groups_of(own_groups):
        if not controllers:
            folder, name = v2_folder(cgroups), "memory.max"
        elif "memory" in controllers:
            folder, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        for place in (group, *group.parents):
            try:
                limit = int((folder / place / name).read_text())
            except (OSError, ValueError):
                continue  # none, or `max`
            if limit < _NO_LIMIT_V1:
                yield limit


def _quota_v2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()
    return int(quota) / int(period)


def _quota_v1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    if quota < 0:
        raise ValueError("no quota")
    return quota / int((folder / "cpu.cfs_period_us").read_text())
