"""A server on loopback for as long as a test needs it; what it answers, a handler says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Replying(BaseHTTPRequestHandler):
    """Reads bodies, sends replies, and logs nothing; a client that hangs up is no error."""

    gone: type[OSError] = ConnectionError

    def answer(self, method: str) -> None:
        """Answer a request: what a test's own handler does."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """As `http.server` asks for it."""
        self.answer("GET")

    def do_POST(self) -> None:
        """As `http.server` asks for it."""
        self.answer("POST")

    def body(self) -> bytes:
        """What came with the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, body: bytes) -> None:
        """Answer the request."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Serve one connection."""
        with suppress(self.gone):
            super().handle()


@contextmanager
def served(handler: type[Replying], port: int = 0) -> Iterator[str]:
    """Serve at a free port of 127.0.0.1, or at this one; gives the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
