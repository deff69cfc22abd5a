"""Ray's driver and its keeper, as the run that started them sees them: asked, stopped, let go on, ended."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

from pipeline.dataroot import DataRoot
from pipeline.engines.ray_environment import driver_environment
from pipeline.engines.ray_folder import hold_folder, link_to, make_folder, remove_files, remove_folder
from pipeline.engines.ray_keeper import GO_ON, STOP, STOP_SOON
from pipeline.engines.ray_messages import Asked, Ended, Said, Start

HAND_IN_S = 0.06
"""How long workers may take to hand in what they had finished when the gate closed, before all is stopped."""

_LEAVES_S, _GIVE_UP_S = 5.0, 20.0
"""How long the driver may take to leave a Ray; how long a process that hangs in the kernel is waited for."""
_STDERR = 2
_NO_MORE = pickle.dumps(None)


class RayProcess:
    """One driver from its start to its end. May be stopped from any thread; for the rest, to be used from one."""

    def __init__(self, root: DataRoot, cpus: int, address: str, networks: Sequence[str], stay_s: float) -> None:
        """Start it; when it has been stopped for `stay_s` it is ended. Raises Unavailable, OSError."""
        self.said: SimpleQueue[Said | None] = SimpleQueue()
        """What the driver says, Ended at last; None is for others to be heard by who listens."""
        self.was_stopped = False
        """Whether it ever was: what goes wrong later may come of that."""
        self.has_ended = False
        """Whether nothing is left of it."""
        self._address = address
        self._folder = None if address else make_folder(root)
        self._held = None if self._folder is None else hold_folder(self._folder)
        try:
            place = None if self._folder is None else link_to(self._folder)
            self._ours, self._told, self._keeper = _start_keeper(own=not address, stay_s=stay_s)
        except BaseException:
            self._clean_up(keeper_killed=False)
            raise
        self._guard = threading.Lock()
        self._is_open = True
        self._asked: SimpleQueue[bytes] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="ray-says", daemon=True)
        self._writer = threading.Thread(target=self._write, name="ray-asked", daemon=True)
        self._reader.start()
        self._writer.start()
        self.ask(Start(place, cpus, address, tuple(networks)))

    def ask(self, what: Asked | Start) -> None:
        """Have the driver hear something; it is not waited for, since it may be stopped."""
        self._asked.put(pickle.dumps(what))

    def stop(self, *, soon: bool) -> None:
        """Stop it, and all it started, where they stand: at once, or when they have had HAND_IN_S."""
        self.was_stopped = True
        self._tell(STOP_SOON if soon else STOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._tell(GO_ON)

    def end(self, *, kindly: bool) -> None:
        """End it; returns when nothing is left of it. Kindly it takes leave of the Ray that it has joined."""
        if kindly and self._address:
            self.ask(None)
            self._reader.join(_LEAVES_S)
        with self._guard:
            if self._is_open:
                self._is_open = False
                os.close(self._told)
        self.ask(None)
        for thread in (self._reader, self._writer):
            thread.join(_GIVE_UP_S)
        self._ours.close()

    def _tell(self, word: bytes) -> None:
        with self._guard, suppress(BrokenPipeError):
            if self._is_open:
                os.write(self._told, word)

    def _read(self) -> None:
        """Hear what is said until the driver's end of the connection is closed, which the kernel does at its death."""
        with suppress(EOFError, OSError):
            while True:
                self.said.put(self._ours.recv())
        self._clean_up(keeper_killed=self._keeper.wait() < 0)
        self.has_ended = True
        self.said.put(Ended())

    def _write(self) -> None:
        with suppress(OSError):
            what = b""
            while what != _NO_MORE:
                what = self._asked.get()
                self._ours.send_bytes(what)

    def _clean_up(self, *, keeper_killed: bool) -> None:
        """The keeper has ended all there was, unless it was killed itself."""
        if self._folder is not None:
            remove_folder(self._folder, patience_s=0) if keeper_killed else remove_files(self._folder)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _start_keeper(*, own: bool, stay_s: float) -> tuple[Connection, int, subprocess.Popen[bytes]]:
    """Gives our end of the connection to the driver, that of the keeper's pipe, and the keeper. Raises OSError."""
    ours, theirs = multiprocessing.Pipe()
    heard, told = os.pipe()
    # -P: the current directory must not be able to stand in for our modules, or for Ray.
    python = [sys.executable, "-P", "-m"]
    keeper = [*python, "pipeline.engines.ray_keeper", "--told-fd", str(heard), "--driver-fd", str(theirs.fileno())]
    driver = [*python, "pipeline.engines.ray_driver", "--connection-fd", str(theirs.fileno())]
    try:
        process = subprocess.Popen(
            [*keeper, "--hand-in-s", str(HAND_IN_S), "--stay-s", str(stay_s), "--", *driver],
            stdin=subprocess.DEVNULL, stdout=_STDERR, env=driver_environment(own=own), umask=0o077, cwd="/",
            pass_fds=[heard, theirs.fileno()],
            process_group=0,  # Ctrl-C is for the run, which ends this in its turn
        )  # fmt: skip
    except BaseException:
        os.close(told)
        ours.close()
        raise
    finally:
        os.close(heard)
        theirs.close()
    return ours, told, process
