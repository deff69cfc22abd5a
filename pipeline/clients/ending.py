"""How requests on an event loop learn, from other threads, that they are to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pipeline.clients.permission import Permission


class Ending:
    """Comes once, when nobody wants the answers any more or nothing may be sent."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self.has_come = False

    def end(self) -> None:
        """Let it come; from any thread, before, while and after the loop runs."""
        with self._guard:
            self.has_come = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._event.set)

    @asynccontextmanager
    async def told_by(self, permission: Permission) -> AsyncIterator[None]:
        """Within this, on the loop that it is called on, it comes when the permission ends."""
        with permission.tell(self.end):
            with self._guard:
                self._loop = asyncio.get_running_loop()
                if self.has_come:
                    self._event.set()
            try:
                yield
            finally:
                with self._guard:
                    self._loop = None

    async def within(self, seconds: float) -> bool:
        """Wait for it so long; tells whether it has come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return self.has_come

    async def comes(self) -> None:
        """Wait for it."""
        await self._event.wait()
