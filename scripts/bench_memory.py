"""How much memory a run takes, with all its processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import psutil


class tree_memory:  # noqa: N801 reads as a statement
    """Looks at the memory of a process and all below it, twice a second, but not at that of servers.

    A page that several share is counted once.
    """

    def __init__(self, pid: int, leave_out: Callable[[psutil.Process], bool]) -> None:
        self._pid = pid
        self._leave_out = leave_out
        self.peak_bytes = 0

    def __enter__(self) -> tree_memory:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.5):
            total = 0
            with suppress(psutil.Error):
                process = psutil.Process(self._pid)
                total = sum(self._memory(item) for item in (process, *process.children(recursive=True)))
            self.peak_bytes = max(self.peak_bytes, total)

    def _memory(self, process: psutil.Process) -> int:
        with suppress(psutil.Error):
            return 0 if self._leave_out(process) else int(process.memory_full_info().pss)
        return 0
