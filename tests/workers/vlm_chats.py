"""Requests to a vision language model, as the pipeline sends them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from PIL import Image

ELEMENT = {
    "type": "object",
    "properties": {
        "role": {"enum": ["button", "input"]},
        "label": {"type": "string", "maxLength": 8},
        "bbox": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 1000},
            "minItems": 4,
            "maxItems": 4,
        },
    },
    "required": ["role", "label", "bbox"],
    "additionalProperties": False,
}
SCREEN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "maxLength": 12},
        "elements": {"type": "array", "items": ELEMENT, "maxItems": 2},
    },
    "required": ["summary", "elements"],
    "additionalProperties": False,
}


def picture(width: int = 112, height: int = 84, colour: str = "lightblue") -> bytes:
    """A PNG of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()


def data_url(image: bytes) -> str:
    """A picture as it stands in a request."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def request(
    *images: bytes, text: str = "Describe the screen.", schema: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The body of a request; `more` replaces or adds fields."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    body: dict[str, Any] = {
        "model": "tiny-vlm",
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        "temperature": 0,
        "seed": 0,
        "max_tokens": 200,
    }
    if schema is not None:
        named = {"name": "screen", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body | more


def sent(body: dict[str, Any]) -> bytes:
    """A body as bytes."""
    return json.dumps(body).encode()
