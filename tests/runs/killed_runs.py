"""Runs that are killed, as a process: reads a JSON line for each, forks, kills, says how it ended.

Started once, so that a run costs no imports; it has no threads, so that it may fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import screen_memory
import ulid  # noqa: F401

from pipeline.dataroot import DataRoot
from pipeline.errors import NothingToDo
from pipeline.stages.parse_urls import parse_address
from pipeline.stores import atomic
from pipeline.stores.catalog import Catalog


def main() -> None:
    """Serve until stdin ends."""
    parse_address("a.example")  # this and the next import once what every fork would
    pa.array([datetime.now(UTC)]).to_pylist()
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(json.dumps(_run(order)) + "\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(order, writer)
    os.close(writer)
    if "after_s" in order:
        time.sleep(order["after_s"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return {"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status), "events": told.read()}


def _work(order: dict[str, Any], writer: int) -> None:
    code = 1
    try:
        events = _Events(order.get("at_event", -1))
        events.watch()
        root = DataRoot(Path(order["root"]))
        model = screen_memory.InProcessModel(root, seconds=order.get("seconds", 0.0))
        screen_memory.process(root, model, shard_frames=order["shard_frames"])
        os.write(writer, str(events.count).encode())
        code = 0
    except NothingToDo:
        code = 2
    finally:
        os._exit(code)


class _Events:
    """Counts what a crash could come before or after: a file published, a transaction committed."""

    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self._kill_at = kill_at

    def watch(self) -> None:
        publish, transaction = atomic.publish, Catalog.transaction

        def watched_publish(temporary: Path, target: Path) -> None:
            self._happens()
            publish(temporary, target)
            self._happens()

        @contextmanager
        def watched_transaction(catalog: Catalog) -> Iterator[None]:
            with transaction(catalog):
                yield
                self._happens()

        atomic.publish = watched_publish
        Catalog.transaction = watched_transaction  # type: ignore[method-assign, assignment]

    def _happens(self) -> None:
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


if __name__ == "__main__":
    main()
