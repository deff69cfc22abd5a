"""Web addresses out of what a browser shows: an address bar's value, else a title that is an address."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

BROWSERS = frozenset({
    "arc", "brave", "chrome", "chromium", "firefox", "iexplore", "librewolf", "msedge", "opera", "safari", "vivaldi",
    "waterfox", "zen",
})  # fmt: skip
"""Programs whose title may be an address; an address bar counts in any program."""

_HOST = re.compile(r"^(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TITLE_SUFFIX = re.compile(r"^(?P<page>.*\S)\s+[-–—]\s+[^-–—]+$")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An address as shown, its host, and the domain that someone registered (the host itself where there is none)."""

    url: str
    host: str
    domain: str


def parse_address(shown: str) -> WebAddress | None:
    """Read what an address bar shows; None for a search phrase, a half-typed word or another scheme than http(s).

    mail.example.com/inbox  →  host mail.example.com, domain example.com
    """
    url = shown.strip()
    if not url or any(character.isspace() for character in url):
        return None
    with_scheme = _SCHEME.match(url) is not None
    try:
        parts = urlsplit(url if with_scheme else f"//{url}")
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("", "http", "https") or not _is_host(host):
        return None
    if parts.username is not None and not with_scheme:
        return None  # somebody@example.com is no page
    return WebAddress(url, host, _registered_domain(host))


def parse_title(title: str, app: str | None) -> WebAddress | None:
    """Read a browser window's title that is an address: with a scheme, `www.`, or a path after a known suffix.

    `notes.md - Browser` is a file, not a page in Moldova: without one of these signs nothing is made of a title.
    """
    if app not in BROWSERS:
        return None
    match = _TITLE_SUFFIX.match(title)
    page = match["page"] if match else title
    address = parse_address(page)
    if address is None:
        return None
    signed = _SCHEME.match(page) is not None or page.startswith("www.") or ("/" in page and _known_suffix(address.host))
    return address if signed else None


def _is_host(host: str) -> bool:
    if not host:
        return False
    if _is_ip(host) or host == "localhost":
        return True
    return "." in host and _HOST.match(host) is not None and not host.rpartition(".")[2].isdigit()  # 3.14 is a number


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _registered_domain(host: str) -> str:
    return host if _is_ip(host) else (_suffixes().privatesuffix(host) or host)


def _known_suffix(host: str) -> bool:
    return not _is_ip(host) and _suffixes().privatesuffix(host, accept_unknown=False) is not None


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
