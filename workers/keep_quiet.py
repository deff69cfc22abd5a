"""Has a server do nothing while the user is active, whatever it is made of: a part of its keeper.

    told to be quiet ── works? ── SIGSTOP … SIGCONT ── told to go on

A server that works is stopped where it stands: who waited for its answers hangs up meanwhile, and that it notices when
it goes on. One that was idle is left alone, and looked at closely for a while.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_LOOK_CLOSELY_S, _CLOSELY_FOR_S = 0.1, 0.5
_TOO_SHORT_S = 0.02
"""Too little time to judge by what was used in it."""

_SCHED_CLOCK = 2
_SHARE_OF_QUIET = 0.25
"""Of one core: to tell how it is takes far less, a model far more."""


class Quiet:
    """What is wanted of one server, and whether it is stopped."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._seen: tuple[float, float] = 0.0, 0.0
        """When it was last looked at, be quiet wanted or not, and how many seconds of the processor it had used."""
        self.is_stopped = False
        """Whether the server is stopped by us."""

    def look_within_s(self, usually_s: float) -> float:
        """How long to wait until the next look: short as long as it is to be found out whether the server works."""
        if self._since is None or self.is_stopped or time.monotonic() - self._since > _CLOSELY_FOR_S:
            return usually_s
        return _LOOK_CLOSELY_S

    def wanted(self, server: int, *, is_wanted: bool) -> None:
        """Quiet is wanted from now on, or no more."""
        if is_wanted and self._since is None:
            self._since = time.monotonic()
        elif not is_wanted:
            self._since = None
            if self.is_stopped:
                self.is_stopped = False
                _send_all(server, signal.SIGCONT)

    def see_to(self, server: int, *, may_work: bool) -> bool:
        """Stop the server if it works all the same; tells whether it is stopped. To be called at every look."""
        now, used_s = time.monotonic(), _cpu_s(server)
        elapsed_s = now - self._seen[0]
        if self.is_stopped or elapsed_s < _TOO_SHORT_S:
            return self.is_stopped
        works = used_s - self._seen[1] > elapsed_s * _SHARE_OF_QUIET
        self._seen = now, used_s
        if works and self._since is not None and not may_work:
            self.is_stopped = True
            _send_all(server, signal.SIGSTOP)
        return self.is_stopped


def all_processes() -> list[tuple[int, int]]:
    """All processes, each with its parent."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                found.append((int(place.name), int(fields[1])))
    return found


def _send_all(server: int, number: signal.Signals) -> None:
    """Send a signal to the server and to all that it started."""
    parents = all_processes()
    family = [server]
    for pid in family:
        family += [child for child, parent in parents if parent == pid]
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _cpu_s(server: int) -> float:
    """Seconds of the processor that the server has used, by its clock (clock_getcpuclockid(3)); 0 when it is gone."""
    try:
        return time.clock_gettime(~server << 3 | _SCHED_CLOCK)
    except OSError:
        return 0.0
