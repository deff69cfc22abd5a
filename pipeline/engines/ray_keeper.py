"""Keeps Ray's driver and all that it starts: stops it where it stands, lets it go on, ends it, and leaves nothing.

    run ──starts──▶ keeper ──starts──▶ driver ──starts──▶ Ray's processes, and theirs
      └─ a pipe ──────┘ is their subreaper, and is never stopped itself

What the run writes into the pipe is done; that the pipe is at its end, since the run ended it or was killed, is the
end of all. It is a process of its own with one thread, on the standard library alone: it starts at once, does in
milliseconds what it is told, however busy the run is, and the kernel can tie the driver's life to it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

STOP, STOP_SOON, GO_ON = b"s", b"q", b"g"
"""What the run writes: stop all processes now, or after a moment in which they may hand in; let them go on."""

_LOOK_AGAIN_S, _STOPPING_S, _GIVE_UP_S = (0.0, 0.01, 0.05, 0.15), 0.003, 0.5
_STANDS = "TtZX"
"""States of a process that does nothing: stopped, traced, dead and not yet reaped."""

_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36


class _ToldToEnd(Exception):
    """A signal asked for the end."""


def main(argv: Sequence[str] | None = None) -> None:
    """Keep a driver until it ends or is not wanted any more; on return nothing is left of it."""
    parser = argparse.ArgumentParser(prog="pipeline.engines.ray_keeper", allow_abbrev=False)
    parser.add_argument("--told-fd", type=int, required=True, help="the end of the pipe to read from")
    parser.add_argument("--driver-fd", type=int, required=True, help="what the driver is to have, and nobody else")
    parser.add_argument("--hand-in-s", type=float, required=True, help="seconds that STOP_SOON leaves")
    parser.add_argument("--stay-s", type=float, required=True, help="seconds after which what is stopped is ended")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the driver's command")
    given = parser.parse_args(argv)
    _prctl(_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _told_to_end)
    try:
        driver = _start(given.command[1:], given.driver_fd)
        _Keeper(driver.pid, given.told_fd, given.hand_in_s, given.stay_s).keep()
    except _ToldToEnd:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _kill_all()


class _Keeper:
    def __init__(self, driver: int, told: int, hand_in_s: float, stay_s: float) -> None:
        self.told = told
        self.ended = os.pidfd_open(driver)
        self.poll = select.poll()
        for file in (told, self.ended):
            self.poll.register(file, select.POLLIN)
        self.hand_in_s, self.stay_s = hand_in_s, stay_s
        self.stop_at: float | None = None
        self.end_at: float | None = None

    def keep(self) -> None:
        """Do what is told, until the end."""
        while True:
            moments = [moment for moment in (self.stop_at, self.end_at) if moment is not None]
            left_ms = 1000 * max(0.0, min(moments) - _now()) if moments else None
            ready = {file for file, _ in self.poll.poll(left_ms)}
            if self.ended in ready:
                return
            if self.told in ready:
                words = os.read(self.told, 64)
                if not words:
                    return
                for word in words:
                    self.do(bytes([word]))
            if self.stop_at is not None and _now() >= self.stop_at:
                self.stop()
            if self.end_at is not None and _now() >= self.end_at:
                return

    def do(self, word: bytes) -> None:
        """Do one thing that was told."""
        if word == GO_ON:
            self.stop_at = self.end_at = None
            _send(descendants(), signal.SIGCONT)
        elif self.end_at is None:  # not stopped yet
            soon = _now() + (self.hand_in_s if word == STOP_SOON else 0.0)
            self.stop_at = soon if self.stop_at is None else min(self.stop_at, soon)

    def stop(self) -> None:
        """Stop all. One that is just starting another one ends that first, so it is looked again whether all stand."""
        self.stop_at, self.end_at = None, _now() + self.stay_s
        family = Family()
        for pause_s in _LOOK_AGAIN_S:
            time.sleep(pause_s)
            give_up_at = _now() + _GIVE_UP_S
            while (running := family.running()) and _now() < give_up_at:
                _send(running, signal.SIGSTOP)
                time.sleep(_STOPPING_S)


class Family:
    """All processes below this one. Who was seen to be a stranger, or to stand, is not looked at again: that costs."""

    def __init__(self) -> None:
        self.standing = set[int]()
        self.strangers = set[int]()

    def running(self) -> list[int]:
        """Those that do not stand yet, those that started others before those."""
        states: dict[int, str] = {}
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):  # noqa: PTH208  a third of the time
            if name.isdecimal() and (pid := int(name)) not in self.strangers and pid not in self.standing:
                with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    state, parent = file.read().rpartition(b")")[2].split(None, 2)[:2]
                    states[pid] = state.decode()
                    children.setdefault(int(parent), []).append(pid)
        found = [os.getpid(), *self.standing]
        for pid in found:
            found += children.get(pid, ())
        self.strangers.update(states.keys() - set(found))
        fresh = found[1 + len(self.standing) :]
        self.standing.update(pid for pid in fresh if states[pid] in _STANDS)
        return [pid for pid in fresh if states[pid] not in _STANDS]


def descendants() -> list[int]:
    """All processes below this one."""
    family = Family()
    return [*family.running(), *family.standing]


def _start(command: list[str], theirs: int) -> subprocess.Popen[bytes]:
    keeper = os.getpid()

    def tie() -> None:
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != keeper:
            raise ProcessLookupError  # it died before the kernel could be told

    # Between fork and exec Python may run here: this process has one thread.
    driver = subprocess.Popen(command, pass_fds=[theirs], preexec_fn=tie)
    os.close(theirs)
    return driver


def _kill_all() -> None:
    """Kill what is below; whose parent is dead becomes a child of this process, so that it is found and reaped."""
    while below := descendants():
        _send(below, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _now() -> float:
    """Counts on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _told_to_end(number: int, _: object) -> None:
    raise _ToldToEnd(number)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), zero, zero, zero)


if __name__ == "__main__":
    main()
