"""Where a model server may be: on loopback only `[model-1]`, how it is called, and whether it is well."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from pipeline.errors import ContractInvalid
from schemas.serving import Health

if TYPE_CHECKING:
    import aiohttp

_MAX_HEALTH_BYTES = 65_536


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
        response = connection.getresponse()
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


def open_session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """Open a session for many requests at once; to be used as `async with open_session(...)`, within an event loop.

    It connects to loopback addresses only, whatever it is asked for; it follows no redirect, looks at no proxy in the
    environment, keeps no cookie and unpacks no reply. Its requests have no time limit of their own. Raises
    ContractInvalid for a connection to elsewhere.
    """
    import aiohttp  # late: commands that only look do not load an HTTP library

    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, socket_factory=_loopback_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        auto_decompress=False,
        trace_configs=[redirects],
    )


def read_health(url: str, token: str, timeout_s: float = 2.0) -> Health | None:
    """Ask a server how it is; None when nobody answers there, or not as one of our servers would.

    Raises ContractInvalid for an endpoint that is not on loopback.
    """
    headers = {"Authorization": f"Bearer {token}"}
    try:
        status, body = exchange(url, "/health", headers=headers, timeout_s=timeout_s, max_bytes=_MAX_HEALTH_BYTES)
        return Health.model_validate_json(body) if status == 200 else None
    except (OSError, http.client.HTTPException, ValidationError):
        return None


def is_loopback(address: str) -> bool:
    """Whether an IP address, also an IPv4 one that is written as IPv6, is of this machine only."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


class HangUp:
    """Ends a request from another thread: the connection of the moment, and each that would follow."""

    def __init__(self) -> None:
        self.done = False
        self._guard = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self) -> None:
        """Hang up. What waits for an answer gets none."""
        with self._guard:
            self.done = True
            _shut(self._connection)

    def follow(self, connection: http.client.HTTPConnection) -> None:
        """This is the connection from now on."""
        with self._guard:
            self._connection = connection
            if self.done:
                _shut(connection)


class _Deadline:
    """Ends a connection at a moment; the socket's own timeout begins anew with every byte."""

    def __init__(self, connection: http.client.HTTPConnection, timeout_s: float) -> None:
        self.passed = False
        self._connection = connection
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        _shut(self._connection)


def _shut(connection: http.client.HTTPConnection | None) -> None:
    sock = connection.sock if connection is not None else None
    with suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def _loopback_socket(address: Any) -> socket.socket:
    """A socket for an address that was resolved. Raises ContractInvalid for one that is not loopback."""
    family, kind, protocol, _, target = address
    if not is_loopback(str(target[0])):
        raise ContractInvalid(
            f"a model server at {target[0]} is not on loopback", remedy="name an endpoint on this machine"
        )
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setblocking(False)
    return made


async def _refuse_redirect(*_: object) -> None:
    import aiohttp

    raise aiohttp.ClientPayloadError("a model server does not redirect")


def _shown(url: str) -> str:
    """An endpoint without the user, the password and the query that it may carry."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that is configured"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
