"""What lies beside a server's run file for its keeper: who uses the server, and how it ended so far.

Stands on the standard library alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


class Users:
    """Who uses the server: each holds a file, shared, and notes `+pid` in it, and `-pid` when it is done with it.

    The kernel lets go for a process that is killed, and then its `-pid` is missing. `=` says that the server is to stay
    all the same: an operator asked for it.
    """

    def __init__(self, run_file: Path) -> None:
        path = run_file.with_name(run_file.name + ".users")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._stays = False
        self.want_it_no_more = False
        """Whether nobody uses it, and no operator asked for it."""

    def left_in_the_lurch(self) -> bool:
        """Whether nobody uses the server any more, and one of those who did was killed."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.want_it_no_more = False
            return False
        try:
            notes = os.pread(self._file, 1 << 20, 0).decode(errors="replace").split()
            if notes:
                os.ftruncate(self._file, 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._stays = self._stays or "=" in notes
        self.want_it_no_more = not self._stays
        came = {note[1:] for note in notes if note.startswith("+")}
        return not self._stays and bool(came - {note[1:] for note in notes if note.startswith("-")})


class History:
    """How often the server was started and how it ended, beside its run file: `<run-file>.history`.

    `deaths` counts ends that nobody asked for since the last one that somebody did.
    """

    def __init__(self, run_file: Path) -> None:
        self._path = run_file.with_name(run_file.name + ".history")
        self._known: dict[str, Any] = {"runs": False, "deaths": 0, "died_at": None, "died_of": ""}
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            self._known.update({name: found[name] for name in self._known if name in found})

    def begins(self) -> None:
        """The server is about to be started; where the last one was not seen to end, its keeper was killed too."""
        if self._known["runs"]:
            self._died("it was killed, and its keeper too")
        self._write(runs=True)

    def ended(self, how: str, *, asked: bool) -> None:
        """The server has ended."""
        if asked:
            self._known["deaths"] = 0
        else:
            self._died(how)
        self._write(runs=False)

    def _died(self, how: str) -> None:
        self._known.update(deaths=int(self._known["deaths"]) + 1, died_at=time.time(), died_of=how)

    def _write(self, *, runs: bool) -> None:
        self._known["runs"] = runs
        descriptor, name = tempfile.mkstemp(prefix=f".tmp-{self._path.name}-", dir=self._path.parent)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(self._known, stream)
        Path(name).rename(self._path)
