"""May heavy work run now? Asked before every model request; fails closed `[gate-1]`–`[gate-3]`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from schemas.evidence import ActivitySignal
from schemas.fields import parse_utc

MAX_FUTURE_S = 2.0
_MAX_SIGNAL_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether heavy work may run, and why (or why not)."""

    open: bool
    reason: str
    says_active: bool = False
    """Whether a live signal says that the user is active: no signal, or one that is not believed, says nothing."""


class GateTerms(TypedDict):
    """What a gate goes by, to make the same one in another process."""

    max_age_s: float
    min_idle_s: float
    assume_idle_when_missing: bool


class Gate:
    """Reads the sidecar's activity signal. What it cannot believe counts as an active user `[gate-2]`."""

    def __init__(
        self,
        signal: Callable[[], Path],
        *,
        max_age_s: float = 2.0,
        min_idle_s: float = 0.0,
        assume_idle_when_missing: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._signal = signal
        self._max_age_s = max_age_s
        self._min_idle_s = min_idle_s
        self._assume_idle = assume_idle_when_missing
        self._now = now
        self._last_seq: int | None = None
        self._asking = threading.Lock()

    def ask(self) -> Verdict:
        """Read the signal now. Threads ask one after the other: interleaved, seq would seem to run backwards."""
        with self._asking:
            return self._ask()

    def _ask(self) -> Verdict:
        try:
            path = self._signal()
            text = _read(path)
        except FileNotFoundError:
            if self._assume_idle and not path.is_symlink():
                return Verdict(True, "no activity signal; idleness was assumed by request")
            return Verdict(False, "there is no activity signal")
        except OSError as error:
            return Verdict(False, f"the activity signal cannot be read: {error.strerror}")
        try:
            signal = ActivitySignal.model_validate_json(text)
            age_s = (self._now() - parse_utc(signal.ts_utc)).total_seconds()
        except (ValidationError, ValueError):
            return Verdict(False, "the activity signal is malformed")
        return self._judge(signal, age_s)

    def _judge(self, signal: ActivitySignal, age_s: float) -> Verdict:
        before = self._last_seq
        self._last_seq = before if signal.seq is None else signal.seq
        if age_s > self._max_age_s:
            return Verdict(False, f"the activity signal is {age_s:.0f} s old")
        if age_s < -MAX_FUTURE_S:
            return Verdict(False, "the activity signal is from the future")
        if before is not None and signal.seq is not None and signal.seq < before:
            return Verdict(False, "the activity signal's seq ran backwards")
        if signal.user_active:
            return Verdict(False, "the user is active", says_active=True)
        if signal.idle_seconds < self._min_idle_s:
            return Verdict(False, f"the user has been idle for less than min_idle_s ({self._min_idle_s:g} s)")
        return Verdict(True, "the user is idle")


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO in its place must not hang us
    try:
        return os.read(descriptor, _MAX_SIGNAL_BYTES)
    finally:
        os.close(descriptor)
