"""Keeps the memory of a process tree under its cap: ends the largest server before the cap is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.budget.tree import ProcessTree

ACT_AT = 0.9
"""The part of the cap at which a server is ended: what grows is to be stopped before the kernel has to kill."""

_LOOK_CLOSER_AT = 0.7
"""Up to here resident memory, which counts shared pages several times and is cheap to read, is proof enough."""


class MemoryWatch:
    """Looks at the tree; `servers` gives the process of each kind of server that is ours, `end` ends one of a kind."""

    def __init__(
        self,
        tree: ProcessTree,
        cap_bytes: int,
        servers: Callable[[], Mapping[str, int]],
        end: Callable[[str], object],
    ) -> None:
        self.used = 0
        self.peak = 0
        self.too_much = ""
        """Why the run cannot go on: it alone, without any server, takes too much."""
        self._tree = tree
        self._cap = cap_bytes
        self._servers = servers
        self._end = end

    def step(self) -> str | None:
        """Look once; tells which server was ended, and why, as one sentence, or None."""
        self.used = self._tree.rss
        if self.used > self._cap * _LOOK_CLOSER_AT:
            self.used = self._tree.memory()
        self.peak = max(self.peak, self.used)
        if self.used < self._cap * ACT_AT:
            self.too_much = ""
            return None
        sizes = {kind: self._tree.memory_below(pid) for kind, pid in self._servers().items()}
        if not sizes:
            self.too_much = f"it takes {_mb(self.used)} of memory, its limit is {_mb(self._cap)}"
            return None
        kind = max(sorted(sizes), key=lambda name: sizes[name])
        self._end(kind)
        return (
            f"the {kind} server, {_mb(sizes[kind])}, was ended: all together took {_mb(self.used)}"
            f" of the {_mb(self._cap)} of memory that they may use"
        )


def _mb(size: int) -> str:
    return f"{size >> 20} MB"
