"""Many requests at once to model servers on loopback `[model-1]`, and whether one of ours is well."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.errors import ContractInvalid
from pipeline.loopback import exchange, is_loopback
from schemas.serving import Health

if TYPE_CHECKING:
    import aiohttp

_MAX_HEALTH_BYTES = 65_536


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
