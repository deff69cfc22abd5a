"""The requests of one pass over some frames, on an event loop of their own."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import aiohttp

from pipeline.clients.ending import Ending
from pipeline.clients.endpoint import open_session
from pipeline.clients.grouping import Grouping, split_by_bytes
from pipeline.clients.in_flight import on_its_way
from pipeline.clients.permission import Permission
from pipeline.clients.replies import check_result, parse_reply
from pipeline.errors import SampleError
from schemas.serving import (
    IMAGE_SIZES_HEADER,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    FrameRef,
    ReadFailed,
    ReadText,
    SampleFailure,
)

_POLL_S = 0.05
_GRACE_FOR_OTHERS_S = 0.3
_MOST_UNREAD = 256

Outcome = tuple[int, ReadText | SampleFailure]
_TIMED_OUT = SampleFailure("request_timeout", "the server did not answer in time", retryable=True)
_TOO_LARGE = SampleFailure("image_too_large", "the image is larger than a request may be", retryable=False)
_BAD_REPLY = SampleFailure("reply_invalid", "the server's answer is not what was agreed on", retryable=True)


class _Failed(Exception):
    """A request was answered, but not with results."""

    def __init__(self, failure: SampleFailure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class _Gone(Exception):
    """The server refused the token: it is not the one that we knew."""


@dataclass
class _Request:
    indices: list[int]
    sent_at: float
    timer: asyncio.Timeout


class TextCalls:
    """Keeps several requests in flight until all frames are answered, the gate closes, or the server is gone."""

    def __init__(
        self,
        frames: Sequence[FrameRef],
        *,
        url: str,
        token: str,
        load: Callable[[FrameRef], bytes],
        may_send: Permission,
        concurrency: int,
        timeout_s: float,
        finished: SimpleQueue[list[Outcome] | None],
    ) -> None:
        self.error: BaseException | None = None
        self.lost: list[int] | None = None
        """Set when the server is gone: the frames that were with it, oldest request first."""
        self._frames = frames
        self._url = f"{url}/v1/text"
        self._token = token
        self._load = load
        self._may_send = may_send
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._pending = deque(range(len(frames)))
        self._alone: deque[int] = deque()
        self._grouping = Grouping()
        self._ending = Ending()
        self._in_flight: list[_Request] = []
        self._broken: list[_Request] = []
        self._gone_at: float | None = None
        self._progress_at = 0.0

    def close(self) -> None:
        """Nobody wants the rest: cancel what is in flight. May be called from another thread."""
        self._ending.end()

    async def run(self) -> None:
        """Send, until there is nothing more to send. Raises what `load` and `may_send` raise."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._ending.told_by(self._may_send), open_session(headers) as session:
            work = [asyncio.create_task(self._work(session)) for _ in range(self._concurrency)]
            watch = asyncio.create_task(self._watch())
            try:
                await _until_all_done_or_one_of(work, watch)
            finally:
                for task in (*work, watch):
                    task.cancel()
                results = await asyncio.gather(*work, watch, return_exceptions=True)
            _raise_first(results)
        if self._gone_at is not None:
            requests = sorted([*self._broken, *self._in_flight], key=lambda request: request.sent_at)
            self.lost = [index for request in requests for index in request.indices]

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while self._gone_at is None and (taken := self._take()):
            while self._finished.qsize() > _MOST_UNREAD:
                await asyncio.sleep(_POLL_S)
            loop = asyncio.get_running_loop()
            loaded, failed = await loop.run_in_executor(None, self._load_frames, taken)
            if failed:
                self._finished.put(failed)
            for group in split_by_bytes(loaded):
                if self._gone_at is not None or not self._may_send():
                    return
                await self._send(session, group)

    def _take(self) -> list[int]:
        if self._alone:
            return [self._alone.popleft()]
        fair = -(-len(self._pending) // self._concurrency)
        return [self._pending.popleft() for _ in range(min(self._grouping.size(), fair))]

    def _load_frames(self, indices: list[int]) -> tuple[list[tuple[int, bytes]], list[Outcome]]:
        loaded: list[tuple[int, bytes]] = []
        failed: list[Outcome] = []
        for index in indices:
            try:
                image = self._load(self._frames[index])
            except SampleError as error:
                failed.append((index, error.failure))
                continue
            if len(image) > MAX_REQUEST_BYTES:
                failed.append((index, _TOO_LARGE))
            else:
                loaded.append((index, image))
        return loaded, failed

    async def _send(self, session: aiohttp.ClientSession, group: list[tuple[int, bytes]]) -> None:
        now = asyncio.get_running_loop().time()
        request = _Request([index for index, _ in group], now, asyncio.timeout(None))
        if not self._in_flight:
            self._progress_at = now
        self._in_flight.append(request)
        try:
            async with request.timer:
                with on_its_way():
                    results = await self._post(session, [image for _, image in group])
        except TimeoutError:
            self._settle(request)
            self._fail(request, _TIMED_OUT)
        except _Failed as error:
            self._settle(request)
            self._fail(request, error.failure)
        except (_Gone, aiohttp.ClientConnectorError):
            self._server_gone(request, was_sent=False)
        except (aiohttp.ClientError, OSError):
            self._server_gone(request, was_sent=True)
        else:
            self._settle(request)
            self._grouping.answered(len(group), self._progress_at - request.sent_at)
            frames = self._frames
            self._finished.put(
                [
                    (index, check_result(frames[index], result))
                    for index, result in zip(request.indices, results, strict=True)
                ]
            )

    async def _post(self, session: aiohttp.ClientSession, images: list[bytes]) -> list[ReadText | ReadFailed]:
        headers = {IMAGE_SIZES_HEADER: ",".join(str(len(image)) for image in images)}
        # As a stream, so that a large image is sent piece by piece and not in one go that blocks the loop.
        body = io.BytesIO(images[0] if len(images) == 1 else b"".join(images))
        async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status == 401:
                raise _Gone
            if response.status != 200:
                retryable = response.status >= 500
                raise _Failed(SampleFailure("request_refused", f"the server answered {response.status}", retryable))
            if response.content_length is None or response.content_length > MAX_REPLY_BYTES:
                raise _Failed(_BAD_REPLY)
            results = parse_reply(await response.read(), len(images))
        if results is None:
            raise _Failed(_BAD_REPLY)
        return results

    def _settle(self, request: _Request) -> None:
        self._in_flight.remove(request)
        self._progress_at = asyncio.get_running_loop().time()

    def _fail(self, request: _Request, failure: SampleFailure) -> None:
        """A failed request of one frame is that frame's failure; of several, each is sent again alone."""
        if len(request.indices) == 1:
            self._finished.put([(request.indices[0], failure)])
        else:
            self._alone.extend(request.indices)
            self._grouping.start_over()

    def _server_gone(self, request: _Request, *, was_sent: bool) -> None:
        self._in_flight.remove(request)
        if was_sent:
            self._broken.append(request)
        if self._gone_at is None:
            self._gone_at = asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        """End when nothing may be sent any more; meanwhile let the oldest request time out."""
        loop = asyncio.get_running_loop()
        while not await self._ending.within(_POLL_S):
            now = loop.time()
            if self._gone_at is not None and now - self._gone_at > _GRACE_FOR_OTHERS_S:
                return
            # The server works through its requests in order: while any is answered, the others are only waiting.
            if self._in_flight and now - self._progress_at > self._timeout_s:
                self._progress_at = now
                self._in_flight[0].timer.reschedule(now)


async def _until_all_done_or_one_of(work: list[asyncio.Task[None]], watch: asyncio.Task[None]) -> None:
    """Wait until all of `work` is done, or one of it failed, or `watch` ended."""
    pending: set[asyncio.Task[None]] = {*work, watch}
    while not watch.done() and not all(task.done() for task in work):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.exception() is not None for task in done):
            return


def _raise_first(results: Sequence[BaseException | None]) -> None:
    for result in results:
        if result is not None and not isinstance(result, asyncio.CancelledError):
            raise result
