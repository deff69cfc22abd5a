"""Which private networks the nodes of a Ray cluster may be on; nothing else of ours ever leaves loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pipeline.loopback import is_loopback

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)  # fmt: skip
"""The networks that are somebody's own: RFC 1918 and RFC 4193."""


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and networks (`192.168.7.0/24`). Raises ValueError for one that is not private."""
    return tuple(_parse(text.strip()) for text in texts)


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an IP address is of this machine only, or in one of the networks."""
    parsed = _plain(address)
    return is_loopback(address) or any(parsed.version == item.version and parsed in item for item in networks)


def is_public(address: str) -> bool:
    """Whether an IP address is none of loopback, private, and valid on its own link only."""
    return not is_within(address, PRIVATE) and not _plain(address).is_link_local


def _parse(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network, such as 192.168.7.0/24") from error
    if not any(_contains(item, network) for item in PRIVATE):
        raise ValueError(f"{text} is not a private network")
    return network


def _contains(larger: Network, smaller: Network) -> bool:
    return larger.version == smaller.version and all(item in larger for item in (smaller[0], smaller[-1]))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone; an IPv4 one that is written as IPv6 counts as what it is."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed
