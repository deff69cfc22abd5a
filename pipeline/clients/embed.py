"""Sends texts to an embedding server: a run's spans, with time; a question, only if it is quick."""

from __future__ import annotations

import base64
import binascii
import http.client
import math
import sys
import time
from array import array
from collections.abc import Iterator, Sequence

import orjson
from pydantic import ValidationError

from pipeline.clients.grouping import Grouping
from pipeline.clients.in_flight import on_its_way
from pipeline.clients.permission import Permission
from pipeline.clients.run_file import read_run_file
from pipeline.clients.text import ServerGone
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.loopback import HangUp, exchange, require_loopback
from schemas.serving import (
    MAX_DIMENSIONS,
    MAX_TEXTS_IN_REQUEST,
    Embedded,
    Embedding,
    EmbedFailed,
    EmbedReply,
    RunFile,
    SampleFailure,
)

_MAX_REPLY_BYTES = 2 << 20
_LENGTH_TOLERANCE = 1e-3
_FLOAT_BYTES = 4

_BAD_REPLY = SampleFailure("reply_invalid", "the server's answer is not what was agreed on", retryable=True)
_MODEL_FAILED = SampleFailure("model_failed", "the model failed on this text", retryable=True)


class EmbedClient:
    """Embeds texts through a server: a `TextEmbedder`. The server has one thread, so requests go one by one.

    `may_send` is the gate, asked before every request; when it tells that it is closed, the request is cancelled.
    Raises ContractInvalid for an endpoint that is not on loopback, before anything is sent `[model-1]`.
    """

    def __init__(self, server: RunFile, *, may_send: Permission, timeout_s: float) -> None:
        self._url = require_loopback(server.url)
        self._token = server.token
        self._may_send = may_send
        self._timeout_s = timeout_s

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        """Yield (index, embedding) in order; end early, without the rest, once `may_send` says no.

        Raises ServerGone when the connection breaks or nothing comes in time, and what `may_send` raises.
        """
        grouping, start = Grouping(), 0
        while start < len(texts) and self._may_send():
            indices = range(start, min(len(texts), start + min(grouping.size(), MAX_TEXTS_IN_REQUEST)))
            sent_at = time.monotonic()
            hang_up = HangUp()
            try:
                with self._may_send.tell(hang_up), on_its_way():
                    results = self._ask([texts[index] for index in indices], hang_up)
            except (OSError, http.client.HTTPException) as error:
                if hang_up.done:
                    return
                raise ServerGone(indices) from error
            grouping.answered(len(indices), time.monotonic() - sent_at)
            yield from zip(indices, results, strict=True)
            start = indices.stop

    def _ask(self, texts: list[str], hang_up: HangUp) -> list[Embedding | SampleFailure]:
        status, body = _post(self._url, self._token, texts, self._timeout_s, hang_up)
        if status == 401:  # the token is not the one that we knew: another server
            raise http.client.HTTPException
        if status != 200:
            refused = SampleFailure("request_refused", f"the server answered {status}", retryable=status >= 500)
            return [refused] * len(texts)
        return _parse(body, len(texts)) or [_BAD_REPLY] * len(texts)


class NotEmbedded(Exception):
    """No embedding came, or none in time; says why in words for people."""


def embed_question(
    root: DataRoot, text: str, timeout_s: float = 0.05, *, model_digest: str | None = None
) -> array[float] | None:
    """Embed a question; None unless a server that runs already answers within `timeout_s`, see `embed_wordings`."""
    try:
        return embed_wordings(root, [text], timeout_s, model_digest=model_digest)[0]
    except NotEmbedded:
        return None


def embed_wordings(
    root: DataRoot, texts: Sequence[str], timeout_s: float, *, model_digest: str | None = None
) -> list[array[float]]:
    """Embed wordings of a question, all of them within `timeout_s`, by a server that runs already.

    With `model_digest`, only that model's vectors will do: vectors of two models say nothing about each other. Starts
    no server and writes nothing `[answer-2]`. Raises NotEmbedded.
    """
    deadline = time.monotonic() + timeout_s
    server = read_run_file(root.worker_file("embed"))
    if server is None:
        raise NotEmbedded("no embedding server runs")
    try:
        if model_digest is not None and server.model.model_digest != model_digest:
            raise NotEmbedded("the embedding server has another model than the landscape")
        status, body = _post(server.url, server.token, list(texts), timeout_s)
    except TimeoutError as error:
        raise _late(timeout_s) from error
    except (OSError, ContractInvalid) as error:
        raise NotEmbedded("no embedding server runs") from error
    except http.client.HTTPException as error:
        raise NotEmbedded("the embedding server gave no answer that can be used") from error
    if time.monotonic() > deadline:
        raise _late(timeout_s)
    vectors = [item.vector for item in _parse(body, len(texts)) or () if isinstance(item, Embedding)]
    if status != 200 or len(vectors) != len(texts):
        raise NotEmbedded("the embedding server gave no answer that can be used")
    return vectors


def _late(timeout_s: float) -> NotEmbedded:
    return NotEmbedded(f"the embedding server did not answer within {timeout_s * 1000:.0f} ms")


def _post(url: str, token: str, texts: list[str], timeout_s: float, hang_up: HangUp | None = None) -> tuple[int, bytes]:
    """Raises TimeoutError, OSError, HTTPException, ContractInvalid."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = orjson.dumps({"texts": texts})
    return exchange(
        url, "/v1/embed", body=body, headers=headers, timeout_s=timeout_s, max_bytes=_MAX_REPLY_BYTES, hang_up=hang_up
    )


def _parse(body: bytes, texts: int) -> list[Embedding | SampleFailure] | None:
    """Read a reply to so many texts, as untrusted input; None when it is not one."""
    try:
        results = EmbedReply.model_validate_json(body, strict=True).results
        found = [_result(item) for item in results]
    except (ValidationError, ValueError):
        return None
    dimensions = {len(item.vector) for item in found if isinstance(item, Embedding)}
    return found if len(found) == texts and len(dimensions) <= 1 else None


def _result(item: Embedded | EmbedFailed) -> Embedding | SampleFailure:
    """Raises ValueError for anything but a finite vector of length 1."""
    if isinstance(item, EmbedFailed):
        return _MODEL_FAILED
    try:
        raw = base64.b64decode(item.vector, validate=True)
    except binascii.Error as error:
        raise ValueError("a vector that is no base64") from error
    if not raw or len(raw) % _FLOAT_BYTES or len(raw) > _FLOAT_BYTES * MAX_DIMENSIONS:
        raise ValueError("a vector of another size")
    vector = array("f", raw)
    if sys.byteorder == "big":
        vector.byteswap()
    if not abs(math.sqrt(math.fsum(value * value for value in vector)) - 1) <= _LENGTH_TOLERANCE:  # NaN compares false
        raise ValueError("a vector whose length is not 1")
    return Embedding(vector, item.tokens, item.cut)
