"""What goes over the wire between the pipeline and its model servers, and the seam where a stage meets a model."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, Protocol

import orjson
from pydantic import Field

from schemas.canonical import nfc
from schemas.fields import Contract, Sha256

IMAGE_SIZES_HEADER = "X-Image-Sizes"
"""`POST /v1/text`: the body is images one after the other, this header their sizes in bytes, comma-separated."""

MAX_IMAGES_IN_REQUEST = 32
MAX_REQUEST_BYTES = 64 << 20
MAX_REPLY_BYTES = 64 << 20
MAX_LINES_IN_FRAME = 5_000
MAX_LINE_LENGTH = 4_000
MAX_TEXTS_IN_REQUEST = 32
MAX_TEXT_LENGTH = 8_000
MAX_DIMENSIONS = 4_096

Pixel = Annotated[int, Field(ge=0, le=65_536)]


class TextLine(Contract):
    """A line of text read from an image: NFC, without control characters; the box lies within the image."""

    text: str = Field(min_length=1, max_length=MAX_LINE_LENGTH, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    bbox: tuple[Pixel, Pixel, Pixel, Pixel]
    score: int = Field(ge=0, le=10_000, description="confidence in 1/10,000")


class ReadText(Contract):
    """All lines of one image, in reading order."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    lines: list[TextLine] = Field(max_length=MAX_LINES_IN_FRAME)
    elapsed_us: int = Field(ge=0, description="time the model took, in microseconds")


def canonical_text_output(reply: ReadText) -> bytes:
    """Write a reply as the `output_json` of a text record: the same bytes as canonical JSON would give `[hash-1]`.

    Its types were validated, so the search for floats, half of what canonical JSON costs, is left out here.
    """
    lines = [{"bbox": line.bbox, "score": line.score, "text": nfc(line.text)} for line in reply.lines]
    output = {"height": reply.height, "lines": lines, "width": reply.width}
    return orjson.dumps(output, option=orjson.OPT_SORT_KEYS)


class ReadFailed(Contract):
    """Why one image could not be read."""

    error: Literal["image_unreadable", "image_too_large", "model_failed"]
    message: str = Field(max_length=500)


class ReadTextReply(Contract):
    """One result for every image of the request, in its order."""

    results: list[Annotated[ReadText | ReadFailed, Field(union_mode="left_to_right")]] = Field(
        max_length=MAX_IMAGES_IN_REQUEST
    )


class EmbedRequest(Contract):
    """`POST /v1/embed`: texts to embed, each on its own."""

    texts: list[Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]] = Field(
        min_length=1, max_length=MAX_TEXTS_IN_REQUEST
    )


class Embedded(Contract):
    """The embedding of a text: of length 1, as float32; a text beyond the model's window is cut."""

    vector: str = Field(max_length=6 * MAX_DIMENSIONS, description="little-endian float32 values, in base64")
    tokens: int = Field(ge=0, description="how many tokens of the text the model saw")
    cut: bool = Field(description="whether the text was longer")


class EmbedFailed(Contract):
    """Why one text could not be embedded."""

    error: Literal["model_failed"]
    message: str = Field(max_length=500)


class EmbedReply(Contract):
    """One result for every text of the request, in its order."""

    results: list[Annotated[Embedded | EmbedFailed, Field(union_mode="left_to_right")]] = Field(
        max_length=MAX_TEXTS_IN_REQUEST
    )


class ModelIdentity(Contract):
    """Which model answered; `model_digest` covers its weights and the preprocessing that changes outputs."""

    provider_id: str
    model_id: str
    model_digest: Sha256


class Health(Contract):
    """`GET /health`."""

    ready: bool
    modality: str
    model: ModelIdentity
    requests: int = Field(ge=0)


class RunFile(Contract):
    """How to reach a running server; written by it, mode 600, when it is ready."""

    kind: str
    pid: int
    created_at: float = Field(
        description="seconds from the machine's start to the process's, to tell it from others of its pid"
    )
    url: str
    token: str
    model: ModelIdentity
    asked: str = Field(default="", description="which engine and model it was started with; empty for the default")


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A frame that a model stage is to read."""

    frame_id: str
    run_id: str
    ts_utc: datetime
    width: int
    height: int
    content_hash: str
    blob_path: str


@dataclass(frozen=True, slots=True)
class SampleFailure:
    """Why a sample has no result: `code` is stable and for machines, `message` holds no text from the screen.

    `reply` is what a model answered instead, where that is worth keeping; it is shown nowhere.
    """

    code: str
    message: str
    retryable: bool
    reply: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Embedding:
    """The embedding of a text as float32 values, and how much of the text the model saw."""

    vector: array[float]
    tokens: int
    cut: bool


class TextEmbedder(Protocol):
    """Embeds texts: yields (index into `texts`, embedding) in any order.

    It may stop early (the gate closed): a text that was not yielded stays pending.
    """

    def __call__(self, texts: Sequence[str]) -> Iterable[tuple[int, Embedding | SampleFailure]]: ...


class TextReader(Protocol):
    """Reads frames: yields (index into `frames`, what was read) in any order.

    It may stop early (the gate closed): a frame that was not yielded stays pending.
    """

    def __call__(self, frames: Sequence[FrameRef]) -> Iterable[tuple[int, ReadText | SampleFailure]]: ...
