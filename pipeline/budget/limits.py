"""How much of the machine idle work may take: half of it, less where that is set or the hypervisor says so."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.budget.machine import cpus_allowed, memory_allowed
from pipeline.errors import UsageError
from pipeline.settings import Settings

CPU_VARIABLE, MEMORY_VARIABLE = "AP_CPU_LIMIT", "AP_MEM_LIMIT_MB"


@dataclass(frozen=True, slots=True)
class Limits:
    """What all processes of a run together may take: processors (0.5 is half of one), and bytes of memory."""

    cpus: float
    memory_bytes: int
    all_cpus: bool = False
    """Whether that is every processor there is: then nothing holds them back."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: hundredths of a processor, so that it can be kept in records without floats."""
        return {"cpu_percent_of_one": round(self.cpus * 100), "memory_mb": self.memory_bytes >> 20}


def limits_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Limits:
    """Settle the limits. Raises UsageError for a variable that holds no usable number.

    `AP_CPU_LIMIT` is in processors, or with a percent sign a part of the machine; `AP_MEM_LIMIT_MB` in MiB. They can
    lower what is set, not raise it.
    """
    machine, memory = cpus_allowed(), memory_allowed()
    cpus = min(machine * settings.cpu_share, _cpus(environment.get(CPU_VARIABLE, ""), machine))
    wanted_mb = _number(MEMORY_VARIABLE, environment.get(MEMORY_VARIABLE, ""))
    memory_bytes = int(min(memory * settings.memory_share, wanted_mb * (1 << 20)))
    return Limits(cpus, memory_bytes, all_cpus=cpus >= machine)


def _cpus(text: str, machine: float) -> float:
    if text.strip().endswith("%"):
        return _number(CPU_VARIABLE, text.strip().removesuffix("%")) / 100 * machine
    return _number(CPU_VARIABLE, text)


def _number(name: str, text: str) -> float:
    """A number above 0; without end when there is none."""
    if not text.strip():
        return math.inf
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number > 0:
        raise UsageError(f"{name} is {text!r}, not a number above 0", remedy=f"unset {name}, or give it one")
    return number
