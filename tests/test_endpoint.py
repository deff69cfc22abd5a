"""How model servers are called: on this machine only, straight, and not for ever."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import pytest

from pipeline.clients.endpoint import open_session, read_health
from pipeline.errors import ContractInvalid
from pipeline.loopback import exchange, require_loopback

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads what a client sends first, notes it, and then talks as it likes; gives its address."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    heard.append(connection.recv(65_536))
                    talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
    finally:
        over.set()
        thread.join()
        listener.close()


def say(reply: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(reply)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("addresses", [["192.0.2.1"], ["127.0.0.1", "192.0.2.1"]])
def test_a_localhost_that_resolves_elsewhere_too_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolve_to(monkeypatch, *addresses)
    with pytest.raises(ContractInvalid, match="http://localhost:8000 is not on loopback"):
        require_loopback("http://localhost:8000")


def test_what_is_called_is_the_address_and_not_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.9")
    assert require_loopback("http://vllm.test:8000/v1/") == "http://127.0.0.9:8000/v1"


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@127.0.0.1:8000",
        "http://127.0.0.1:0",
        "http://127.0.0.1:8000/?key=secret",
        "http://127.0.0.1:8000/#secret",
        "http://[::1",
        "http://[::ffff:192.0.2.1]:8000",
        "http://0x7f000001.:99999999",
        "http://169.254.169.254",
    ],
)
def test_an_endpoint_is_an_address_a_port_and_a_path_and_its_secrets_are_not_shown(url: str) -> None:
    with pytest.raises(ContractInvalid) as caught:
        require_loopback(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("no_proxy", ["", "example.com"])
def test_proxies_of_the_environment_are_not_looked_at(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with talking(say(OK)) as (url, heard):
        assert exchange(url, "/x", timeout_s=5, max_bytes=10) == (200, b"ok")
        assert asyncio.run(get(url)) == b"ok"
    assert [line.split(b"\r\n")[0] for line in heard] == [b"GET /x HTTP/1.1", b"GET /x HTTP/1.1"]


async def get(url: str) -> bytes:
    async with open_session({}) as session, session.get(f"{url}/x") as response:
        return await response.read()


def test_a_redirect_is_told_and_not_followed() -> None:
    with talking(say(OK)) as (elsewhere, heard):
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode()
        with talking(say(redirect)) as (url, _):
            assert exchange(url, "/x", timeout_s=5, max_bytes=10) == (302, b"")
            with pytest.raises(aiohttp.ClientError, match="does not redirect"):
                asyncio.run(get(url))
    assert heard == []


def test_a_session_connects_to_loopback_only_whatever_it_is_asked_for() -> None:
    with pytest.raises(ContractInvalid, match=r"192\.0\.2\.1 is not on loopback"):
        asyncio.run(get("http://192.0.2.1:8000"))


def drip(first: bytes) -> Callable[[socket.socket], None]:
    """Say something, and then a byte more every now and then, for ever."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(b"a")
            time.sleep(0.02)

    return talk


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"]
)
def test_a_server_that_drips_does_not_hold_the_caller(first: bytes) -> None:
    with talking(drip(first)) as (url, _), pytest.raises(TimeoutError):
        exchange(url, "/x", timeout_s=0.2, max_bytes=1_000)


def test_a_server_that_says_continue_for_ever_does_not_hold_the_caller() -> None:
    def talk(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.01)

    with talking(talk) as (url, _), pytest.raises(TimeoutError):
        exchange(url, "/x", body=b"{}", timeout_s=0.2, max_bytes=1_000)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"y" * 11,
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_a_reply_beyond_its_limits_or_not_http_is_an_error(reply: bytes) -> None:
    with talking(say(reply)) as (url, _), pytest.raises(http.client.HTTPException):
        exchange(url, "/x", timeout_s=5, max_bytes=10)


@pytest.mark.parametrize(
    "reply", [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b" " * 99_999, b"HTTP/1.1 401 No\r\n\r\n"]
)
def test_health_that_is_none_of_ours_is_no_health(reply: bytes) -> None:
    with talking(say(reply)) as (url, _):
        assert read_health(url, "token", timeout_s=5) is None


def test_the_token_goes_to_the_endpoint_and_nowhere_else() -> None:
    health = {
        "ready": True,
        "modality": "ocr",
        "model": {"provider_id": "p", "model_id": "m", "model_digest": "0" * 64},
        "requests": 3,
    }
    body = json.dumps(health).encode()
    with talking(say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as (url, heard):
        found = read_health(url, "token", timeout_s=5)
    assert found is not None
    assert found.requests == 3
    assert b"Authorization: Bearer token\r\n" in heard[0]
