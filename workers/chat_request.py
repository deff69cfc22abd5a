"""The part of OpenAI's `POST /v1/chat/completions` that is understood here; what is not understood is refused.

A field that would be passed over in silence could leave an answer unbounded that its asker believes to be bounded.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.answering import Refused

MAX_IMAGES = 4
DEFAULT_TOKENS = 1_024
_DATA_URL = "data:image/"
_ENCODING = ";base64,"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Url(_Part):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _ImagePart(_Part):
    type: Literal["image_url"]
    image_url: _Url


class _TextPart(_Part):
    type: Literal["text"]
    text: str


class _Message(_Part):
    role: Literal["system", "user", "assistant"]
    content: str | list[Annotated[_ImagePart | _TextPart, Field(discriminator="type")]]


class _Schema(_Part):
    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class _JsonSchema(_Part):
    type: Literal["json_schema"]
    json_schema: _Schema


class _FreeText(_Part):
    type: Literal["text"]


class _Request(_Part):
    model: str
    messages: list[_Message] = Field(min_length=1)
    response_format: Annotated[_JsonSchema | _FreeText, Field(discriminator="type")] = _FreeText(type="text")
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float = 1.0
    top_p: float | None = None
    seed: int | None = None
    n: Literal[1] = 1
    stream: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Chat:
    """A request: `messages` in the form that chat templates take, each picture's bytes apart, in their order."""

    messages: list[dict[str, Any]]
    images: list[bytes]
    schema: dict[str, Any] | None
    max_tokens: int


def parse_chat(body: bytes, model: str) -> Chat:
    """Read the body of a request for the model of this name. Raises Refused, without quoting what was said."""
    try:
        request = _Request.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise Refused(400, f"the request is not understood at {place or 'its start'}: {problem['msg']}") from error
    if request.model != model:
        raise Refused(404, f"the model {request.model[:200]!r} is not served here; this server has {model!r}")
    if request.temperature != 0:
        raise Refused(400, "the likeliest token is taken, always: temperature is to be 0")
    images: list[bytes] = []
    messages = [{"role": message.role, "content": _parts(message, images)} for message in request.messages]
    if len(images) > MAX_IMAGES:
        raise Refused(400, f"a request holds {MAX_IMAGES} images at most")
    wanted = request.response_format
    return Chat(
        messages=messages,
        images=images,
        schema=wanted.json_schema.schema_ if isinstance(wanted, _JsonSchema) else None,
        max_tokens=request.max_completion_tokens or request.max_tokens or DEFAULT_TOKENS,
    )


def _parts(message: _Message, images: list[bytes]) -> list[dict[str, str]]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    parts = []
    for part in message.content:
        if isinstance(part, _TextPart):
            parts.append({"type": "text", "text": part.text})
        else:
            images.append(_decode_url(part.image_url.url))
            parts.append({"type": "image"})
    return parts


def _decode_url(url: str) -> bytes:
    """The bytes of a data URL; no other kind is followed: nothing is fetched, and no file is opened."""
    head, mark, data = url.partition(_ENCODING)
    if not mark or not head.startswith(_DATA_URL):
        raise Refused(400, f"an image is to be given as {_DATA_URL}png{_ENCODING}…")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise Refused(400, "an image's data URL is no base64") from error
