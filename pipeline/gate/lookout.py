"""A thread that looks whether work may go on, and tells the work in flight when it may not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_EVERY_S = 0.04
"""More often than is promised `[gate-1]`: a look costs little. Not by being told: a Windows drive tells no changes."""

_log = logging.getLogger("pipeline")


class Lookout:
    """Looks while there is anybody to tell. What cannot be told, since looking failed, counts as no."""

    def __init__(self, may_go_on: Callable[[], bool], every_s: float = LOOK_EVERY_S) -> None:
        self._may_go_on = may_go_on
        self._every_s = every_s
        self._guard = threading.Lock()
        self._listeners: dict[object, Callable[[], None]] = {}
        self._nobody_listens = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool:
        """Look now."""
        return self._may_go_on()

    @contextmanager
    def tell(self, ended: Callable[[], None]) -> Iterator[None]:
        """Within this, call `ended` once as soon as work may not go on; from another thread, so it is to be short."""
        ticket = object()
        with self._guard:
            self._listeners[ticket] = ended
            if self._thread is None:
                self._nobody_listens = threading.Event()
                self._thread = threading.Thread(
                    target=self._look, args=(self._nobody_listens,), name="gate", daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._guard:
                self._listeners.pop(ticket, None)
                if not self._listeners:
                    self._nobody_listens.set()
                    self._thread = None

    def _look(self, nobody_listens: threading.Event) -> None:
        while not nobody_listens.wait(self._every_s):
            if self._looks_well():
                continue
            with self._guard:
                if nobody_listens.is_set():
                    return
                told = list(self._listeners)
                for ticket in told:
                    self._listeners[ticket]()
                    self._listeners[ticket] = _nothing

    def _looks_well(self) -> bool:
        try:
            return self._may_go_on()
        except Exception:  # noqa: BLE001  whatever it was, work is not to go on
            _log.exception("the gate cannot be asked; the user counts as active")
            return False


def _nothing() -> None:
    """Told already."""
