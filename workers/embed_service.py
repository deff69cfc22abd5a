"""Serves a model that embeds texts: `POST /v1/embed`, JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web
from pydantic import ValidationError

from schemas.serving import MAX_TEXT_LENGTH, MAX_TEXTS_IN_REQUEST, Embedded, EmbedFailed, EmbedReply, EmbedRequest
from workers.answering import Engine, Refused

_MAX_REQUEST_BYTES = 4 << 20


class EmbedEngine(Engine, Protocol):
    """A model that embeds texts."""

    def embed(self, text: str) -> Embedded:
        """Embed a text: a function of the text alone, whatever was embedded before or beside it `[row-1]`."""
        ...


class EmbedService:
    """Answers with the embedding of each text."""

    path = "/v1/embed"
    max_request_bytes = _MAX_REQUEST_BYTES
    pages: Mapping[str, Callable[[], Any]] = {}

    def __init__(self, engine: EmbedEngine) -> None:
        self.engine = engine

    async def take(self, request: web.Request) -> list[str]:
        """Read the texts. Raises Refused, without quoting them."""
        try:
            return EmbedRequest.model_validate_json(await request.read(), strict=True).texts
        except ValidationError as error:
            limits = f"1 to {MAX_TEXTS_IN_REQUEST} texts of at most {MAX_TEXT_LENGTH} characters"
            raise Refused(400, f'the body is to be {{"texts": [...]}} with {limits}') from error

    def work(self, item: str) -> Embedded | EmbedFailed:
        """Embed a text."""
        return self.engine.embed(item)

    def failed(self, reason: str) -> Embedded | EmbedFailed:
        """A text on which the model failed."""
        return EmbedFailed(error="model_failed", message=reason)

    def reply(self, results: list[Embedded | EmbedFailed]) -> bytes:
        """Write the reply."""
        return EmbedReply.model_construct(results=results).model_dump_json().encode()
