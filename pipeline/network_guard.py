"""With `AP_NO_NETWORK=1` this process calls nobody but this machine. Stands on nothing of ours.

The interpreter tells before it resolves a name, connects, sends or listens, whatever library asked for it; what is not
loopback is refused there. Once on it stays on. Code below Python is not seen; what we use of that stays on loopback by
its own settings.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

VARIABLE = "AP_NO_NETWORK"

_WITH_ADDRESS = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
_WITH_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_INTERNET = {socket.AF_INET, socket.AF_INET6}
_NAMES = {"", "localhost"}

_is_on = False


def guard_network(environment: Mapping[str, str] = os.environ) -> bool:
    """Refuse all but loopback from now on, if the environment asks for it; tells whether it does."""
    global _is_on
    wanted = environment.get(VARIABLE, "") not in ("", "0")
    if wanted and not _is_on:
        _is_on = True
        sys.addaudithook(_look)
    return wanted


def is_refused(host: object) -> bool:
    """Whether a host, an address or a name, may not be called."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if name is None or not isinstance(name, str):
        return name is not None
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.rstrip(".").lower() not in _NAMES
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_loopback


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _WITH_NAME:
        refused = is_refused(arguments[0])
    elif event in _WITH_ADDRESS:
        caller, address = arguments[0], arguments[1]
        refused = caller.family in _INTERNET and address is not None and _names_elsewhere(address)
    else:
        return
    if refused:
        raise PermissionError(errno.EACCES, f"{VARIABLE}=1: only loopback may be called")


def _names_elsewhere(address: Any) -> bool:
    """An empty host is every interface when listening, so it is refused where an address stands."""
    host = address[0] if isinstance(address, tuple) and address else address
    return host == "" or is_refused(host)
