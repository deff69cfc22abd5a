"""Serves a model that reads text from images: `POST /v1/text`, images one after the other, their sizes in a header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from schemas.serving import (
    IMAGE_SIZES_HEADER,
    MAX_IMAGES_IN_REQUEST,
    MAX_REQUEST_BYTES,
    ReadFailed,
    ReadText,
    ReadTextReply,
)
from workers.answering import Engine, Refused


class TextEngine(Engine, Protocol):
    """A model that reads text."""

    def read(self, image: bytes) -> ReadText | ReadFailed:
        """Read an image: a function of its bytes alone, whatever was read before `[row-1]`."""
        ...


class TextService:
    """Answers with the lines of each image, or why it could not be read."""

    path = "/v1/text"
    max_request_bytes = MAX_REQUEST_BYTES
    pages: Mapping[str, Callable[[], Any]] = {}

    def __init__(self, engine: TextEngine) -> None:
        self.engine = engine

    async def take(self, request: web.Request) -> list[bytes]:
        """Cut the body into images. Raises Refused."""
        sizes = _image_sizes(request.headers.get(IMAGE_SIZES_HEADER, ""))
        if sizes is None:
            raise Refused(400, f"{IMAGE_SIZES_HEADER} wants 1 to {MAX_IMAGES_IN_REQUEST} sizes, comma-separated")
        if sum(sizes) > MAX_REQUEST_BYTES:
            raise Refused(413, f"a request holds {MAX_REQUEST_BYTES} bytes at most")
        if sum(sizes) != request.content_length:
            raise Refused(400, f"{IMAGE_SIZES_HEADER} does not add up to the size of the body")
        return _split(await request.read(), sizes)

    def work(self, item: bytes) -> ReadText | ReadFailed:
        """Read an image."""
        return self.engine.read(item)

    def failed(self, reason: str) -> ReadText | ReadFailed:
        """An image on which the model failed."""
        return ReadFailed(error="model_failed", message=reason)

    def reply(self, results: list[ReadText | ReadFailed]) -> bytes:
        """Write the reply."""
        # What the engine made is valid by type; the client checks the whole reply again.
        return ReadTextReply.model_construct(results=results).model_dump_json().encode()


def _image_sizes(header: str) -> list[int] | None:
    parts = header.split(",")
    if len(parts) > MAX_IMAGES_IN_REQUEST or not all(len(part) < 12 and part.isdecimal() for part in parts):
        return None
    return [int(part) for part in parts]


def _split(body: bytes, sizes: list[int]) -> list[bytes]:
    images, start = [], 0
    for size in sizes:
        images.append(body[start : start + size])
        start += size
    return images
