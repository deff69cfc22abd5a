"""Prompts as versioned files: `<name>/v<number>.toml` beside this module, each hashed with all that decodes it.

A file is never changed once it was used: a new wording is a new version. `load_prompt` gives one, `list_prompts` all.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UsageError
from schemas.canonical import canonical_json, sha256_hex

_FOLDER = Path(__file__).parent
_VERSION = re.compile(r"v[1-9][0-9]*")

Coordinates = Literal["thousandths"]


@dataclass(frozen=True)
class Prompt:
    """A prompt, the parameters it is decoded with, and the schema of the reply."""

    name: str
    version: str
    system: str
    user: str
    coordinates: Coordinates
    decoder: Mapping[str, int]
    reply_schema: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """All that decides what a model makes of a picture, as canonical JSON: what records keep as `prompt`.

        Without name and version: the same wording under another name is the same prompt. The schema as text, since
        the order of its properties is the order in which they are written.
        """
        return canonical_json({
            "coordinates": self.coordinates,
            "decoder": dict(self.decoder),
            "reply_schema": json.dumps(self.reply_schema, separators=(",", ":")),
            "system": self.system,
            "user": self.user,
        }).decode()  # fmt: skip

    @property
    def sha256(self) -> str:
        """The `prompt_hash` of records."""
        return sha256_hex(self.text.encode())


def list_prompts() -> list[Prompt]:
    """All prompts, by name and then by number of version."""
    return [load_prompt(name, version) for name in _names() for version in prompt_versions(name)]


def prompt_versions(name: str) -> list[str]:
    """The versions of a prompt, oldest first; empty for a name that there is not."""
    if name not in _names():
        return []
    found = [path.stem for path in (_FOLDER / name).glob("*.toml") if _VERSION.fullmatch(path.stem)]
    return sorted(found, key=lambda version: int(version[1:]))


def load_prompt(name: str, version: str) -> Prompt:
    """Load a version of a prompt. Raises UsageError for one that there is not."""
    versions = prompt_versions(name)
    if version not in versions:
        there = f"there are: {', '.join(versions)}" if versions else f"the prompts are: {', '.join(_names())}"
        raise UsageError(f"no prompt {name!r} in version {version!r}", remedy=there)
    return read_prompt(_FOLDER / name / f"{version}.toml", name)


def read_prompt(path: Path, name: str) -> Prompt:
    """Read a prompt's file, also one that lies elsewhere; its version is the file's name. Raises UsageError.

    The schema of the reply lies beside it, under the name that the file gives.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        schema = json.loads((path.parent / Path(content.pop("reply_schema")).name).read_text(encoding="utf-8"))
        prompt = Prompt(name, path.stem, reply_schema=schema, **{key: _clean(value) for key, value in content.items()})
        if prompt.coordinates != "thousandths":
            raise ValueError("coordinates must be 'thousandths'")
        _ = prompt.text  # what cannot be hashed, a float, is found now
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the prompt {path} cannot be used: {error}", remedy="compare it with v1.toml") from error
    return prompt


def _names() -> list[str]:
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir() and any(path.glob("*.toml")))


def _clean(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value
