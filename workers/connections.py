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
        self._forget_closed()
        if len(self._open) >= self._most:
            stranger = next((handler for handler, known in self._open.items() if not known.trusted), None)
            if stranger is None:
                return _Refusal()
            self._end(stranger)
        handler = self._server()
        self._open[handler] = _Connection(asyncio.get_running_loop().time())
        return handler

    def trust(self, request: web.BaseRequest) -> None:
        """A request had the token: its connection is a client's."""
        known = self._open.get(request.protocol)
        if known is not None:
            known.trusted = True

    async def watch(self) -> None:
        """End strangers that waited too long and clients that do not take their replies; for ever."""
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, self._show_token_s / 4))
            self._forget_closed()
            now = asyncio.get_running_loop().time()
            for handler, known in list(self._open.items()):
                left = _unsent(handler)
                if left == 0 or left != known.unsent:
                    known.unsent, known.unsent_since = left, now
                silent = not known.trusted and now - known.since > self._show_token_s
                if silent or (now - known.unsent_since > _TAKE_REPLY_S and left > 0):
                    self._end(handler)

    def _forget_closed(self) -> None:
        for handler, known in list(self._open.items()):
            known.made = known.made or handler.transport is not None
            if known.made and handler.transport is None:
                del self._open[handler]

    def _end(self, handler: RequestHandler) -> None:
        self._open.pop(handler, None)
        if handler.transport is not None:
            handler.transport.abort()


class _Connection:
    """What is known of one connection; times are those of the event loop."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.made = False
        self.trusted = False
        self.unsent = 0
        self.unsent_since = now


class _Refusal(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


def _unsent(handler: RequestHandler) -> int:
    transport = handler.transport
    return 0 if transport is None else transport.get_write_buffer_size()
