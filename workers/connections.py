"""Whom a model server listens to: so many connections at most, and nobody who says nothing or only half of it.

A connection is a stranger's until a request on it had the token. A stranger has some seconds to show it, and makes room
for the next one when there are too many; the connections of clients stay as long as they take what they asked for.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MOST_CONNECTIONS = 128
_SHOW_TOKEN_S = 10.0
_TAKE_REPLY_S = 60.0
_LOOK_EVERY_S = 1.0


class Connections:
    """Makes the protocol of each connection, as the factory that a server wants, and looks after them."""

    def __init__(
        self, server: web.Server, *, most: int = MOST_CONNECTIONS, show_token_s: float = _SHOW_TOKEN_S
    ) -> None:
        self._server = server
        self._most = most
        self._show_token_s = show_token_s
        self._open: dict[RequestHandler, _Connection] = {}

    def __call__(self) -> asyncio.Protocol:
        """Admit a connection; when there are too many, in the place of the longest-waiting stranger, or not at all."""
        if len(self._open) >= self._most:
            stranger = next((known for known in self._open.values() if not known.trusted), None)
            if stranger is None:
                return _Refusal()
            self._end(stranger)
        handler = self._server()
        made = _Connection(handler, self._open)
        self._open[handler] = made
        return made

    def trust(self, request: web.BaseRequest) -> None:
        """A request had the token: its connection is a client's."""
        known = self._open.get(request.protocol)
        if known is not None:
            known.trusted = True

    async def watch(self) -> None:
        """End strangers that waited too long and clients that do not take their replies; for ever."""
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, self._show_token_s / 4))
            now = asyncio.get_running_loop().time()
            for known in list(self._open.values()):
                silent = not known.trusted and now - known.since > self._show_token_s
                if silent or known.clogged_s(now) > _TAKE_REPLY_S:
                    self._end(known)

    def _end(self, known: _Connection) -> None:
        self._open.pop(known.handler, None)
        if known.handler.transport is not None:
            known.handler.transport.abort()


class _Connection(asyncio.Protocol):
    """What is known of one connection, and its way to the handler; times are those of the event loop."""

    def __init__(self, handler: RequestHandler, among: dict[RequestHandler, _Connection]) -> None:
        self.handler = handler
        self.since = asyncio.get_running_loop().time()
        self.trusted = False
        self._among = among
        self._unsent = 0
        self._unsent_since = self.since
        self.connection_made = handler.connection_made  # type: ignore[method-assign]
        self.data_received = handler.data_received  # type: ignore[method-assign]
        self.eof_received = handler.eof_received  # type: ignore[method-assign]
        self.pause_writing = handler.pause_writing  # type: ignore[method-assign]
        self.resume_writing = handler.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.pop(self.handler, None)
        self.handler.connection_lost(exc)

    def clogged_s(self, now: float) -> float:
        """For how long the client has taken nothing of a reply that is waiting for it."""
        transport = self.handler.transport
        left = 0 if transport is None else transport.get_write_buffer_size()
        if left == 0 or left != self._unsent:
            self._unsent, self._unsent_since = left, now
        return now - self._unsent_since


class _Refusal(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()
