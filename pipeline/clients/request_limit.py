"""How many requests to have in flight: more while the server keeps up, fewer when its queue grows or it refuses."""

from __future__ import annotations

import re

_FIRST = 2.0
_UNSEEN = 2
_WAITING = re.compile(rb"^vllm:num_requests_waiting(?:\{[^}\n]*\})? ([0-9]{1,9}(?:\.0*)?)$", re.MULTILINE)


class RequestLimit:
    """Adds one for each round that is answered, halves when refused, gives back what only waits in the queue."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(_FIRST, most)
        self._queueing = False

    @property
    def now(self) -> int:
        """How many requests may be in flight now: at least one, so that it is found out when it gets better."""
        return max(1, int(self._limit))

    def answered(self) -> None:
        """A request was answered: there is room for more, unless others wait for their turn."""
        if not self._queueing:
            self._limit = min(float(self._most), self._limit + 1.0 / self._limit)

    def refused(self) -> None:
        """The server said that it is too busy."""
        self._limit = max(1.0, self._limit / 2)

    def unseen(self) -> None:
        """The server does not tell of its queue: it gets the request that it works on, and the next one."""
        self._most = min(self._most, _UNSEEN)
        self._limit = min(self._limit, float(self._most))

    def waiting(self, requests: int) -> None:
        """So many requests wait in the server's queue: they are better kept here, where they can be cancelled."""
        self._queueing = requests > 0
        self._limit = max(1.0, self._limit - requests)


def read_waiting(metrics: bytes) -> int | None:
    """How many requests wait, from what vLLM's `/metrics` says; None when it says nothing of that."""
    found = [int(float(number)) for number in _WAITING.findall(metrics)]
    return sum(found) if found else None
