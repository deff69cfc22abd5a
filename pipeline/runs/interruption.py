"""Ends what is computed in this process soon after the gate closes, also where nothing asks it.

    gate's thread ── closed ──▶ main thread, between two steps of Python ── _Closed ──▶ Blocked

A call into a library ends first: Arrow, SQLite and the like come back within tenths of a second.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import Blocked
from pipeline.gate import Gate, Verdict

_AGAIN_S = 0.05
_MAIN = threading.main_thread().ident or 0
Result = TypeVar("Result")


class _Closed(BaseException):
    """The gate has closed. No Exception: what is computed may take those for what they are not."""


class _Part:
    """What is being computed."""

    def __init__(self) -> None:
        self.runs = False
        self.is_wanted = True

    def end(self) -> None:
        """From the gate's thread: raise _Closed in the main thread; again when it was lost, as in a destructor."""
        self.is_wanted = False
        if self.runs:
            signal.pthread_kill(_MAIN, signal.SIGUSR1)
            again = threading.Timer(_AGAIN_S, self.end)
            again.daemon = True
            again.start()


_part: _Part | None = None


def while_open(gate: Gate, compute: Callable[[], Result]) -> Result:
    """Compute something, unless the gate closes meanwhile. Raises Blocked, and what `compute` raises.

    For what reads and computes, and writes nothing that could be left half done. In another thread than the main one
    it is not ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return compute()
    global _part
    part, outer = _Part(), _part
    if signal.getsignal(signal.SIGUSR1) is not _on_signal:
        signal.signal(signal.SIGUSR1, _on_signal)  # never taken back: a signal that is on its way would end us
    try:
        with gate.tell(part.end):
            try:
                _part, part.runs = part, True
                return compute()
            finally:
                part.runs = False
    except _Closed:
        part.runs = False
        raise closed(gate.ask()) from None
    finally:
        _part = outer


def closed(verdict: Verdict) -> Blocked:
    """The error for a gate that is closed, or was for a moment: that is enough."""
    why = "the user was active for a moment" if verdict.open else verdict.reason
    return Blocked(
        f"stopped: {why}",
        remedy="it goes on when run again while the user is idle; --assume-idle-when-missing helps only where"
        " there is no signal at all",
    )


def _on_signal(*_: object) -> None:
    if _part is not None and _part.runs and not _part.is_wanted:
        raise _Closed
