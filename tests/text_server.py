"""A server of texts on loopback that answers as a test says, and a client that asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from loopback_server import Replying, served

from pipeline.clients import TextClient
from pipeline.gate import Lookout
from schemas.serving import FrameRef, ModelIdentity, ReadText, RunFile, SampleFailure

MODEL = ModelIdentity(provider_id="p", model_id="m", model_digest="0" * 64)
Answer = Callable[[list[bytes]], tuple[int, bytes]]


def frame(name: str, width: int = 100, height: int = 50) -> FrameRef:
    return FrameRef(name, "run", datetime(2026, 4, 1, tzinfo=UTC), width, height, "", name)


FRAMES = [frame(f"frame {number}") for number in range(40)]


def text(image: bytes, **changes: Any) -> dict[str, Any]:
    line = {"text": f"read {image.decode()}", "bbox": [0, 0, 100, 50], "score": 9_000}
    return {"width": 100, "height": 50, "lines": [line], "elapsed_us": 1} | changes


def results(*items: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"results": items}).encode()


def read_all(images: list[bytes]) -> tuple[int, bytes]:
    return results(*(text(image) for image in images))


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on loopback that answers POST requests by a function from images to (status, body)."""

    class Handler(Replying):
        protocol_version = "HTTP/1.1"

        def answer(self, method: str) -> None:
            body = self.body()
            images = []
            for size in self.headers["X-Image-Sizes"].split(","):
                images.append(body[: int(size)])
                body = body[int(size) :]
            try:
                self.reply(*answer(images))
            except ConnectionAbortedError:
                self.close_connection = True

    with served(Handler) as url:
        yield url


def load_name(item: FrameRef) -> bytes:
    return item.frame_id.encode()


def client(
    url: str,
    *,
    load: Callable[[FrameRef], bytes] = load_name,
    may_send: Callable[[], bool] = lambda: True,
    concurrency: int = 4,
    timeout_s: float = 10.0,
) -> TextClient:
    server = RunFile(kind="ocr", pid=1, created_at=0.0, url=url, token="secret", model=MODEL)
    return TextClient(server, load=load, may_send=Lookout(may_send), concurrency=concurrency, timeout_s=timeout_s)


def words(outcome: ReadText | SampleFailure) -> str:
    return outcome.lines[0].text if isinstance(outcome, ReadText) else outcome.code


def outcome_of(answer: Answer) -> SampleFailure:
    """What becomes of one frame that a server answers so."""
    with serving(answer) as url:
        [(index, outcome)] = client(url)([FRAMES[0]])
    assert index == 0
    assert isinstance(outcome, SampleFailure)
    return outcome
