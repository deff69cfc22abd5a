"""What a Ray that was named must be: on loopback or on allowed private networks, asking for a token that is private."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline.engines.ray_environment import LOCAL
from pipeline.engines.ray_folder import processes_of
from pipeline.errors import ContractInvalid, Unavailable
from pipeline.loopback import is_loopback
from pipeline.network_guard import VARIABLE, guard_network
from pipeline.networks import is_public, is_within, parse_networks

START_ONE = (
    "(umask 077; ray get-auth-token --generate >/dev/null); RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"
    " ray start --head --node-ip-address 127.0.0.1"
)
CLUSTER = "docs/operating.md, 'On several machines'"

_PROBE = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    print("asks")
else:
    print("does not ask")
"""
_PROBE_S = 60.0
_CONNECT_S = 2.0


def require_allowed_address(address: str, networks: Sequence[str] = ()) -> str:
    """Check that `HOST:PORT` is on loopback or, as all of the name's addresses, in the networks; returns it resolved.

    With `AP_NO_NETWORK=1` loopback is all there is. Raises ContractInvalid.
    """
    remedy = "name a Ray on this machine: --ray-address 127.0.0.1:6379"
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise ContractInvalid(f"the Ray address {address} is not HOST:PORT", remedy=remedy)
    guard_network()
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)}
    except PermissionError as error:
        raise ContractInvalid(
            f"the Ray address {address} is not on loopback, with {VARIABLE}=1", remedy=remedy
        ) from error
    except (OSError, ValueError, OverflowError) as error:
        raise ContractInvalid(f"the Ray address {address} is not one that resolves", remedy=remedy) from error
    outside = [item for item in found if not is_within(item, parse_networks(networks))]
    if any(is_public(item) for item in outside):
        raise ContractInvalid(f"the Ray address {address} is not on a private network", remedy=remedy)
    if outside:
        raise ContractInvalid(
            f"the Ray address {address} is not on loopback, nor in ray_networks",
            remedy=f"{remedy}, or allow its network: --set ray_networks=NETWORK ({CLUSTER})",
        )
    chosen = min(found)
    return f"[{chosen}]:{port}" if ":" in chosen else f"{chosen}:{port}"


def require_listener(address: str) -> str:
    """Check that somebody listens there; returns the address of this machine that leads there. Raises OSError."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S) as connection:
        return str(connection.getsockname()[0])


def require_private_token() -> None:
    """Check that the token file of a Ray to be joined is private. Raises ContractInvalid."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(FileNotFoundError):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ContractInvalid(f"others may read Ray's token {path}", remedy=f"chmod 600 {path}")


def require_token_asked(address: str) -> None:
    """Check that the Ray there turns away who has no token: a process of its own tries. Raises ContractInvalid.

    Its nodes ask for one too then: without, the head would not have taken them in. Raises Unavailable when it cannot be
    told.
    """
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_TOKEN")}
    # Nor one that lies in the home directory.
    environment = {**without, "RAY_AUTH_MODE": "disabled", "HOME": os.devnull}
    # -P: the current directory must not be able to stand in for Ray.
    command = [sys.executable, "-P", "-c", _PROBE, address]
    try:
        told = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PROBE_S, check=True, cwd="/"
        ).stdout.split("\n")
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            f"whether the Ray at {address} asks for a token cannot be told: {type(error).__name__}", remedy=LOCAL
        ) from error
    if "asks" not in told:
        raise ContractInvalid(
            f"the Ray at {address} asks for no token", remedy=f"start its nodes with RAY_AUTH_MODE=token ({CLUSTER})"
        )


def require_allowed_nodes(address: str, nodes: Iterable[str], networks: Sequence[str]) -> None:
    """Check that all nodes of the Ray at an address are where they may be. Raises ContractInvalid."""
    allowed = parse_networks(networks)
    outside = sorted({node for node in nodes if not is_within(node, allowed)})
    if outside:
        where, remedy = "that are not on loopback", START_ONE
        if networks:
            where = f"outside of ray_networks ({', '.join(networks)})"
            remedy = f"take them out of it, or allow their network in ray_networks ({CLUSTER})"
        raise ContractInvalid(f"the Ray at {address} has nodes {where}: {', '.join(outside)}", remedy=remedy)


def require_loopback_only(folder: Path, remedy: str = LOCAL) -> None:
    """Check that the processes that write into a folder listen on loopback only. Raises ContractInvalid."""
    for process in processes_of(folder):
        with suppress(psutil.Error):
            listening = [item for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
            if any(not is_loopback(item.laddr.ip) for item in listening):
                raise ContractInvalid("Ray listens on more than loopback", remedy=remedy)


def require_no_public_address(node: str, addresses: Iterable[str] | None = None) -> None:
    """Check that this machine, a node of a cluster, has private addresses only: there Ray listens on all it has.

    Raises ContractInvalid.
    """
    public = sorted(item for item in (own_addresses() if addresses is None else addresses) if is_public(item))
    if public:
        raise ContractInvalid(
            f"Ray listens on all addresses of the node {node}, and {', '.join(public)} is not private",
            remedy=f"run its node in a network namespace without that address ({CLUSTER})",
        )


def own_addresses() -> list[str]:
    """The IP addresses of this machine, or of the network namespace that this process is in."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = [item.address for items in psutil.net_if_addrs().values() for item in items if item.family in families]
    return [str(ipaddress.ip_address(address.partition("%")[0])) for address in found]
