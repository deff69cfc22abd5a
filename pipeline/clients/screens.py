"""Has frames described by a VLM behind an OpenAI-compatible endpoint, while the caller does other work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from pipeline.clients.background import answers
from pipeline.clients.permission import Permission
from pipeline.clients.request_limit import RequestLimit
from pipeline.clients.text import ServerGone
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.loopback import require_loopback
from pipeline.prompts import Prompt
from schemas.screen import DescribedScreen
from schemas.serving import FrameRef, SampleFailure

Outcome = tuple[int, DescribedScreen | SampleFailure]


class ScreenClient:
    """Describes frames through an endpoint: a `ScreenReader`.

    `load` gives a frame's bytes and may raise SampleError; `may_send` is the gate, asked before every request; once it
    tells that it is closed, requests in flight are cancelled. Both are called from other threads than the consumer's.
    How many requests are in flight is learnt from one pass to the next, `concurrency` at most. Raises ContractInvalid
    for an endpoint that is not on loopback, before anything is sent `[model-1]`.
    """

    def __init__(
        self,
        server: VlmServer,
        prompt: Prompt,
        *,
        load: Callable[[FrameRef], bytes],
        may_send: Permission,
        concurrency: int,
        timeout_s: float,
    ) -> None:
        require_loopback(server.url)
        self._server = server
        self._prompt = prompt
        self._load = load
        self._may_send = may_send
        self._limit = RequestLimit(concurrency)
        self._timeout_s = timeout_s

    def __call__(self, frames: Sequence[FrameRef]) -> Iterator[Outcome]:
        """Yield (index, result) as requests finish; end early, without the rest, once `may_send` says no.

        Raises ServerGone after all that was answered has been yielded, and what `load` and `may_send` raise.
        """
        from pipeline.clients.screen_calls import ScreenCalls  # late: commands that only look do not load HTTP

        finished: SimpleQueue[list[Outcome] | None] = SimpleQueue()
        calls = ScreenCalls(
            frames,
            server=self._server,
            prompt=self._prompt,
            load=self._load,
            may_send=self._may_send,
            limit=self._limit,
            timeout_s=self._timeout_s,
            finished=finished,
        )
        yield from answers(calls, finished, "screen-client")
        if calls.lost is not None:
            raise ServerGone(calls.lost)
