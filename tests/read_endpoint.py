"""PaddleOCR-VL's endpoint for tests: reads a picture as a word made of its hash, and misbehaves as told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlm_server import Answer, Endpoint, serving

NAME = "PaddleOCR-VL"


def read_as(text: str | None, *logprobs: float, finish_reason: str = "stop") -> tuple[int, bytes]:
    """A chat completion that says a text, with how likely each token was."""
    tokens: list[dict[str, Any]] = [
        {"token": "x", "logprob": value, "bytes": None, "top_logprobs": []} for value in logprobs or (0.0,)
    ]
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": tokens},
        "finish_reason": finish_reason,
    }
    return 200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def word(image: bytes) -> tuple[int, bytes]:
    """What it reads of a picture: a function of its bytes."""
    return read_as(hashlib.sha256(image).hexdigest()[:8], -0.1, -0.3)


def make_folder(parent: Path) -> Path:
    """A folder with the files that the model has."""
    folder = parent / NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "paddleocr_vl"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.model").write_bytes(b"tokens")
    return folder


@contextmanager
def reading(folder: Path, answer: Answer = word, port: int = 0, **told: Any) -> Iterator[Endpoint]:
    """An endpoint that serves the model of a folder."""
    models = [{"id": NAME, "owned_by": "vllm", "root": str(folder)}]
    with serving(answer, port, **{"models": models, **told}) as endpoint:
        yield endpoint
