"""Prompts are versioned files; what decides a reply is in their hash, and old versions stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.prompts import list_prompts, load_prompt, prompt_versions, read_prompt
from schemas.canonical import sha256_hex
from schemas.screen import THOUSANDTHS, SaidScreen

KNOWN = {
    ("describe_screen", "v1"): "7c3a6164b58047e3fa51027578e95374ebeb447bda965798158e35bc0e3801bb",
}
"""A prompt that records were made with is never changed: make a new version instead."""

SCHEMA = {"type": "object"}
FILE = """
coordinates = "thousandths"
reply_schema = "reply.schema.json"
system = "You look."
user = "What is it?"
[decoder]
temperature = 0
"""


def write(folder: Path, text: str = FILE, schema: Any = SCHEMA) -> Path:
    (folder / "reply.schema.json").write_text(json.dumps(schema))
    path = folder / "v1.toml"
    path.write_text(text)
    return path


def as_asked_for(model: Any, definitions: Any) -> Any:
    """A model's JSON Schema as requests carry it: without references, titles and descriptions, boxes bounded."""
    if isinstance(model, list):
        return [as_asked_for(item, definitions) for item in model]
    if not isinstance(model, dict):
        return model
    if "$ref" in model:
        return as_asked_for(definitions[model["$ref"].rpartition("/")[2]], definitions)
    kept = {key: item for key, item in model.items() if not (key in ("title", "description") and isinstance(item, str))}
    asked = {key: as_asked_for(item, definitions) for key, item in kept.items() if key != "$defs"}
    return asked | {"minimum": 0, "maximum": THOUSANDTHS} if asked.get("type") == "integer" else asked


def test_no_prompt_that_was_used_has_changed() -> None:
    assert {(item.name, item.version): item.sha256 for item in list_prompts()} == KNOWN


def test_the_schema_that_is_sent_is_the_one_that_replies_are_held_against() -> None:
    model = SaidScreen.model_json_schema()
    assert load_prompt("describe_screen", "v1").reply_schema == as_asked_for(model, model["$defs"])


def test_every_string_and_list_of_the_schema_is_bounded() -> None:
    def unbounded(schema: Any) -> list[Any]:
        if isinstance(schema, list):
            return [found for item in schema for found in unbounded(item)]
        if not isinstance(schema, dict):
            return []
        wants = {"string": ("maxLength", "enum"), "array": ("maxItems",), "integer": ("maximum",)}
        bounds = wants.get(schema.get("type", ""), ())
        own = [schema] if bounds and not any(bound in schema for bound in bounds) else []
        return own + [found for item in schema.values() for found in unbounded(item)]

    assert unbounded(load_prompt("describe_screen", "v1").reply_schema) == []


def test_the_hash_is_that_of_the_text_that_records_keep() -> None:
    prompt = load_prompt("describe_screen", "v1")
    assert prompt.sha256 == sha256_hex(prompt.text.encode())
    assert prompt.system in json.loads(prompt.text)["system"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("You look.", "You see."), ("What is it?", "What?"), ("temperature = 0", "temperature = 1")],
)
def test_the_hash_covers_words_and_decoder(before: str, after: str, tmp_path: Path) -> None:
    first = read_prompt(write(tmp_path), "p").sha256
    assert read_prompt(write(tmp_path, FILE.replace(before, after)), "p").sha256 != first


def test_the_hash_covers_the_schema_and_the_order_of_its_properties(tmp_path: Path) -> None:
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    turned = dict(reversed(properties.items()))
    hashes = {read_prompt(write(tmp_path, schema={"properties": item}), "p").sha256 for item in (properties, turned)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "text",
    [
        "no toml",
        FILE.replace("temperature = 0", "temperature = 0.5"),
        FILE.replace("thousandths", "pixels"),
        FILE.replace("reply.schema.json", "gone.json"),
        FILE.replace('user = "What is it?"', ""),
        FILE + "\n[more]\n",
    ],
)
def test_a_prompt_that_cannot_be_used_says_so(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        read_prompt(write(tmp_path, text), "p")


def test_versions_are_in_the_order_of_their_numbers_and_unknown_ones_are_told() -> None:
    assert prompt_versions("describe_screen")[0] == "v1"
    assert prompt_versions("../describe_screen") == []
    with pytest.raises(UsageError, match="no prompt 'describe_screen' in version 'v0'"):
        load_prompt("describe_screen", "v0")
