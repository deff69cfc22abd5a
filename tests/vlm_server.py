"""A VLM endpoint on loopback for tests: answers as a function of the picture, and misbehaves as told."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loopback_server import Replying, served
from PIL import Image

from pipeline.clients.vlm_endpoint import VlmServer
from schemas.serving import ModelIdentity

MODEL = "/models/tiny-vl"
Answer = Callable[[bytes], "Mapping[str, Any] | str | tuple[int, bytes]"]


def picture(width: int = 64, height: int = 48, shade: int = 0) -> bytes:
    """A PNG of one shade."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (shade % 256, shade // 256 % 256, 7)).save(out, "PNG")
    return out.getvalue()


def said(image: bytes, **changes: Any) -> dict[str, Any]:
    """What the model says of a picture: a function of its bytes."""
    digest = hashlib.sha256(image).digest()
    element = {"role": "button", "label": f"Save {digest[0]}", "bbox": [100, 250, 500, 500], "state": "normal"}
    dialog = {"kind": "error", "title": "Disk full", "bbox": [0, 0, 1000, 500]}
    dialogs = [dialog] if digest[1] % 2 else []
    said = {"app_kind": "editor", "summary": f"writes {digest.hex()[:8]}", "elements": [element], "dialogs": dialogs}
    return said | changes


def completion(content: str, finish_reason: str = "stop") -> bytes:
    """The body of a chat completion with this content."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}).encode()


@dataclass
class Endpoint:
    """What the server is told, and what it saw. Change `answer` and the rest at any time."""

    answer: Answer = said
    url: str = ""
    models: list[dict[str, Any]] = field(default_factory=lambda: [{"id": MODEL, "owned_by": "vllm", "root": MODEL}])
    health: int = 200
    version: str | None = "0.32.0"
    key: str = ""
    waiting: int | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def server(self) -> VlmServer:
        """The server as a client is told of it."""
        identity = ModelIdentity(provider_id="vllm", model_id="tiny-vl", model_digest="a" * 64)
        return VlmServer(self.url, MODEL, identity, self.key)

    def chat(self, body: bytes) -> tuple[int, bytes]:
        """Answer a chat completion."""
        request = json.loads(body)
        image = base64.b64decode(request["messages"][-1]["content"][0]["image_url"]["url"].partition(",")[2])
        with self.lock:
            self.requests.append(request)
            self.images.append(image)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.answer(image)
        finally:
            with self.lock:
                self.at_once -= 1
        if isinstance(answer, tuple):
            return answer
        return 200, completion(answer if isinstance(answer, str) else json.dumps(answer))

    def get(self, path: str) -> tuple[int, bytes]:
        """Answer a request for what the server says of itself."""
        if path == "/health":
            return self.health, b""
        if path == "/v1/models":
            return 200, json.dumps({"object": "list", "data": self.models}).encode()
        if path == "/version" and self.version is not None:
            return 200, json.dumps({"version": self.version}).encode()
        if path == "/metrics" and self.waiting is not None:
            return 200, f'# HELP x\nvllm:num_requests_waiting{{engine="0"}} {self.waiting}.0\n'.encode()
        return 404, b"{}"


@contextmanager
def serving(answer: Answer = said, port: int = 0, **told: Any) -> Iterator[Endpoint]:
    """An endpoint at a free port of 127.0.0.1, or at this one. An answer that raises ConnectionError hangs up."""
    endpoint = Endpoint(answer=answer, **told)

    class Handler(Replying):
        def answer(self, method: str) -> None:
            status, body = endpoint.get(self.path) if method == "GET" else endpoint.chat(self.body())
            if endpoint.key and self.path != "/health" and self.headers["Authorization"] != f"Bearer {endpoint.key}":
                status, body = 401, b"{}"
            self.reply(status, body)

    with served(Handler, port) as endpoint.url:
        yield endpoint
