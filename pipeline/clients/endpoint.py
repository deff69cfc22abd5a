"""Where a model server may be: on loopback only `[model-1]`, and whether it is well."""

from __future__ import annotations

import http.client
import ipaddress
import socket
from urllib.parse import urlsplit

from pydantic import ValidationError

from pipeline.errors import ContractInvalid
from schemas.serving import Health

_MAX_HEALTH_BYTES = 65_536


def require_loopback(url: str) -> str:
    """Check that an endpoint is plain HTTP to this machine; returns it with the address that its name resolved to.

    Every address of the name must be loopback, and the address is what gets called, so that the name cannot resolve to
    something else later. Nothing is sent. Raises ContractInvalid `[model-1]`.
    """
    parts = urlsplit(url)
    remedy = "name an endpoint on this machine, such as http://127.0.0.1:8000"
    try:
        port = parts.port or 80
        found = {str(item[4][0]) for item in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except (OSError, ValueError, UnicodeError) as error:
        raise ContractInvalid(f"the endpoint {_shown(url)} does not resolve", remedy=remedy) from error
    if parts.scheme != "http" or parts.hostname is None or not all(is_loopback(address) for address in found):
        raise ContractInvalid(f"the endpoint {_shown(url)} is not on loopback", remedy=remedy)
    address = min(found)
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{parts.path.rstrip('/')}"


def read_health(url: str, token: str, timeout_s: float = 2.0) -> Health | None:
    """Ask a server how it is; None when nobody answers there, or not as one of our servers would.

    Raises ContractInvalid for an endpoint that is not on loopback.
    """
    parts = urlsplit(require_loopback(url))
    # The standard library's client follows no proxy and no redirect.
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}/health", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read(_MAX_HEALTH_BYTES)
        return Health.model_validate_json(body) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValidationError):
        return None
    finally:
        connection.close()


def is_loopback(address: str) -> bool:
    """Whether an IP address, also an IPv4 one that is written as IPv6, is of this machine only."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _shown(url: str) -> str:
    """An endpoint without the user and password that it may carry."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
