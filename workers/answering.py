"""How a model server answers: whom, one item at a time, in limited time, and no work for a client that went away."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from aiohttp import web

from schemas.serving import Health, ModelIdentity

_TAKE_REQUEST_S = 60.0
"""How long a client may take over sending a request."""

_COME_BACK_S = 30.0
"""How soon a model has to come back that was interrupted, before it counts as hung."""

_STOOD_S = 5.0
"""After so long without a look at how the model does this process was stopped, or the machine slept, meanwhile."""

_log = logging.getLogger("workers")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Engine(Protocol):
    """A model; it is called from one thread, one item at a time."""

    @property
    def identity(self) -> ModelIdentity: ...

    def interrupt(self) -> None:
        """Make the running call end soon, from another thread; what it returns is thrown away."""
        ...

    def rearm(self) -> None:
        """Forget an interruption: the next call is for somebody else."""
        ...


class Refused(Exception):
    """A request that is not what was agreed on: the HTTP status and the reason to answer it with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Lost(Exception):
    """What the model stands on is gone, and no item is to blame: the server ends, and says so."""


Item = TypeVar("Item")
Result = TypeVar("Result")


class Service(Protocol[Item, Result]):
    """What a kind of server offers beside its health: a request of items, a reply of one result for each."""

    path: str
    max_request_bytes: int
    pages: Mapping[str, Callable[[], Any]]
    """What is told beside its health: `GET <path>` gives what is called, as JSON."""

    @property
    def engine(self) -> Engine: ...

    async def take(self, request: web.Request) -> list[Item]:
        """Read the items of a request. Raises Refused."""
        ...

    def work(self, item: Item) -> Result:
        """Have the model do its work on an item: a function of that item alone `[row-1]`."""
        ...

    def failed(self, reason: str) -> Result:
        """The result for an item on which the model failed."""
        ...

    def reply(self, results: list[Result]) -> bytes:
        """Write the results as JSON. Raises Refused when the request as a whole is answered with an error."""
        ...


class _Job:
    """The items of one request."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.cancelled = False
        self.interrupted_at: float | None = None
        self.item_since = time.monotonic()


class Answering:
    """Answers the requests of a service, in one thread, in the order in which they came.

    An item on which the model spends more than `item_timeout_s` fails.
    """

    def __init__(self, service: Service[Any, Any], item_timeout_s: float = math.inf) -> None:
        self.service = service
        self._item_timeout_s = item_timeout_s
        self.engine = service.engine
        self.requests = 0
        self.idle_since: float | None = time.monotonic()
        """When the last request was answered (monotonic seconds); None while one is being answered."""
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._guard = threading.Lock()
        self._running: _Job | None = None
        self._looked_at = time.monotonic()
        self.lost = ""
        """Why no more is to be expected of the model; empty while all is well."""

    async def answer(self, items: list[Any]) -> bytes:
        """Work on items; returns the reply as JSON. Cancelled, it stops what runs and does not start what waits."""
        job = _Job(items)
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

    def is_hung(self) -> bool:
        """Interrupt the model when it takes too long; tells whether it did not come back from that: no more is to be
        expected of it. To be asked every second or so: time in which nobody could ask counts against nobody."""
        now = time.monotonic()
        with self._guard:
            job = self._running
            if now - self._looked_at > _STOOD_S:
                self._begin_anew(job, now)
            self._looked_at = now
            if job is None:
                return False
            if job.interrupted_at is None and now - job.item_since > self._item_timeout_s:
                self._interrupt(job)
            return job.interrupted_at is not None and now - job.interrupted_at > _COME_BACK_S

    def _begin_anew(self, job: _Job | None, now: float) -> None:
        self.idle_since = None if self.idle_since is None else now
        if job is not None:
            job.item_since = now
            job.interrupted_at = None if job.interrupted_at is None else now

    def close(self) -> None:
        """Stop the thread, and what runs in it."""
        with self._guard:
            if self._running is not None:
                self._running.cancelled = True
                self._interrupt(self._running)
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _cancel(self, job: _Job) -> None:
        # Under the guard, so that an interruption never hits the job of the next client.
        with self._guard:
            job.cancelled = True
            if self._running is job:
                self._interrupt(job)

    def _interrupt(self, job: _Job) -> None:
        if job.interrupted_at is None:
            job.interrupted_at = time.monotonic()
        self.engine.interrupt()

    def _work(self, job: _Job) -> bytes:
        with self._guard:
            job.item_since = time.monotonic()  # until now it waited
            self._running = job
        try:
            results = []
            for item in job.items:
                if job.cancelled:
                    return b""
                results.append(self._timed(job, item))
            return self.service.reply(results)
        finally:
            with self._guard:
                self._running = None
                self.engine.rearm()

    def _timed(self, job: _Job, item: Any) -> Any:
        job.item_since = time.monotonic()
        result = self._one(item)
        with self._guard:
            if job.interrupted_at is None or job.cancelled:
                return result
            job.interrupted_at = None
            self.engine.rearm()
        _log.warning("the model took more than %g s over an item", self._item_timeout_s)
        return self.service.failed("TimeoutError")

    def _one(self, item: Any) -> Any:
        try:
            return self.service.work(item)
        except Lost as error:
            self.lost = str(error)
            raise
        except Exception as error:  # noqa: BLE001  one bad item never fails its request; the text may quote the screen
            _log.warning("the model failed on an item: %s", type(error).__name__)
            return self.service.failed(type(error).__name__)


def build_app(
    kind: str, token: str, host: str, answering: Answering, trust: Callable[[web.Request], None]
) -> web.Application:
    """The endpoints of a server: `GET /health`, its service, its pages.

    Each wants `Authorization: Bearer <token>` and, so that no web page can reach it under a name of its own, exactly
    `host` as Host and no Origin. `trust` is told of each request that had all of it.
    """
    expected_token, expected_host = f"Bearer {token}".encode(), host.encode()

    @web.middleware
    async def check_sender(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _equal(request.headers.getall("Host", []), expected_host) or "Origin" in request.headers:
            return _refuse(403, f"this server is asked as http://{host}, by programs and not by web pages")
        if not _equal(request.headers.getall("Authorization", []), expected_token):
            return _refuse(401, "a token is required")
        trust(request)
        return await handler(request)

    async def health(_: web.Request) -> web.Response:
        state = Health(ready=True, modality=kind, model=answering.engine.identity, requests=answering.requests)
        return web.Response(text=state.model_dump_json(), content_type="application/json")

    async def serve(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_TAKE_REQUEST_S):
                items = await answering.service.take(request)
        except Refused as error:
            return _refuse(error.status, error.reason)
        except TimeoutError:
            return _refuse(408, f"a request is to be sent within {_TAKE_REQUEST_S:g} s")
        return await _reply(answering, items)

    app = web.Application(client_max_size=answering.service.max_request_bytes, middlewares=[check_sender])
    app.router.add_get("/health", health)
    app.router.add_post(answering.service.path, serve)
    for path, tell in answering.service.pages.items():
        app.router.add_get(path, _page(tell))
    return app


async def _reply(answering: Answering, items: list[Any]) -> web.Response:
    try:
        return web.Response(body=await answering.answer(items), content_type="application/json")
    except Refused as error:
        return _refuse(error.status, error.reason)
    except Lost:
        await asyncio.Event().wait()  # the server ends now, and whoever asked sees it go
        raise


def _page(tell: Callable[[], Any]) -> Handler:
    async def page(_: web.Request) -> web.Response:
        return web.json_response(tell())

    return page


def _equal(given: list[str], expected: bytes) -> bool:
    """Whether a header was given once and so, told in the same time for every value."""
    return len(given) == 1 and hmac.compare_digest(given[0].encode(errors="replace"), expected)


def _refuse(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
