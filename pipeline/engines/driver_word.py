"""The driver's word for workers on other machines: whether it still lives, wants results, and the user is idle.

There is no clock that both can read: the activity signal carries the time of the driver's machine, and its process id
says nothing elsewhere. So the driver writes a number that rises into a file of the shared DataRoot, for as long as work
may go on; who reads it goes by its own clock how long it has not risen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SAY_EVERY_S = 0.1
BELIEVED_S = 5.0
"""How long a number that does not rise is believed: a busy driver may be late, and Ray ends the work of a dead one."""

_FILE = "word"
_DIGITS = 20
_CLOSED = b"0" * _DIGITS


class DriverWord:
    """The driver's side: says that work may go on until it is closed. The folder is the one that tells a job."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._path = folder / _FILE
        self._over = threading.Event()
        self._number = 0
        self._guard = threading.Lock()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._say()
        self._thread = threading.Thread(target=self._keep_saying, name="driver-word", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nothing is to be done any more; may be called again, and from any thread."""
        with self._guard:
            if not self._over.is_set():
                self._over.set()
                self._write(_CLOSED)

    def remove(self) -> None:
        """Close, and take the file away."""
        self.close()
        self._thread.join()
        os.close(self._file)
        self._path.unlink(missing_ok=True)

    def _keep_saying(self) -> None:
        while not self._over.wait(SAY_EVERY_S):
            with self._guard:
                if not self._over.is_set():
                    self._say()

    def _say(self) -> None:
        self._number += 1
        self._write(b"%0*d" % (_DIGITS, self._number))

    def _write(self, word: bytes) -> None:
        """In place and always as long, so that a reader never finds half of it; a full disk is silence."""
        with suppress(OSError):
            os.pwrite(self._file, word, 0)


class HeardWord:
    """A worker's side: whether the driver says that work may go on."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / _FILE
        self._clock = clock
        self._last = b""
        self._since = clock()

    def __call__(self) -> bool:
        """Look now. What cannot be read is no."""
        try:
            word = self._path.read_bytes()
        except OSError:
            return False
        if word == _CLOSED:
            return False
        if word != self._last:
            self._last, self._since = word, self._clock()
        return self._clock() - self._since <= BELIEVED_S
