"""Requests on an event loop in a thread of their own, while the caller works on what was answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")


class Calls(Protocol):
    """A pass of requests: `run` puts lists of answers into a queue, `close` ends it early."""

    error: BaseException | None
    """What `run` raised."""

    async def run(self) -> None: ...

    def close(self) -> None: ...


def answers(calls: Calls, finished: SimpleQueue[list[Answer] | None], name: str) -> Iterator[Answer]:
    """Run the calls and yield each answer as it comes. Raises what `run` raised, after all answers.

    A caller that stops early closes the calls.
    """
    thread = threading.Thread(target=_run, args=(calls, finished), name=name, daemon=True)
    thread.start()
    try:
        while (found := finished.get()) is not None:
            yield from found
    finally:
        calls.close()
        thread.join()
    if calls.error is not None:
        raise calls.error


def _run(calls: Calls, finished: SimpleQueue[list[Answer] | None]) -> None:
    try:
        asyncio.run(calls.run())
    except BaseException as error:  # noqa: BLE001  raised again in the consumer's thread
        calls.error = error
    finally:
        finished.put(None)
