"""Keeps one model server: starts it, asks how it is, ends it when nobody is left who wanted it, and leaves nothing.

    driver ──starts──▶ keeper ──starts──▶ server ──may start──▶ more
      └─ holds `<run-file>.users` shared ─┘ is killed by the kernel when the keeper dies

It is a process of its own, so that it can end a server that is stopped or hangs, when the driver was killed too. It has
one thread, since the kernel ties a parent's death to the thread that forked; it stands on the standard library alone,
so that it starts at once and stays small. It holds the server's lock, as the server does: free means both are gone.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from workers.ask_health import Health
from workers.keep_quiet import Quiet, all_processes
from workers.server_notes import History, Users

_LOOK_EVERY_S = 0.25
_END_GRACE_S = 4.0
_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36
_MARK = "AUTOCAPTURE_SERVER"
"""Every process of a server has its run file under this name in its environment."""

_TOLD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""SIGHUP comes from the kernel too: when the one who started us has died while we, or the server, were stopped."""

_BE_QUIET, _GO_ON = signal.SIGUSR1, signal.SIGUSR2
_CAUGHT = {*_TOLD, _BE_QUIET, _GO_ON, signal.SIGCHLD}


def main(argv: Sequence[str] | None = None) -> int:
    """Keep a server until it ends; returns its exit code, or 128 and the number of the signal that ended it."""
    parser = argparse.ArgumentParser(prog="workers.keeper", allow_abbrev=False)
    parser.add_argument("--run-file", type=Path, required=True, help="where the server writes how to reach it")
    parser.add_argument("--lock-fd", type=int, required=True, help="descriptor of the server's lock, held")
    parser.add_argument("--start-s", type=float, required=True, help="seconds the server may take until it is ready")
    parser.add_argument("--silence-s", type=float, required=True, help="seconds it may leave its health untold")
    parser.add_argument("--light", action="store_true", help="once ready, it may work while the user is active")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the server's command")
    given = parser.parse_args(argv)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    keeper = Keeper(given.run_file, given.lock_fd, given.start_s, given.silence_s, is_light=given.light)
    return keeper.keep(given.command[1:])


class Keeper:
    """One server and what came of it."""

    def __init__(self, run_file: Path, lock: int, start_s: float, silence_s: float, *, is_light: bool) -> None:
        self.run_file = run_file
        self.lock = lock
        self.start_s = start_s
        self.silence_s = silence_s
        self.is_light = is_light
        self.users = Users(run_file)
        self.quiet = Quiet()
        self.history = History(run_file)
        self.server = 0
        self.status: int | None = None
        self.why = ""
        """Why the server was made to end; empty when it ended by itself."""

    def keep(self, command: list[str]) -> int:
        """Start the server and stay until it, and all that it started, is gone."""
        _prctl(_CHILD_SUBREAPER, 1)
        _kill_marked(str(self.run_file.absolute()))
        self.history.begins()
        self.server = self._start(command)
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{self.server} {os.getpid()}\n".encode(), 0)
        told = self._watch()
        if self.status is None:
            self._end()
        _kill_children()
        self._remove_run_file()
        code = self._code()
        self.history.ended(self.why or _how(code), asked=told or (code == 0 and not self.why))
        return code

    def _start(self, command: list[str]) -> int:
        keeper = os.getpid()
        os.set_inheritable(self.lock, True)
        pid = os.fork()
        if pid:
            return pid
        try:
            _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != keeper:  # it died before it could be told
                os._exit(1)
            os.environ[_MARK] = str(self.run_file.absolute())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
            os.execvp(command[0], [*command, "--lock-fd", str(self.lock)])  # noqa: S606 no shell is the point
        except OSError as error:
            sys.stderr.write(f"error: cannot start {command[0]}: {error.strerror} → reinstall the package\n")
            sys.stderr.flush()
        finally:
            os._exit(127)

    def _watch(self) -> bool:
        """Wait until the server has ended, or is to end; tells whether somebody asked for that."""
        start_by = time.monotonic() + self.start_s
        health: Health | None = None
        while not self._has_ended(self.quiet.look_within_s(_LOOK_EVERY_S)):
            if self._told:
                self.why = "told to"
                return True
            if self.users.left_in_the_lurch():
                self.why = "the process that used it was killed"
                return True
            if self.quiet.see_to(self.server, may_work=self.is_light and health is not None):
                if self.users.want_it_no_more:
                    self.why = "it was stopped for the user, and nobody uses it"
                    return True
                start_by += _LOOK_EVERY_S
                if health is not None:
                    health.close()
                continue
            if health is None:
                place = self._published()
                health = Health(*place) if place is not None else None
            elif health.silent_s() > self.silence_s:
                self.why = f"it did not say how it is for {self.silence_s:g} s"
                return False
            if health is None and time.monotonic() > start_by:
                self.why = f"it was not ready after {self.start_s:g} s"
                return False
        return False

    _told = False

    def _has_ended(self, within_s: float) -> bool:
        """Wait a while for the server to end; what else ended meanwhile was orphaned below us, and is reaped."""
        caught = signal.sigtimedwait(_CAUGHT, within_s)
        number = caught.si_signo if caught is not None else 0
        self._told = self._told or number in _TOLD
        if number in (_BE_QUIET, _GO_ON):
            self.quiet.wanted(self.server, is_wanted=number == _BE_QUIET)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.server:
                    self.status = ended[1]
        return self.status is not None

    def _end(self) -> None:
        """Ask the server to end, and kill it when it has not after some seconds; at once where it was to be quiet."""
        sys.stderr.write(f"ending the server: {self.why}\n")
        sys.stderr.flush()
        kindly = () if self.quiet.is_stopped else ((signal.SIGTERM, _END_GRACE_S),)
        for number, grace_s in (*kindly, (signal.SIGKILL, 60.0)):
            os.kill(self.server, number)
            os.kill(self.server, signal.SIGCONT)
            deadline = time.monotonic() + grace_s
            while time.monotonic() < deadline:
                if self._has_ended(0.05):
                    return

    def _published(self) -> tuple[str, str] | None:
        """The server's address and its token, once it is ready."""
        try:
            found = json.loads(self.run_file.read_bytes())
            return (str(found["url"]), str(found["token"])) if found["pid"] == self.server else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remove_run_file(self) -> None:
        if self._published() is not None:
            self.run_file.unlink(missing_ok=True)

    def _code(self) -> int:
        code = os.waitstatus_to_exitcode(self.status or 0)
        return 128 - code if code < 0 else code


def _how(code: int) -> str:
    if code > 128:
        with suppress(ValueError):
            return f"it was killed ({signal.Signals(code - 128).name})"
    return f"it ended with code {code}"


def _kill_children() -> None:
    """Kill what the server left behind: its children are ours now, theirs will be when they are dead."""
    while children := [pid for pid, parent in all_processes() if parent == os.getpid()]:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _kill_marked(mark: str) -> None:
    """Kill what is left of an earlier server whose keeper was killed. The lock is ours: none of it is wanted."""
    wanted = f"{_MARK}={mark}".encode()
    for pid, _ in all_processes():
        with suppress(OSError):
            if pid != os.getpid() and wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), zero, zero, zero)


if __name__ == "__main__":
    sys.exit(main())
