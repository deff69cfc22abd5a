"""The requests of one pass over some frames to a VLM, on an event loop of their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

import aiohttp
import tenacity

from pipeline.clients.ending import Ending
from pipeline.clients.endpoint import open_session
from pipeline.clients.in_flight import on_its_way
from pipeline.clients.permission import Permission
from pipeline.clients.request_limit import RequestLimit, read_waiting
from pipeline.clients.screen_replies import bad_reply, read_completion
from pipeline.clients.screen_request import chat_request
from pipeline.clients.vlm_endpoint import VlmServer, is_alive
from pipeline.errors import SampleError
from pipeline.prompts import Prompt
from schemas.screen import DescribedScreen
from schemas.serving import FrameRef, SampleFailure

MAX_REPLY_BYTES = 1 << 20

_LOOK_AT_QUEUE_EVERY_S = 1.0
_BUSY_ATTEMPTS = 5
_BUSY_WAIT = tenacity.wait_exponential(multiplier=0.25, max=8)

Outcome = tuple[int, DescribedScreen | SampleFailure]
_TIMED_OUT = SampleFailure("request_timeout", "the VLM did not answer in time", retryable=True)


class _Busy(Exception):
    """The server has no room for a request now (429, 503)."""


class _Gone(Exception):
    """The server is not the one that we knew: it refuses the key, or serves the model no more."""


class _Closed(Exception):
    """Nothing more may be sent."""


class ScreenCalls:
    """Keeps requests in flight until all frames are answered, the gate closes, or the server is gone."""

    def __init__(
        self,
        frames: Sequence[FrameRef],
        *,
        server: VlmServer,
        prompt: Prompt,
        load: Callable[[FrameRef], bytes],
        may_send: Permission,
        limit: RequestLimit,
        timeout_s: float,
        finished: SimpleQueue[list[Outcome] | None],
    ) -> None:
        self.error: BaseException | None = None
        self.lost: list[int] | None = None
        """Set when the server is gone: the frames that were with it, oldest request first."""
        self._frames = frames
        self._server = server
        self._prompt = prompt
        self._load = load
        self._may_send = may_send
        self._limit = limit
        self._timeout_s = timeout_s
        self._finished = finished
        self._pending = deque(range(len(frames)))
        self._with_server: list[int] = []
        self._ending = Ending()

    def close(self) -> None:
        """Nobody wants the rest: cancel what is in flight. May be called from another thread."""
        self._ending.end()

    async def run(self) -> None:
        """Send, until there is nothing more to send. Raises what `load` and `may_send` raise."""
        key = {"Authorization": f"Bearer {self._server.token}"} if self._server.token else {}
        # A connection for each request: a reply takes seconds, and none is ever closed while a request is on its way.
        async with self._ending.told_by(self._may_send), open_session({**key, "Connection": "close"}) as session:
            work, watch = asyncio.create_task(self._work(session)), asyncio.create_task(self._watch())
            queue = asyncio.create_task(self._look_at_queue(session))
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            for task in (work, watch, queue):
                task.cancel()
            for result in await asyncio.gather(work, watch, queue, return_exceptions=True):
                if result is not None and not isinstance(result, asyncio.CancelledError):
                    raise result

    async def _work(self, session: aiohttp.ClientSession) -> None:
        running: set[asyncio.Task[None]] = set()
        try:
            while (self._pending and self.lost is None) or running:
                while self._pending and self.lost is None and len(running) < self._limit.now:
                    running.add(asyncio.create_task(self._describe(session, self._pending.popleft())))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _describe(self, session: aiohttp.ClientSession, index: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            body = await loop.run_in_executor(None, self._write, self._frames[index])
        except SampleError as error:
            self._finished.put([(index, error.failure)])
            return
        with suppress(_Closed):
            await self._send(session, index, body)

    def _write(self, frame: FrameRef) -> bytes:
        return chat_request(self._prompt, self._server.served, frame, self._load(frame))

    async def _send(self, session: aiohttp.ClientSession, index: int, body: bytes) -> None:
        try:
            async for attempt in self._attempts():
                with attempt:
                    if self.lost is not None or self._ending.has_come or not self._may_send():
                        raise _Closed
                    with on_its_way():
                        outcome = await self._post(session, index, body)
            self._limit.answered()
        except TimeoutError:
            if not await asyncio.to_thread(is_alive, self._server.url, self._server.token):
                self._server_gone()
                return
            outcome = _TIMED_OUT
        except (_Busy, _Gone, aiohttp.ClientConnectorError):
            self._server_gone(by_a_frame=False)
            return
        except (aiohttp.ClientError, OSError):
            self._server_gone()
            return
        finally:
            with suppress(ValueError):
                self._with_server.remove(index)
        self._finished.put([(index, outcome)])

    def _attempts(self) -> tenacity.AsyncRetrying:
        """A busy server is asked again, later and later; what it means when it stays busy is the caller's to say."""
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            stop=tenacity.stop_after_attempt(_BUSY_ATTEMPTS),
            wait=_BUSY_WAIT,
            reraise=True,
        )

    async def _post(self, session: aiohttp.ClientSession, index: int, body: bytes) -> DescribedScreen | SampleFailure:
        loop = asyncio.get_running_loop()
        started, headers = loop.time(), {"Content-Type": "application/json"}
        url = f"{self._server.url}/v1/chat/completions"
        if index not in self._with_server:
            self._with_server.append(index)
        async with (
            asyncio.timeout(self._timeout_s),
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status in (429, 503):
                self._limit.refused()
                raise _Busy
            if response.status in (401, 403, 404):
                raise _Gone
            reply = await _read(response)
        if len(reply) > MAX_REPLY_BYTES:
            return bad_reply("reply_too_large", "the endpoint's answer is too large", reply)
        if response.status >= 500:
            return SampleFailure("request_refused", f"the endpoint answered {response.status}", retryable=True)
        if response.status != 200:
            return bad_reply("request_refused", f"the endpoint answered {response.status}", reply)
        elapsed_us = int((loop.time() - started) * 1_000_000)
        return read_completion(reply, self._frames[index], elapsed_us)

    def _server_gone(self, *, by_a_frame: bool = True) -> None:
        """Nothing more is sent, and other replies that still come are taken; tell what it had if that may be why."""
        if self.lost is None:
            self.lost = list(self._with_server) if by_a_frame else []

    async def _watch(self) -> None:
        """End when nothing may be sent any more: all that is in flight is cancelled then."""
        await self._ending.comes()

    async def _look_at_queue(self, session: aiohttp.ClientSession) -> None:
        """Follow the server's own queue, where it tells of one."""
        url = f"{self._server.url}/metrics"
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with asyncio.timeout(_LOOK_AT_QUEUE_EVERY_S), session.get(url, allow_redirects=False) as told:
                    waiting = read_waiting(await _read(told)) if told.status == 200 else None
                if waiting is None:
                    self._limit.unseen()
                    return
                self._limit.waiting(waiting)
            await asyncio.sleep(_LOOK_AT_QUEUE_EVERY_S)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a reply, one byte beyond the limit at most."""
    parts, left = [], MAX_REPLY_BYTES + 1
    while left > 0 and (part := await response.content.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
