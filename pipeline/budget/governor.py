"""Holds a process tree to its part of the processors without the kernel's help: measures, stops, lets go on.

    used  ▁▂▃▅▇                ▁▂▃▅▇
    may   ─────────────────────────────────     what was used too much is waited for: debt / limit seconds
    tree  working │ stopped ── │ working …

Servers are stopped by a signal. This process must not stop itself, since nobody would wake it: it sleeps holding the
interpreter's lock, which holds all of its Python up and ends by itself.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from pipeline.budget.tree import ProcessTree

STEP_S = 0.03
"""How often it looks; within a step everybody may do what he wants."""

_MARGIN = 0.93
"""The part of the limit to aim at: clock ticks are coarse, and work goes on for a moment after each signal."""

_LONGEST_HOLD_S = 0.25
_SLICE_S = 0.03
"""How long this process sleeps at a stretch: who has to ask the gate gets a moment between two."""

_interpreter = ctypes.PyDLL(None)  # calls through it keep the interpreter's lock


class Governor:
    """Keeps the tree to `cpus` processors on average; `spare` are processes never to be stopped."""

    def __init__(
        self,
        tree: ProcessTree,
        cpus: float,
        spare: Callable[[], Collection[int]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tree = tree
        self.times = 0
        self.held_s = 0.0
        self._cpus = cpus * _MARGIN
        self._spare = spare
        self._now = now
        self._looked_at = now()
        self._used_s = tree.used_s
        self._debt_s = 0.0
        self._over = threading.Event()
        self._holding = threading.Lock()

    def stand_back(self) -> None:
        """Stop nobody any more; on return nobody is stopped by us. Who wants processes to be still sees to it now."""
        self._over.set()
        with self._holding:
            pass

    def step(self) -> None:
        """Look what was used since the last step; when it was too much, hold the tree up until that is made good.

        Unused time is not saved up.
        """
        self.tree.look()
        now = self._now()
        allowed_s = (now - self._looked_at) * self._cpus
        self._debt_s = max(0.0, self._debt_s + self.tree.used_s - self._used_s - allowed_s)
        self._looked_at, self._used_s = now, self.tree.used_s
        if self._debt_s > 0:
            with self._holding:
                self._hold(min(self._debt_s / self._cpus, _LONGEST_HOLD_S))

    def _hold(self, seconds: float) -> None:
        if self._over.is_set():
            return
        busy = {pid for pid, used_s in self.tree.recent.items() if used_s > 0}
        until = self._now() + seconds
        self.times += 1
        started = self._now()
        stopped = [pid for pid in busy - {os.getpid(), *self._spare()} if self._stop(pid)]
        try:
            while (left_s := until - self._now()) > 0 and not self._over.is_set():
                piece_s = min(left_s, _SLICE_S)
                if os.getpid() in busy:
                    _interpreter.usleep(ctypes.c_uint(int(piece_s * 1e6)))
                    time.sleep(0)
                else:
                    time.sleep(piece_s)
        finally:
            for pid in stopped:
                _signal(pid, signal.SIGCONT)
        self.held_s += self._now() - started

    def _stop(self, pid: int) -> bool:
        """Stop a process, unless somebody else has: then it is not ours to wake."""
        seen = self.tree.members.get(pid)
        return seen is not None and seen.state != "T" and _signal(pid, signal.SIGSTOP)


def narrow(pids: Collection[int], cpus: frozenset[int]) -> None:
    """Have processes with all their threads, and what they start, run on these processors only."""
    for pid in pids:
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cpus)


def choose_cpus(allowed: Collection[int], cpus: float, turn: int) -> frozenset[int]:
    """As many of the processors as `cpus` needs, beginning elsewhere for each `turn`, so that runs do not pile up."""
    ordered = sorted(allowed)
    wanted = min(len(ordered), max(1, math.ceil(cpus)))
    return frozenset(ordered[(turn + step) % len(ordered)] for step in range(wanted))


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True
