"""How a model server answers: the token, the limits, one image at a time, and no work for a client that went away."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from aiohttp import web

from schemas.serving import (
    IMAGE_SIZES_HEADER,
    MAX_IMAGES_IN_REQUEST,
    MAX_REQUEST_BYTES,
    Health,
    ModelIdentity,
    ReadFailed,
    ReadText,
    ReadTextReply,
)

_log = logging.getLogger("workers")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TextEngine(Protocol):
    """A model that reads text; `read` is called from one thread, one image at a time."""

    @property
    def identity(self) -> ModelIdentity: ...

    def read(self, image: bytes) -> ReadText | ReadFailed:
        """Read an image: a function of its bytes alone, whatever was read before `[row-1]`."""
        ...

    def interrupt(self) -> None:
        """Make the running `read` end soon, from another thread; what it returns is thrown away."""
        ...

    def rearm(self) -> None:
        """Forget an interruption: the next `read` is for somebody else."""
        ...


class _Job:
    """The images of one request."""

    def __init__(self, images: list[bytes]) -> None:
        self.images = images
        self.cancelled = False


class Answering:
    """Answers requests through one engine, in one thread, in the order in which they came."""

    def __init__(self, engine: TextEngine) -> None:
        self.engine = engine
        self.requests = 0
        self.idle_since: float | None = time.monotonic()
        """When the last request was answered (monotonic seconds); None while one is being answered."""
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._guard = threading.Lock()
        self._running: _Job | None = None

    async def answer(self, images: list[bytes]) -> bytes:
        """Read images; returns the reply as JSON. Cancelled, it stops what runs and does not start what waits."""
        job = _Job(images)
        self.requests += 1
        self._waiting += 1
        self.idle_since = None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, job)
        except asyncio.CancelledError:
            self._cancel(job)
            raise
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self.idle_since = time.monotonic()

    def close(self) -> None:
        """Stop the thread, and what runs in it."""
        with self._guard:
            if self._running is not None:
                self._running.cancelled = True
                self.engine.interrupt()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _cancel(self, job: _Job) -> None:
        # Under the guard, so that an interruption never hits the job of the next client.
        with self._guard:
            job.cancelled = True
            if self._running is job:
                self.engine.interrupt()

    def _work(self, job: _Job) -> bytes:
        with self._guard:
            self._running = job
        try:
            results: list[ReadText | ReadFailed] = []
            for image in job.images:
                if job.cancelled:
                    return b""
                results.append(self._read(image))
            # What the engine made is valid by type; the client checks the whole reply again.
            return ReadTextReply.model_construct(results=results).model_dump_json().encode()
        finally:
            with self._guard:
                self._running = None
                self.engine.rearm()

    def _read(self, image: bytes) -> ReadText | ReadFailed:
        try:
            return self.engine.read(image)
        except Exception as error:  # noqa: BLE001  one bad image never fails its request; the text may quote the screen
            _log.warning("the model failed on an image: %s", type(error).__name__)
            return ReadFailed(error="model_failed", message=type(error).__name__)


def build_app(kind: str, token: str, answering: Answering) -> web.Application:
    """The endpoints of a text server: `GET /health`, `POST /v1/text`; each wants `Authorization: Bearer <token>`."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, expected):
            return _refuse(401, "a token is required")
        return await handler(request)

    async def health(_: web.Request) -> web.Response:
        state = Health(ready=True, modality=kind, model=answering.engine.identity, requests=answering.requests)
        return web.Response(text=state.model_dump_json(), content_type="application/json")

    async def read_text(request: web.Request) -> web.Response:
        sizes = _image_sizes(request.headers.get(IMAGE_SIZES_HEADER, ""))
        if sizes is None:
            return _refuse(400, f"{IMAGE_SIZES_HEADER} wants 1 to {MAX_IMAGES_IN_REQUEST} sizes, comma-separated")
        if sum(sizes) > MAX_REQUEST_BYTES:
            return _refuse(413, f"a request holds {MAX_REQUEST_BYTES} bytes at most")
        if sum(sizes) != request.content_length:
            return _refuse(400, f"{IMAGE_SIZES_HEADER} does not add up to the size of the body")
        reply = await answering.answer(_split(await request.read(), sizes))
        return web.Response(body=reply, content_type="application/json")

    app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[check_token])
    app.router.add_get("/health", health)
    app.router.add_post("/v1/text", read_text)
    return app


def _image_sizes(header: str) -> list[int] | None:
    parts = header.split(",")
    if len(parts) > MAX_IMAGES_IN_REQUEST or not all(len(part) < 12 and part.isdecimal() for part in parts):
        return None
    return [int(part) for part in parts]


def _split(body: bytes, sizes: list[int]) -> list[bytes]:
    images, start = [], 0
    for size in sizes:
        images.append(body[start : start + size])
        start += size
    return images


def _refuse(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
