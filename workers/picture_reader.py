"""Reads pictures through an OpenAI-compatible endpoint on loopback: one request each, and a reply that is not believed.

What it says is untrusted: bounded, checked, and text only.
"""

from __future__ import annotations

import base64
import http.client
import math
import threading
from dataclasses import dataclass, field
from typing import Annotated, Any

import cv2
import orjson
import tenacity
from pydantic import Field, ValidationError

from pipeline.loopback import HangUp, exchange
from schemas.fields import Foreign
from workers.answering import Lost
from workers.images import Pixels
from workers.text_model import Interrupted, RecognizedLine

PROMPT = "OCR:"
"""What PaddleOCR-VL learned to be asked for the text of a picture; other tasks have other words."""

MOST_TOKENS = 256
"""More than a line holds; a reply that goes on beyond is the model repeating itself."""

LEAST_SIDE, LONGEST_TO_SHORTEST = 28, 100
"""A picture is filled up to these: models of this kind refuse one that is thinner than a patch, or a mere stripe."""

REQUEST_PARAMETERS: dict[str, object] = {
    "prompt": PROMPT,
    "tokens": MOST_TOKENS,
    "sides": [LEAST_SIDE, LONGEST_TO_SHORTEST],
    "revision": 1,
}
"""What decides here over the text, for the model's digest. Raise `revision` when rules change and no number does."""

_REQUEST_S = 60.0
_PATIENCE_S = 10.0
_MAX_REPLY_BYTES = 1 << 20
_BUSY = (429, 500, 502, 503, 504)
_ANOTHER = (401, 403, 404)


class NotRead(Exception):
    """The endpoint refused a picture, or its reply is not what was asked for; says no word of the reply."""


class _Busy(Exception):
    """The endpoint cannot answer now."""


class _Logprob(Foreign):
    logprob: float = Field(le=1e-3, allow_inf_nan=True)


class _Logprobs(Foreign):
    content: list[_Logprob] | None = Field(default=None, max_length=4 * MOST_TOKENS)


class _Message(Foreign):
    content: str | None = Field(max_length=1 << 16)


class _Choice(Foreign):
    message: _Message
    logprobs: _Logprobs
    finish_reason: str | None = None


class _Completion(Foreign):
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]


@dataclass
class PictureReader:
    """An endpoint that was found to serve the model."""

    url: str
    served: str
    owner: str
    version: str
    token: str = field(repr=False)
    hang_up: HangUp = field(default_factory=HangUp)

    def read(self, line: Pixels, interrupted: threading.Event) -> RecognizedLine:
        """Read a line's picture. Raises Interrupted, Lost, NotRead."""
        body = _request(self.served, line)
        try:
            status, reply = tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(_Busy),
                stop=tenacity.stop_after_delay(_PATIENCE_S),
                wait=tenacity.wait_exponential(multiplier=0.1, max=2),
                sleep=lambda seconds: _wait(interrupted, seconds),
                reraise=True,
            )(self._send, body, interrupted)
        except _Busy as error:
            raise Lost(f"the PaddleOCR-VL endpoint {self.url} is away: {error}") from error
        if status in _ANOTHER:
            raise Lost(f"another server is at {self.url} now: it answers {status}")
        if status != 200:
            raise NotRead(f"it answers {status}")
        return _read_reply(reply)

    def _send(self, body: bytes, interrupted: threading.Event) -> tuple[int, bytes]:
        if interrupted.is_set():
            raise Interrupted("told to end")
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            status, reply = exchange(
                self.url, "/v1/chat/completions", body=body, headers=headers, timeout_s=_REQUEST_S,
                max_bytes=_MAX_REPLY_BYTES, hang_up=self.hang_up,
            )  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            if interrupted.is_set():
                raise Interrupted("told to end") from error
            raise _Busy(type(error).__name__) from error
        if interrupted.is_set():
            raise Interrupted("told to end")
        if status in _BUSY:
            raise _Busy(f"it answers {status}")
        return status, reply


def _wait(interrupted: threading.Event, seconds: float) -> None:
    interrupted.wait(seconds)


def _request(served: str, line: Pixels) -> bytes:
    """The body of a chat completion: the picture without loss, the task, the likeliest tokens with their chances."""
    picture = base64.b64encode(cv2.imencode(".png", _filled_up(line))[1].tobytes()).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "text", "text": PROMPT},
    ]
    return orjson.dumps({
        "model": served, "messages": [{"role": "user", "content": content}], "temperature": 0.0, "seed": 0,
        "max_tokens": MOST_TOKENS, "logprobs": True, "stream": False,
    })  # fmt: skip


def _filled_up(line: Pixels) -> Any:
    height, width = line.shape[:2]
    least = max(LEAST_SIDE, -(-max(height, width) // LONGEST_TO_SHORTEST))
    below, right = max(0, least - height), max(0, least - width)
    return cv2.copyMakeBorder(line, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else line


def _read_reply(reply: bytes) -> RecognizedLine:
    """Read a reply: one line of text, its score the geometric mean of its tokens' chances, in hundredths.

    Sums of a server that answers several at once differ in their last bits; hundredths hide nearly all of that. A reply
    that had to be cut off is no text.
    """
    try:
        choice = _Completion.model_validate_json(reply, strict=True).choices[0]
    except ValidationError as error:
        raise NotRead("its reply is not what was asked for: a chat completion with logprobs") from error
    chances = choice.logprobs.content or []
    text = " ".join((choice.message.content or "").split())
    if not text or not chances or choice.finish_reason == "length":
        return RecognizedLine("", 0.0)
    mean = sum(max(item.logprob, -100.0) for item in chances) / len(chances)
    return RecognizedLine(text, round(min(1.0, math.exp(mean)), 2))
