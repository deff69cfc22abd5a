"""Whom a model server answers: clients with the token that ask for it by its address, and no more than it can bear."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from null_ocr_server import NullEngine

from schemas.serving import RunFile
from workers.answering import Answering, build_app
from workers.connections import Connections
from workers.text_service import TextService

NULL_SERVER = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "null_ocr_server.py")]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\x20\x00\x00\x02\x58"
ALLOWED = b"Authorization: Bearer token\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFile]:
    run_file = tmp_path_factory.mktemp("server") / "ocr.json"
    command = [*NULL_SERVER, "--run-file", str(run_file), "--delay-s", "0.01"]
    process = subprocess.Popen([*command, "--item-timeout-s", "0.5"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not run_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield RunFile.model_validate_json(run_file.read_bytes())
    process.terminate()
    process.wait()


def say(server: RunFile, request: bytes) -> bytes:
    """Send raw bytes; returns all that comes until the server closes, or a reply is whole."""
    host, _, port = urlsplit(server.url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65_536)


def status(server: RunFile, headers: str, first: str = "GET /health HTTP/1.1") -> str:
    reply = say(server, f"{first}\r\n{headers}\r\n".encode())
    return reply.split(b" ")[1].decode() if reply else "closed"


def test_a_request_by_the_address_and_with_the_token_is_answered(server: RunFile) -> None:
    host = urlsplit(server.url).netloc
    assert status(server, f"Host: {host}\r\nAuthorization: Bearer {server.token}\r\n") == "200"


@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.example\r\n",
        "Host: evil.example:PORT\r\n",
        "Host: localhost:PORT\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: 127.0.0.1:PORT.evil.example\r\n",
        "Host: 127.0.0.1:PORT\r\nOrigin: http://evil.example\r\n",
        "Host: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\n",
        "Host: 127.0.0.1:PORT\r\nOrigin: null\r\n",
    ],
)
@pytest.mark.parametrize("first", ["GET /health HTTP/1.1", "POST /v1/text HTTP/1.1", "OPTIONS /v1/text HTTP/1.1"])
def test_a_web_page_is_refused_even_if_it_had_the_token(server: RunFile, headers: str, first: str) -> None:
    headers = headers.replace("PORT", str(urlsplit(server.url).port))
    assert status(server, f"{headers}Authorization: Bearer {server.token}\r\n", first) == "403"


@pytest.mark.parametrize("headers", ["", "Host: 127.0.0.1:PORT\r\nHost: 127.0.0.1:PORT\r\n"])
def test_a_request_without_one_host_is_refused(server: RunFile, headers: str) -> None:
    headers = headers.replace("PORT", str(urlsplit(server.url).port))
    assert status(server, f"{headers}Authorization: Bearer {server.token}\r\n") in ("400", "403")
    assert status(server, f"Authorization: Bearer {server.token}\r\n", "GET /health HTTP/1.0") == "403"


@pytest.mark.parametrize(
    "headers",
    ["X: y\r\n" * 65, "X: " + "y" * 5_000 + "\r\n", "Cookie: " + "y" * 1_000_000 + "\r\n"],
)
def test_a_flood_of_headers_is_refused(server: RunFile, headers: str) -> None:
    try:
        found = status(server, f"Host: {urlsplit(server.url).netloc}\r\n{headers}")
    except ConnectionError:
        found = "closed"
    assert found in ("400", "431", "closed")


def test_a_body_that_unfolds_is_not_unfolded(server: RunFile) -> None:
    host = urlsplit(server.url).netloc
    headers = (
        f"Host: {host}\r\nAuthorization: Bearer {server.token}\r\nContent-Encoding: deflate\r\nContent-Length: 3\r\n"
    )
    reply = say(server, f"POST /v1/text HTTP/1.1\r\n{headers}X-Image-Sizes: 3\r\n\r\nabc".encode())
    assert b'"error":"image_unreadable"' in reply


@asynccontextmanager
async def listening(most: int, show_token_s: float) -> AsyncIterator[int]:
    """A server in this event loop; gives its port. Its host is not checked for: that is another test."""
    answering = Answering(TextService(NullEngine()))
    connections: Connections
    app = build_app("ocr", "token", "here", answering, lambda request: connections.trust(request))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(runner.server, most=most, show_token_s=show_token_s)
    watch = asyncio.create_task(connections.watch())
    listener = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        watch.cancel()
        listener.close()
        await runner.cleanup()
        answering.close()


class Client:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, headers: bytes = ALLOWED) -> bytes:
        self.writer.write(b"GET /health HTTP/1.1\r\nHost: here\r\n" + headers + b"\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await self.reader.readexactly(int(size.partition(b":")[2]))
        return head.split(b" ")[1]

    async def is_closed(self, within_s: float = 5.0) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), within_s) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.writer.close()


def test_a_stranger_who_says_nothing_or_half_of_it_is_put_out_and_a_client_stays() -> None:
    async def play() -> None:
        async with listening(most=8, show_token_s=0.2) as port:
            client, silent, slow, wrong = [await Client.connect(port) for _ in range(4)]
            assert await client.ask() == b"200"
            assert await wrong.ask(b"") == b"401"
            slow.writer.write(b"GET /health HTTP/1.1\r\nHost: he")
            assert [await stranger.is_closed() for stranger in (silent, slow, wrong)] == [True] * 3
            assert await client.ask() == b"200"
            for each in (client, silent, slow, wrong):
                each.close()

    asyncio.run(play())


def test_a_stranger_who_drips_headers_is_put_out() -> None:
    async def play() -> None:
        async with listening(most=8, show_token_s=0.2) as port:
            slow = await Client.connect(port)
            slow.writer.write(b"GET /health HTTP/1.1\r\n")
            for number in range(100):
                slow.writer.write(b"X-%d: y\r\n" % number)
                if await slow.is_closed(0.02):
                    break
            else:
                pytest.fail("still open")
            slow.close()

    asyncio.run(play())


def test_more_strangers_than_there_is_room_for_do_not_keep_a_client_out() -> None:
    async def play() -> None:
        async with listening(most=4, show_token_s=60) as port:
            first = await Client.connect(port)
            assert await first.ask() == b"200"
            strangers = [await Client.connect(port) for _ in range(20)]
            second = await Client.connect(port)
            assert await second.ask() == b"200"
            assert await first.ask() == b"200"
            assert [await stranger.is_closed(0.2) for stranger in strangers] == [True] * 18 + [False] * 2
            for each in (first, second, *strangers):
                each.close()

    asyncio.run(play())


def test_more_clients_than_there_is_room_for_are_refused() -> None:
    async def play() -> None:
        async with listening(most=2, show_token_s=60) as port:
            clients = [await Client.connect(port) for _ in range(2)]
            assert [await each.ask() for each in clients] == [b"200"] * 2
            third = await Client.connect(port)
            assert await third.is_closed()
            clients[0].close()
            await asyncio.sleep(0.05)
            fourth = await Client.connect(port)
            assert await fourth.ask() == b"200"
            for each in (*clients, third, fourth):
                each.close()

    asyncio.run(play())


def test_clients_that_come_and_go_quickly_leave_no_trace() -> None:
    async def play() -> None:
        async with listening(most=3, show_token_s=60) as port:
            for _ in range(20):
                client = await Client.connect(port)
                assert await client.ask() == b"200"
                client.close()
                await client.writer.wait_closed()

    asyncio.run(play())
