"""Ends what is computed in this process soon after the gate closes, also where nothing asks it.

    gate's thread ── closed ──▶ main thread, between two steps of Python ── _Closed ──▶ Blocked

It ends only within code that opens and holds nothing: the stages above all, which take the time. Elsewhere the next
moment is tried; a call into a library, into Arrow or SQLite, ends first.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from pipeline.errors import Blocked
from pipeline.gate import Gate, Verdict

HOLDS_NOTHING = ("pipeline.stages.", "schemas.", "pipeline.runs.discover", "pipeline.stores.text_")
"""How the names of modules begin that an end may come in: no file, lock or process is in their hands."""

_AGAIN_S = 0.002
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
        """From the gate's thread: have it ended."""
        self.is_wanted = False
        threading.Thread(target=self._insist, name="gate-closed", daemon=True).start()

    def _insist(self) -> None:
        while self.runs:
            signal.pthread_kill(_MAIN, signal.SIGUSR1)
            time.sleep(_AGAIN_S)


_part: _Part | None = None


def while_open(gate: Gate, compute: Callable[[], Result]) -> Result:
    """Compute something, unless the gate closes meanwhile. Raises Blocked, and what `compute` raises.

    What it writes must be whole in a transaction or by a rename. In another thread than the main one it is not ended.
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


def _on_signal(_: int, frame: FrameType | None) -> None:
    if _part is None or not _part.runs or _part.is_wanted or frame is None:
        return
    if str(frame.f_globals.get("__name__")).startswith(HOLDS_NOTHING):
        raise _Closed
