"""May heavy work run now? Asked before every model request, told to work in flight; fails closed `[gate-1]`–`[gate-3]`.

One gate for every entry point. It reads the sidecar's signal and nothing else: idleness is never inferred from load.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypedDict

from pipeline.gate.belief import MAX_FUTURE_S, Belief, Reading, Verdict
from pipeline.gate.clocks import Moment, read_clocks
from pipeline.gate.lookout import Lookout
from pipeline.gate.seen import Looks, Seen

__all__ = ["MAX_FUTURE_S", "Gate", "GateTerms", "Lookout", "Moment", "Verdict", "read_clocks"]

_MAX_SIGNAL_BYTES = 65_536
_KNOWN_FOR_S = 0.1
"""How long what was read of a file that has not changed since is known: it is read ten times a second or on change."""

_COARSE_NS = 20_000_000
"""A file that was changed less long ago may change again and look the same: file systems tell time in steps."""

_LONGEST_GAP_S = 2.0
"""Idleness holds while it is seen to: not over a longer time in which nobody looked."""


class GateTerms(TypedDict):
    """What a gate goes by, to make the same one in another process."""

    max_age_s: float
    min_idle_s: float
    assume_idle_when_missing: bool


class Gate:
    """Whether the user is away, by the activity signal.

    With `resume_hold_s` it is closed at first, and after each time it was: until idleness has held for that long.
    `on_change` is told the first verdict and each that says otherwise than the one before.
    """

    def __init__(
        self,
        signal: Callable[[], Path],
        *,
        max_age_s: float = 2.0,
        min_idle_s: float = 0.0,
        assume_idle_when_missing: bool = False,
        resume_hold_s: float = 0.0,
        on_change: Callable[[Verdict], None] = lambda _: None,
        clocks: Callable[[], Moment] = read_clocks,
    ) -> None:
        self._signal = signal
        self._belief = Belief(max_age_s, min_idle_s, assume_idle_when_missing=assume_idle_when_missing)
        self._hold_s = resume_hold_s
        self._on_change = on_change
        self._clocks = clocks
        self._asking = threading.Lock()
        self._looks = Looks()
        self._lookout = Lookout(lambda: self.ask().open)
        self._idle_since: float | None = None
        self._asked_at = 0.0
        self._told: Verdict | None = None
        self._known: tuple[Path, _Mark | None, float] = Path(), None, 0.0
        """What was read last, and when."""
        self._shut = ""

    def __call__(self) -> bool:
        """Whether a request may be sent now."""
        return self.ask().open

    def ask(self) -> Verdict:
        """Read the signal now, unless it was read a moment ago and has not changed since.

        Threads ask one after the other: interleaved, seq would seem to run backwards.
        """
        if self._shut:
            return Verdict(False, self._shut)
        with self._asking:
            now = self._clocks()
            if self._told is not None and self._is_known(now.boot_s):
                return self._told
            reading = self._read(now.boot_s)
            verdict = self._held(self._belief.judge(reading, now), now.boot_s)
            is_news = self._told is None or self._told.open != verdict.open
            self._told = verdict
            self._looks.note(now, is_open=verdict.open)
        if is_news:
            self._on_change(verdict)
        return verdict

    def shut(self, reason: str) -> None:
        """Close it for good, whatever the signal says: work ends as when the user comes. From anywhere, at any time."""
        self._shut = reason

    def seen(self) -> Seen | None:
        """When it was open, by all answers since this was asked last; None when there was none."""
        return self._looks.take()

    def tell(self, closed: Callable[[], None]) -> AbstractContextManager[None]:
        """Within this, have `closed` called as soon as the gate is: once, from another thread."""
        return self._lookout.tell(closed)

    def _is_known(self, at_s: float) -> bool:
        path, mark, read_at = self._known
        return mark is not None and 0 <= at_s - read_at < _KNOWN_FOR_S and mark == _mark(path)

    def _read(self, at_s: float) -> Reading:
        path = self._signal()
        mark = _mark(path)  # before it is read: what is written meanwhile is news
        is_told = mark is not None and time.time_ns() - mark[1] > _COARSE_NS
        self._known = path, mark if is_told else None, at_s
        return _read(path)

    def _held(self, verdict: Verdict, at_s: float) -> Verdict:
        gap_s, self._asked_at = at_s - self._asked_at, at_s
        if not verdict.open:
            self._idle_since = None
            return verdict
        was_open = self._told is not None and self._told.open and gap_s <= _LONGEST_GAP_S
        if was_open or self._hold_s == 0:
            return verdict
        if self._idle_since is None or gap_s > _LONGEST_GAP_S:
            self._idle_since = at_s
        if at_s - self._idle_since >= self._hold_s:
            return verdict
        return Verdict(False, f"the user has been idle for less than resume_hold_s ({self._hold_s:g} s)")


_Mark = tuple[int, int, int]
"""What is another one when a file was replaced or written: its number, when it was changed, its size."""


def _mark(path: Path) -> _Mark | None:
    try:
        found = os.stat(path)  # noqa: PTH116  asked before every request
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> Reading:
    try:
        # A FIFO in its place must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Reading(None, "there is no activity signal", is_missing=not path.is_symlink())
    except OSError as error:
        return Reading(None, f"the activity signal cannot be read: {error.strerror}")
    try:
        return Reading(os.read(descriptor, _MAX_SIGNAL_BYTES))
    except OSError as error:
        return Reading(None, f"the activity signal cannot be read: {error.strerror}")
    finally:
        os.close(descriptor)
