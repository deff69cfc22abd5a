"""When ingest may work, and how hard `[gate-4]`."""

from __future__ import annotations

from enum import StrEnum


class GateMode(StrEnum):
    """When ingest may work, and how hard."""

    auto = "auto"
    """At full speed and the lowest priority, unless a live signal says that the user is active: then active-safe."""
    active_safe = "active-safe"
    """One worker, at most 5 % of one core averaged over a minute."""
    idle = "idle"
    """Only while a live signal says that the user is idle."""
