"""Sends frames to a text server and yields what it read, while the caller does other work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from pipeline.clients.background import answers
from pipeline.clients.permission import Permission
from pipeline.errors import Unavailable
from pipeline.loopback import require_loopback
from schemas.serving import FrameRef, ReadText, RunFile, SampleFailure

Outcome = tuple[int, ReadText | SampleFailure]


class ServerGone(Unavailable):
    """The server refused or broke a connection.

    `in_flight` are the indices of frames that had been sent and were not answered, oldest first. It is empty when the
    server could not be reached at all.
    """

    def __init__(self, in_flight: Sequence[int]) -> None:
        super().__init__("the model server is gone", remedy="pipeline workers up")
        self.in_flight = tuple(in_flight)


class TextClient:
    """Reads frames through a server: a `TextReader`.

    `load` gives a frame's bytes and may raise SampleError; `may_send` is the gate, asked before every request; once it
    tells that it is closed, requests in flight are cancelled. Both are called from other threads than the consumer's.
    Raises ContractInvalid for an endpoint that is not on loopback, before anything is sent `[model-1]`.
    """

    def __init__(
        self,
        server: RunFile,
        *,
        load: Callable[[FrameRef], bytes],
        may_send: Permission,
        concurrency: int,
        timeout_s: float,
    ) -> None:
        self._url = require_loopback(server.url)
        self._token = server.token
        self._load = load
        self._may_send = may_send
        self._concurrency = concurrency
        self._timeout_s = timeout_s

    def __call__(self, frames: Sequence[FrameRef]) -> Iterator[Outcome]:
        """Yield (index, result) as requests finish; end early, without the rest, once `may_send` says no.

        Raises ServerGone after all that was answered has been yielded, and what `load` and `may_send` raise.
        """
        from pipeline.clients.text_calls import TextCalls  # late: commands that only look do not load an HTTP library

        finished: SimpleQueue[list[Outcome] | None] = SimpleQueue()
        calls = TextCalls(
            frames,
            url=self._url,
            token=self._token,
            load=self._load,
            may_send=self._may_send,
            concurrency=self._concurrency,
            timeout_s=self._timeout_s,
            finished=finished,
        )
        yield from answers(calls, finished, "text-client")
        if calls.lost is not None:
            raise ServerGone(calls.lost)
