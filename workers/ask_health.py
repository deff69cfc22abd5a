"""A keeper asks its server how it is, and tells late from never. Stands on the standard library alone."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

_ASK_EVERY_S = 2.0
_CONNECT_S = 1.0


class Health:
    """Asks a server how it is, now and then, and waits for each answer as long as it takes.

    A server that gets little of the processor answers late, and is well; so a question is not given up for another.
    """

    def __init__(self, url: str, token: str) -> None:
        place = urlsplit(url)
        self._address = (place.hostname or "", place.port or 80)
        head = f"GET /health HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._question = f"{head}Connection: close\r\n\r\n".encode()
        self._asked: socket.socket | None = None
        self._waits_since: float | None = None
        self._ask_at = time.monotonic()

    def silent_s(self) -> float:
        """For how many seconds the server has left a question unanswered; 0 while there is none. To be called often."""
        now = time.monotonic()
        if self._asked is None and now >= self._ask_at:
            self._waits_since = self._waits_since or now
            self._asked = self._ask()
        if self._asked is not None and (answer := _read(self._asked)) is not None:
            self._hang_up()
            self._ask_at = now + _ASK_EVERY_S
            if answer == b"HTTP/1.1 200":
                self._waits_since = None
        return 0.0 if self._waits_since is None else now - self._waits_since

    def close(self) -> None:
        """Wait for no answer any more."""
        self._waits_since = None
        self._hang_up()

    def _hang_up(self) -> None:
        if self._asked is not None:
            self._asked.close()
            self._asked = None

    def _ask(self) -> socket.socket | None:
        asked = socket.socket()
        asked.settimeout(_CONNECT_S)
        try:
            asked.connect(self._address)
            asked.sendall(self._question)
            asked.setblocking(False)
        except OSError:
            asked.close()
            return None
        return asked


def _read(asked: socket.socket) -> bytes | None:
    """The beginning of an answer, empty when there will be none; None when it has not come yet."""
    try:
        return asked.recv(12)
    except BlockingIOError:
        return None
    except OSError:
        return b""
