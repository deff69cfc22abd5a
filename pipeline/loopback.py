"""Where a model server may be: on loopback only `[model-1]`, and one plain request to it."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from pipeline.errors import ContractInvalid


def require_loopback(url: str) -> str:
    """Check that an endpoint is plain HTTP to this machine; returns it with the address that its name resolved to.

    Every address of the name must be loopback, and the address is what gets called, so that the name cannot resolve to
    something else later. Nothing is sent. Raises ContractInvalid `[model-1]`.
    """
    remedy = "name an endpoint on this machine, such as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = 80 if parts.port is None else parts.port
        found = {str(item[4][0]) for item in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except (OSError, ValueError, UnicodeError) as error:
        raise ContractInvalid(f"the endpoint {_shown(url)} does not resolve", remedy=remedy) from error
    if parts.scheme != "http" or parts.hostname is None or not all(is_loopback(address) for address in found):
        raise ContractInvalid(f"the endpoint {_shown(url)} is not on loopback", remedy=remedy)
    if port == 0 or "@" in parts.netloc or parts.query or parts.fragment:
        raise ContractInvalid(f"the endpoint {_shown(url)} is more than an address, a port and a path", remedy=remedy)
    address = min(found)
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{parts.path.rstrip('/')}"


def exchange(
    url: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int,
    hang_up: HangUp | None = None,
) -> tuple[int, bytes]:
    """Send one request below an endpoint, GET or, with a body, POST; returns the status and the body of the reply.

    It is over after `timeout_s`, however slowly the server talks, and with an OSError on `hang_up`. A redirect is
    returned as its status and proxies are never looked at. The reply is untrusted. Raises TimeoutError, OSError,
    http.client.HTTPException (also for a reply of more than `max_bytes`), and ContractInvalid for an endpoint that is
    not on loopback, before anything is sent `[model-1]`.
    """
    parts = urlsplit(require_loopback(url))
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    deadline = _Deadline(connection, timeout_s)
    try:
        connection.connect()
        deadline.start()
        if hang_up is not None:
            hang_up.follow(connection)
        method = "GET" if body is None else "POST"
        connection.request(method, f"{parts.path}{path}", body, {"Accept-Encoding": "identity", **(headers or {})})
        with connection.getresponse() as response:  # which owns the connection, where the server closes it
            reply = response.read(max_bytes + 1)
    except (OSError, http.client.HTTPException) as error:
        if deadline.passed:
            raise TimeoutError(f"no reply within {timeout_s:g} s") from error
        raise
    finally:
        deadline.cancel()
        connection.close()
    if deadline.passed:
        raise TimeoutError(f"no reply within {timeout_s:g} s")
    if len(reply) > max_bytes:
        raise http.client.HTTPException(f"a reply of more than {max_bytes} bytes")
    return response.status, reply


class HangUp:
    """Ends a request from another thread: the connection of the moment, and each that would follow."""

    def __init__(self) -> None:
        self.done = False
        self._guard = threading.Lock()
        self._sock: socket.socket | None = None

    def __call__(self) -> None:
        """Hang up. What waits for an answer gets none."""
        with self._guard:
            self.done = True
            _shut(self._sock)

    def follow(self, connection: http.client.HTTPConnection) -> None:
        """This is the connection from now on."""
        with self._guard:
            # Kept here: the connection forgets its socket where the server closes it after the answer.
            self._sock = connection.sock
            if self.done:
                _shut(self._sock)


def is_loopback(address: str) -> bool:
    """Whether an IP address, also an IPv4 one that is written as IPv6, is of this machine only."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


class _Deadline:
    """Ends a connection at a moment; the socket's own timeout begins anew with every byte."""

    def __init__(self, connection: http.client.HTTPConnection, timeout_s: float) -> None:
        self.passed = False
        self._connection = connection
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True

    def start(self) -> None:
        self._sock = self._connection.sock
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        _shut(self._sock)


def _shut(sock: socket.socket | None) -> None:
    with suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def _shown(url: str) -> str:
    """An endpoint without the user, the password and the query that it may carry."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that is configured"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
