"""Which prompts there are, what was made with each, and how two of them differ."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.dag import STAGES
from pipeline.dataroot import DataRoot
from pipeline.errors import UsageError
from pipeline.prompts import Prompt, list_prompts, read_prompt
from pipeline.stores.facts import read_file

VLM = "vlm"
_SHORTEST_HASH = 8


@dataclass(frozen=True, slots=True)
class KnownPrompt:
    """A prompt of this installation, or one that only records hold; the latter have no name. `text` is what is hashed.

    `records` counts what was made with it, also by a model that is not in use any more.
    """

    name: str
    version: str
    sha256: str
    text: str
    records: int

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.name}/{self.version}" if self.name else f"recorded {self.sha256[:12]}"


def known_prompts(root: DataRoot) -> list[KnownPrompt]:
    """All prompts of this installation by name and version, then those that only records hold, by their hash.

    Raises ContractInvalid for a fact file that cannot be read.
    """
    made, texts = _recorded(root)
    files = list_prompts()
    there = [KnownPrompt(item.name, item.version, item.sha256, item.text, made[item.sha256]) for item in files]
    others = sorted(texts.keys() - {item.sha256 for item in files})
    return [*there, *(KnownPrompt("", "", sha256, texts[sha256], made[sha256]) for sha256 in others)]


def diff_prompts(root: DataRoot, a: str, b: str) -> dict[str, Any]:
    """How two prompts differ, line by line. Raises UsageError for what names no prompt, ContractInvalid."""
    known = known_prompts(root)
    one, other = find_prompt(known, a), find_prompt(known, b)
    lines = difflib.unified_diff(_lines(one.text), _lines(other.text), one.label, other.label, lineterm="")
    sides = {side: {"name": item.label, "prompt_hash": item.sha256} for side, item in (("a", one), ("b", other))}
    return {**sides, "same": one.sha256 == other.sha256, "diff": list(lines)}


def find_prompt(known: list[KnownPrompt], wanted: str) -> KnownPrompt:
    """Find a prompt by `NAME/VERSION`, by the beginning of its hash, or in a file. Raises UsageError."""
    path = Path(wanted)
    if path.suffix == ".toml":
        prompt = load_candidate(path)
        return KnownPrompt(prompt.name, prompt.version, prompt.sha256, prompt.text, 0)
    found = [item for item in known if item.name and wanted == item.label] or [
        item for item in known if len(wanted) >= _SHORTEST_HASH and item.sha256.startswith(wanted)
    ]
    if not found:
        choice = ", ".join(item.label for item in known)
        raise UsageError(
            f"no prompt {wanted!r}; there are: {choice}",
            remedy="name one as NAME/VERSION, by the first 8 digits of its hash, or as a file that ends in .toml",
        )
    return found[0]


def load_candidate(path: Path) -> Prompt:
    """Read a prompt's file that is not part of this installation; its name is that of its folder. Raises UsageError."""
    return read_prompt(path, path.absolute().parent.name)


def _recorded(root: DataRoot) -> tuple[Counter[str], dict[str, str]]:
    made: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for stage in (item for item in STAGES if item.model == VLM):
        for path in sorted(root.fact_files(stage.table, stage.name)):
            rows = read_file(path, stage.table, ["prompt_hash", "prompt"])
            made.update(rows["prompt_hash"].to_pylist())
            texts.update(zip(rows["prompt_hash"].to_pylist(), rows["prompt"].to_pylist(), strict=True))
    return made, texts


def _lines(text: str) -> list[str]:
    """A prompt as lines that a person can compare: each part under its name, the schema spread out."""
    content = orjson.loads(text)
    if isinstance(content.get("reply_schema"), str):
        content["reply_schema"] = json.loads(content["reply_schema"])
    lines = []
    for name, part in content.items():
        shown = part if isinstance(part, str) else json.dumps(part, indent=1, ensure_ascii=False)
        lines += [f"[{name}]", *shown.splitlines(), ""]
    return lines
