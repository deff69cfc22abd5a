"""What a figure was measured on: printed beside every benchmark."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil


def describe_machine() -> dict[str, Any]:
    """Processor, memory, and the CPU cap that is in force for this process."""
    return {
        "cpu": _cpu_model(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "cpu_quota": _cgroup_quota(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _cgroup_quota() -> str:
    path = Path("/sys/fs/cgroup/cpu.max")
    return path.read_text().strip() if path.exists() else "none"
