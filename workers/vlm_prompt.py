"""From messages to the tokens of a prompt, by the model's own chat template, with places for the pictures."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable
from workers.answering import Refused


class PromptWriter:
    """Writes prompts for one model. Raises Unavailable when the folder has no chat template."""

    def __init__(self, folder: Path, tokenizer: Any, config: dict[str, Any], merge_size: int) -> None:
        self._torch = import_module("torch")
        self._tokenizer = tokenizer
        self._template = tokenizer.chat_template or _older_template(folder)
        self._patch = int(config["image_token_id"])
        self._mark = str(tokenizer.convert_ids_to_tokens(self._patch))
        self._own_tokens = [str(token) for token in tokenizer.get_added_vocab()]
        self._merged = merge_size * merge_size

    def write(self, messages: list[dict[str, Any]], pictures: dict[str, Any]) -> dict[str, Any]:
        """The prompt's tensors. Raises Refused when a text holds one of the model's own marks.

        Such a mark could end the message it stands in and begin another in somebody else's name.
        """
        if any(mark in part["text"] for part in _texts(messages) for mark in self._own_tokens):
            raise Refused(400, "a text holds a mark that is the model's own, such as <|im_end|>")
        text = self._tokenizer.apply_chat_template(
            messages, chat_template=self._template, tokenize=False, add_generation_prompt=True
        )
        places = text.split(self._mark)
        grids = pictures["image_grid_thw"].tolist() if pictures else []
        if len(places) != len(grids) + 1:
            raise Refused(400, "the model's chat template has no place for these pictures")
        counts = [t * h * w // self._merged for t, h, w in grids]
        text = places[0] + "".join(self._mark * n + after for n, after in zip(counts, places[1:], strict=True))
        ids = self._torch.tensor([self._tokenizer(text, add_special_tokens=False)["input_ids"]])
        return {
            "input_ids": ids,
            "attention_mask": self._torch.ones_like(ids),
            "mm_token_type_ids": (ids == self._patch).int(),
        }


def _texts(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [part for message in messages for part in message["content"] if part["type"] == "text"]


def _older_template(folder: Path) -> str:
    """The chat template of folders made before it had a file of its own."""
    path = folder / "chat_template.json"
    try:
        return str(json.loads(path.read_bytes())["chat_template"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"the model folder {folder} has no chat template", remedy="take the model's Instruct version"
        ) from error
