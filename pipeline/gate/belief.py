"""What is to be believed of the activity signal, one reading after the other. No file and no clock is looked at here.

missing, broken, old, from the future ─┐
not changed for as long as it may age ─┤
seq stepped back, and not risen since ─┼─▶ the user counts as active `[gate-2]`
a clock was set, the machine slept ────┤
user_active, or idle for too short ────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.gate.clocks import Moment
from schemas.activity import ActivitySignal
from schemas.fields import parse_utc

MAX_FUTURE_S = 2.0
MAX_CLOCK_STEP_S = 2.0
"""By how much two clocks may part between two readings: what is less, the age of the signal tells."""

_COMPARED_WITHIN_S = 600.0
"""Clocks are compared between readings no further apart: one that is being slewed gains a second in half an hour."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether heavy work may run, and why (or why not)."""

    open: bool
    reason: str
    says_active: bool = False
    """Whether a live signal says that the user is active: no signal, or one that is not believed, says nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in the signal's place: its bytes, or None with `why` not."""

    content: bytes | None
    why: str = ""
    is_missing: bool = False


class Belief:
    """Judges readings in the order in which they were made; remembers what the last ones said."""

    def __init__(self, max_age_s: float, min_idle_s: float, *, assume_idle_when_missing: bool) -> None:
        self._max_age_s = max_age_s
        self._min_idle_s = min_idle_s
        self._assume_idle = assume_idle_when_missing
        self._seq: int | None = None
        self._stepped_back = False
        self._before: Moment | None = None
        self._content: bytes | None = None
        self._since_s = 0.0

    def judge(self, reading: Reading, now: Moment) -> Verdict:
        """Tell what a reading that was made now says."""
        leap = self._leap(now)
        if reading.content is None:
            self._content = None
            if leap:
                return Verdict(False, leap)
            if reading.is_missing and self._assume_idle:
                return Verdict(True, "no activity signal; idleness was assumed by request")
            return Verdict(False, reading.why)
        if reading.content != self._content:
            self._content, self._since_s = reading.content, now.boot_s
        try:
            signal = ActivitySignal.model_validate_json(reading.content)
            age_s = (now.wall - parse_utc(signal.ts_utc)).total_seconds()
        except (ValidationError, ValueError):
            return Verdict(False, "the activity signal is malformed")
        self._follow(signal.seq)
        if dead := self._dead(age_s, now.boot_s - self._since_s):
            return Verdict(False, dead)
        if leap or self._stepped_back:
            return Verdict(False, leap or "the activity signal's seq ran backwards", says_active=signal.user_active)
        return self._said(signal)

    def _leap(self, now: Moment) -> str:
        """Why what was known until now is to be forgotten; empty when the clocks went on side by side."""
        before, self._before = self._before, now
        if before is None or not 0 <= now.boot_s - before.boot_s <= _COMPARED_WITHIN_S:
            return ""
        boot_s = now.boot_s - before.boot_s
        if boot_s - (now.awake_s - before.awake_s) > MAX_CLOCK_STEP_S:
            return "the machine has slept"
        if abs((now.wall - before.wall).total_seconds() - boot_s) > MAX_CLOCK_STEP_S:
            return "the machine's clock was set"
        return ""

    def _follow(self, seq: int | None) -> None:
        """A step back is believed again from its next step up on: that a sidecar was started anew tells nothing else.

        Two writers that take turns step back again and again.
        """
        if seq is None:
            return
        if self._seq is not None and seq != self._seq:
            self._stepped_back = seq < self._seq
        self._seq = seq

    def _dead(self, age_s: float, unchanged_s: float) -> str:
        """Why nobody seems to write the signal; the age by the wall clock alone could come out right by chance."""
        if age_s > self._max_age_s:
            return f"the activity signal is {age_s:.0f} s old"
        if age_s < -MAX_FUTURE_S:
            return "the activity signal is from the future"
        if unchanged_s > self._max_age_s:
            return f"the activity signal has not changed for {unchanged_s:.0f} s"
        return ""

    def _said(self, signal: ActivitySignal) -> Verdict:
        if signal.user_active:
            return Verdict(False, "the user is active", says_active=True)
        if signal.idle_seconds < self._min_idle_s:
            return Verdict(False, f"the user has been idle for less than min_idle_s ({self._min_idle_s:g} s)")
        return Verdict(True, "the user is idle")
