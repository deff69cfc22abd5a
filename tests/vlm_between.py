"""Stands between a client and a real VLM server, and spoils some of what passes, as told."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from loopback_server import Replying, served

Answer = tuple[int, bytes]
Pass = Callable[[bytes], Answer]
Spoil = Callable[[bytes, bytes, Pass], Answer]

_FORWARDED = ("Authorization", "Content-Type")


def unspoiled(image: bytes, body: bytes, pass_on: Pass) -> Answer:
    """Pass a request on, and its answer back."""
    return pass_on(body)


def with_another_schema(body: bytes) -> bytes:
    """A request with another schema than it had, so that the model itself says what does not follow the first."""
    request = json.loads(body)
    request["response_format"]["json_schema"]["schema"] = {"enum": ["a window", "a button"]}
    return json.dumps(request).encode()


def picture_of(body: bytes) -> bytes:
    """The picture of a request."""
    url = json.loads(body)["messages"][1]["content"][0]["image_url"]["url"]
    return base64.b64decode(url.partition(",")[2])


class Between:
    """A server on loopback; `spoil` sees each chat request and its picture, and answers it."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.url = ""
        self.spoil: Spoil = unspoiled
        self.chats = 0
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request."""
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=120)

        def pass_on(content: bytes) -> Answer:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()

        try:
            if method == "GET":
                return pass_on(body)
            with self.lock:
                self.chats += 1
            return self.spoil(picture_of(body), body, pass_on)
        finally:
            connection.close()


@contextmanager
def standing_between(behind: str) -> Iterator[Between]:
    """A server in front of another one. A broken connection behind is a broken one in front."""
    between = Between(behind)

    class Handler(Replying):
        gone = OSError

        def answer(self, method: str) -> None:
            body = self.body()
            headers = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
            try:
                status, answer = between.answer(method, self.path, headers, body)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            self.reply(status, answer)

    with served(Handler) as between.url:
        yield between
