"""A vision language model's local folder: is it one that can be served, how large is it, and what is its digest.

Only `safetensors` are read: weights in any other form may hold code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil

from pipeline.errors import Unavailable

MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""Models that take a picture as a grid of patches between `<|vision_start|>` and `<|vision_end|>`."""

CHOOSE = "give the folder of a downloaded Qwen2-VL-2B-Instruct: pipeline workers up vlm --set vlm_model_path=FOLDER"
BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}
_NEEDED = ("config.json", "tokenizer.json", "preprocessor_config.json")
_HASHED = (".safetensors", ".json", ".jinja", ".txt")
_ROOM_FOR_WORK = 1 << 30
_CONFIG_LIMIT = 16 << 20


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's `config.json`. Raises Unavailable, saying what is missing, unless it holds a model for pictures."""
    if not folder.is_dir():
        raise Unavailable(f"there is no model folder {folder}", remedy=CHOOSE)
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise Unavailable(f"the model folder {folder} has no {name}", remedy=CHOOSE)
    config = _read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        known = ", ".join(MODEL_TYPES)
        raise Unavailable(f"{folder} holds a model of type {kind!r}, expected one that sees: {known}", remedy=CHOOSE)
    return config


def find_weights(folder: Path) -> list[Path]:
    """The files of the weights. Raises Unavailable when there are none or one that the index names is missing."""
    index = folder / "model.safetensors.index.json"
    names = set(_read_json(index).get("weight_map", {}).values()) if index.is_file() else {"model.safetensors"}
    for name in sorted(names):
        if not (folder / str(name)).is_file():
            raise Unavailable(f"the model folder {folder} has no {name}", remedy=CHOOSE)
    return [folder / str(name) for name in sorted(names)]


def check_memory(folder: Path, dtype: str) -> None:
    """Raise Unavailable unless the weights, as numbers of this type, fit in what half of the machine has free."""
    needed = count_weights(folder) * BYTES_OF[dtype] + _ROOM_FOR_WORK
    memory = psutil.virtual_memory()
    free = min(memory.available, memory.total // 2)
    if needed > free:
        raise Unavailable(
            f"the model in {folder} needs {_gib(needed)} of memory as {dtype}, and {_gib(free)} may be used",
            remedy="end other programs, choose a smaller model, or: pipeline workers up vlm --set vlm_dtype=bfloat16",
        )


def count_weights(folder: Path) -> int:
    """How many numbers the weights hold, by the headers of their files. Raises Unavailable for a damaged one."""
    return sum(_count_in(path) for path in find_weights(folder))


def digest_files(folder: Path, suffixes: Collection[str] = _HASHED) -> dict[str, str]:
    """The SHA-256 of each file of the folder that decides what the model says, by name."""
    files = sorted(path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())
    return {path.name: _digest(path) for path in files}


def _count_in(path: Path) -> int:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= _CONFIG_LIMIT else b""
    try:
        tensors = [entry for name, entry in json.loads(header).items() if name != "__metadata__"]
        return sum(math.prod(entry["shape"]) for entry in tensors)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{path} is no safetensors file", remedy="download the model again") from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= _CONFIG_LIMIT else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"{path} is no JSON object", remedy="download the model again")
    return found


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
