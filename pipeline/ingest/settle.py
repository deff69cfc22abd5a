"""Is a handoff still being written? Nothing need seal it, so only quiet tells `[handoff-11]`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.ingest.chronicle import is_session
from pipeline.ingest.handoff_directory import HandoffDirectory, Look, StillBeingWritten

_CONTRACT = "contract.json"
_CONTRACT_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Clock:
    """Where time comes from; tests give their own."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def now(self) -> datetime:
        """The moment, in UTC, to the microsecond."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.wall_ns() // 1000)


@dataclass(frozen=True, slots=True)
class FirstLook:
    """When a handoff was first seen in this run, and as what."""

    stat_sha256: str
    seen_at: float


def look_if_settled(directory: HandoffDirectory, settle_s: float, clock: Clock) -> Look | FirstLook:
    """Look at a handoff; the first look is returned where it must be watched from then on.

    Raises ContractInvalid, StillBeingWritten, OSError.
    """
    look = directory.look(clock.monotonic)
    if clock.wall_ns() - look.newest_ns >= settle_s * 1e9 or _is_sealed(directory, look):
        return look
    return FirstLook(look.stat_sha256, look.seen_at)


def settled_look(directory: HandoffDirectory, first: FirstLook, settle_s: float, clock: Clock) -> Look:
    """Look at a handoff once it has been unchanged for `settle_s`; sleeps only as long as that takes.

        first look ──── other handoffs are ingested ──── look ── sleep ── look
            └────────────────────── settle_s ───────────────────────┘

    No sleep when all in it is older than that by the file system's change times (which a producer cannot set back),
    or when the producer sealed it. A time in the future proves nothing, so then the wait is sat out.
    Raises StillBeingWritten when it changed, ContractInvalid, OSError.
    """
    look = directory.look(clock.monotonic)
    _require_unchanged(first, look)
    if clock.wall_ns() - look.newest_ns >= settle_s * 1e9 or _is_sealed(directory, look):
        return look
    remaining = settle_s - (clock.monotonic() - first.seen_at)
    if remaining <= 0:
        return look
    clock.sleep(remaining)
    look = directory.look(clock.monotonic)
    _require_unchanged(first, look)
    return look


def _require_unchanged(known: FirstLook, look: Look) -> None:
    if look.stat_sha256 != known.stat_sha256:
        raise StillBeingWritten("its files changed while it was watched")


def _is_sealed(directory: HandoffDirectory, look: Look) -> bool:
    if is_session(look):
        return True
    entry = look.files.get(_CONTRACT)
    if entry is None or entry.size > _CONTRACT_MAX_BYTES:
        return False
    with directory.opened(entry) as descriptor:
        try:
            contract = json.loads(os.read(descriptor, _CONTRACT_MAX_BYTES))
        except (ValueError, RecursionError):
            return False
    return isinstance(contract, dict) and contract.get("sealed") is True
