"""The request that has a frame described: the picture as it was captured, and the prompt with its schema."""

from __future__ import annotations

import base64
import io

import orjson

from pipeline.errors import SampleError
from pipeline.prompts import Prompt
from schemas.serving import FrameRef

MAX_IMAGE_BYTES = 24 << 20
MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def chat_request(prompt: Prompt, served: str, frame: FrameRef, image: bytes) -> bytes:
    """Write the body of a chat completion. Raises SampleError for an image that is not sent.

    The picture is not decoded, only its header is read; it goes as it is, so that the record depends on its bytes
    alone `[row-1]`. What is asked for in `response_format` is what vLLM enforces (`guided_json` is ignored by it).
    """
    media_type = _check(frame, image)
    picture = f"data:{media_type};base64,{base64.b64encode(image).decode()}"
    return orjson.dumps({
        "model": served,
        "messages": [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": picture}},
                {"type": "text", "text": prompt.user},
            ]},
        ],
        **prompt.decoder,
        "stream": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": prompt.name, "strict": True, "schema": prompt.reply_schema},
        },
    })  # fmt: skip


def _check(frame: FrameRef, image: bytes) -> str:
    """The media type of a picture that is one, of the size that its record says, and not too large."""
    from PIL import Image  # late: only what asks a VLM needs it

    if len(image) > MAX_IMAGE_BYTES:
        raise SampleError("image_too_large", f"the image has {len(image)} bytes, {MAX_IMAGE_BYTES} may be sent")
    try:
        with Image.open(io.BytesIO(image), formats=tuple(_MEDIA_TYPES)) as picture:
            (width, height), kind = picture.size, str(picture.format)
    except Image.DecompressionBombError:
        raise SampleError("image_too_large", "the image's header states a size beyond all limits") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything, from struct.error to SyntaxError
        raise SampleError("image_unreadable", f"the image cannot be read: {type(error).__name__}") from None
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise SampleError("image_too_large", f"the image has {width} x {height} pixels")
    if (width, height) != (frame.width, frame.height):
        found, expected = f"{width} x {height}", f"{frame.width} x {frame.height}"
        raise SampleError("image_size_differs", f"the image is {found} pixels, its record says {expected}")
    return _MEDIA_TYPES[kind]
