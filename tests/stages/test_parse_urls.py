"""Addresses out of address bars and titles: better none than a wrong one."""

from __future__ import annotations

import pytest

from pipeline.stages.parse_urls import parse_address, parse_title


@pytest.mark.parametrize(
    ("shown", "host", "domain"),
    [
        ("mail.example.com/inbox", "mail.example.com", "example.com"),
        ("https://mail.example.com/inbox?a=1#top", "mail.example.com", "example.com"),
        ("HTTPS://Mail.Example.COM", "mail.example.com", "example.com"),
        ("  example.org  ", "example.org", "example.org"),
        ("example.org.", "example.org", "example.org"),
        ("shop.example.co.uk", "shop.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk", "co.uk"),
        ("example.com:8443/x", "example.com", "example.com"),
        ("localhost:8000/docs", "localhost", "localhost"),
        ("localhost", "localhost", "localhost"),
        ("192.168.0.1:8080/admin", "192.168.0.1", "192.168.0.1"),
        ("http://[2001:db8::1]:80/x", "2001:db8::1", "2001:db8::1"),
        ("[::1]/x", "::1", "::1"),
        ("https://user:secret@example.com/", "example.com", "example.com"),
        ("bücher.example.com", "bücher.example.com", "example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com", "example.com"),
        ("例え.テスト/頁", "例え.テスト", "例え.テスト"),
        ("web.archive.org/web/2020/https://example.org/", "web.archive.org", "archive.org"),
        ("example.com/?next=https://example.org/", "example.com", "example.com"),
        ("localhost:3000/?next=http://example.org/", "localhost", "localhost"),
        ("my_host.example.com", "my_host.example.com", "example.com"),
    ],
)
def test_an_address_is_read_as_shown(shown: str, host: str, domain: str) -> None:
    address = parse_address(shown)
    assert address is not None
    assert (address.url, address.host, address.domain) == (shown.strip(), host, domain)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "   ",
        "how to boil an egg",
        "example.com is down",
        "weather",
        "c++",
        "3.14",
        "1.2.3.4.5",
        "256.1.1.1",
        "somebody@example.com",
        "mailto:somebody@example.com",
        "file:///home/me/notes.html",
        "chrome://settings",
        "about:blank",
        "about:config",
        "view-source:https://example.com",
        "javascript:alert(1)",
        "data:text/html,hello",
        "ftp://example.com/file",
        "chrome-extension://abc/page.html",
        "C:\\Users\\me\\page.html",
        "/home/me/page.html",
        "http://",
        "https:///path",
        "http://example.com:99999",
        "http://example.com:port",
        "http://[::1",
        "http://exa mple.com",
        "a..b",
        ".com",
        "?q=1",
        "x" * 64 + ".com",
    ],
)
def test_anything_else_gives_no_address(shown: str) -> None:
    assert parse_address(shown) is None


@pytest.mark.parametrize(
    ("title", "url"),
    [
        ("https://example.com/a - Google Chrome", "https://example.com/a"),
        ("http://10.0.0.1/ — Mozilla Firefox", "http://10.0.0.1/"),
        ("www.example.com - Chromium", "www.example.com"),
        ("example.com/pricing - Chromium", "example.com/pricing"),
        ("www.example.com/a-b – Brave", "www.example.com/a-b"),
        ("https://example.com", "https://example.com"),
    ],
)
def test_a_browser_title_that_is_an_address_counts(title: str, url: str) -> None:
    address = parse_title(title, "chromium")
    assert address is not None
    assert address.url == url


@pytest.mark.parametrize(
    "title",
    [
        "notes.md - Chromium",
        "Node.js - Chromium",
        "README.txt - Chromium",
        "docs/notes.md - Chromium",
        "Node.js/Express - Chromium",
        "example.com - Chromium",
        "TCP/IP - Chromium",
        "Inbox (5) - Example Mail - Chromium",
        "somebody@example.com/x - Chromium",
        "About https://example.com - Chromium",
        "3.14/2 - Chromium",
        "192.168.0.1/x - Chromium",
        "",
        " - ",
        "\n",
    ],
)
def test_a_title_without_the_signs_of_an_address_gives_nothing(title: str) -> None:
    assert parse_title(title, "chromium") is None


@pytest.mark.parametrize("app", [None, "code", "terminal", "explorer"])
def test_titles_of_other_programs_are_no_addresses(app: str | None) -> None:
    assert parse_title("https://example.com/a - Code", app) is None
