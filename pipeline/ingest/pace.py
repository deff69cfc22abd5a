"""How fast Stage 1 may work right now: at full speed, by the crumbs, or not at all `[gate-4]`.

step ── step ── step ──── user comes ──── step ─ sleep ─ step ── sleep ──
  full speed, lowest priority                active-safe: 5 % of one core, one at a time
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pipeline.errors import Blocked
from pipeline.ingest.gate_mode import GateMode

if TYPE_CHECKING:
    from pipeline.gate import Gate

SHARE = 0.04
"""Of one core in active-safe mode. Promised are 5 %; what cannot be stopped in the middle takes the rest."""
_ASK_S = 0.25
_SHORTEST_SLEEP_S, _LONGEST_SLEEP_S = 0.001, 0.5
_LOWEST_NICE = 19
_FULL: AbstractContextManager[None] = nullcontext()


class Stopped(Exception):
    """Somebody asked the work to end at the next safe point."""


def cpu_of_all_processes() -> float:
    """CPU seconds of this process, of those that it started and that ended, and of those that are still there."""
    used = sum(os.times()[:4])
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                with suppress(psutil.Error):
                    used += sum(psutil.Process(int(child)).cpu_times()[:4])
    return used


@dataclass(frozen=True)
class PaceClock:
    """Where time and work are read; tests give their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    cpu_s: Callable[[], float] = cpu_of_all_processes


class Pace:
    """Asked between any two small pieces of work, by several threads. Without a gate it never holds anything up."""

    def __init__(
        self, gate: Gate | None = None, mode: GateMode = GateMode.auto, clock: PaceClock | None = None
    ) -> None:
        self._gate = gate
        self._mode = mode
        self._clock = clock or PaceClock()
        self._lock = threading.RLock()
        self._asked_at = float("-inf")
        self._began: tuple[float, float] | None = None
        """In active-safe mode: when, and after how much CPU, the debt was nil."""
        self._is_first = True
        self.stop_reason = ""
        """Set to have the work end at the next step."""

    @property
    def is_slow(self) -> bool:
        """Whether it is one worker at a time now."""
        return self._began is not None

    def turn(self) -> AbstractContextManager[None]:
        """Hold this for one small piece of work; in active-safe mode one thread has it at a time.

        Raises Blocked when the gate closed, Stopped.
        """
        self.step()
        return self._one_at_a_time() if self.is_slow else _FULL

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with self._lock:
            yield

    def step(self) -> None:
        """Wait as long as the mode demands. Raises Blocked when the gate closed, Stopped."""
        if self._gate is None:
            return
        self._ask()
        while self._began is not None and (debt_s := self._debt_s()) > _SHORTEST_SLEEP_S:
            with self._lock:
                self._clock.sleep(min(debt_s, _LONGEST_SLEEP_S))
            self._ask()

    def _ask(self) -> None:
        """Look at the gate, at most four times a second: the user must not wait for us, nor we for the file."""
        if self.stop_reason:
            raise Stopped(self.stop_reason)
        now = self._clock.monotonic()
        if self._gate is None or now - self._asked_at < _ASK_S:
            return
        self._asked_at = now
        if self._mode is GateMode.active_safe:
            self._slow_down(now)
            return
        verdict = self._gate.ask()
        if self._mode is GateMode.idle and not verdict.open:
            raise Blocked(f"ingest waits: {verdict.reason}", remedy="run it again later, or with --gate auto")
        if self._mode is GateMode.auto and verdict.says_active:
            self._slow_down(now)
        else:
            self._began = None
        self._is_first = False

    def _slow_down(self, now: float) -> None:
        if self._began is None:
            # What the start of the process took counts too, where the user was there from the start.
            self._began = (now, 0.0 if self._is_first else self._clock.cpu_s())
        self._is_first = False

    def _debt_s(self) -> float:
        """Seconds to sleep until what was used is within the share. What was not used is not saved up."""
        if self._began is None:
            return 0.0
        began_at, began_cpu = self._began
        now, used = self._clock.monotonic(), self._clock.cpu_s()
        debt_s = (used - began_cpu) / SHARE - (now - began_at)
        if debt_s <= 0:
            self._began = (now, used)
        return debt_s


@contextmanager
def lowest_priority() -> Iterator[None]:
    """Work when nobody else wants the processor or the disk; set back afterwards where that is allowed."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    process = psutil.Process()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _LOWEST_NICE)
    with suppress(OSError, psutil.Error):
        process.ionice(psutil.IOPRIO_CLASS_IDLE)
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
        with suppress(OSError, psutil.Error):
            process.ionice(psutil.IOPRIO_CLASS_NONE)
