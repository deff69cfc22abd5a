"""How `pipeline status` tells what questions can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def show_indexes(indexes: dict[str, Any], console: Console) -> None:
    """A line for each index: since when it is there, whether it is behind, and the command that renews it."""
    text, landscape = indexes["text_index"], indexes["landscape"]
    console.print(f"text index: {_state(text, _behind(text))}")
    told = f"{landscape['spans']} spans by {landscape['model']}, " if landscape["present"] else ""
    if landscape["left_out"]:
        told += f"{landscape['left_out']} of another model left out, "
    console.print(f"landscape: {told}{_state(landscape, 'behind: spans or embeddings changed since')}")


def age_in_words(seconds: int) -> str:
    """An age as a person says it: `3 hours ago`."""
    for length, unit in _UNITS:
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'s' if number != 1 else ''} ago"
    return "just now"


def _state(index: dict[str, Any], behind: str) -> str:
    if not index["present"]:
        return f"none yet  → {index['renew']}"
    built = f"built {index['built_utc']} ({age_in_words(index['age_s'])})"
    return f"{built}, up to date" if index["up_to_date"] else f"{built}, {behind}  → {index['renew']}"


def _behind(text: dict[str, Any]) -> str:
    captured, read = text["frames_captured_since"], text["frames_read_since"]
    counted = ((captured, "captured"), (read, "read"))
    parts = [f"{number} frame{'s' if number != 1 else ''} {what}" for number, what in counted if number]
    return f"behind: {' and '.join(parts) or 'facts were written'} since"
