"""What a vision model says about a picture of the screen: as it is asked for, and as it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from schemas.canonical import canonical_json
from schemas.fields import Contract
from schemas.serving import FrameRef, Pixel, SampleFailure

THOUSANDTHS = 1_000
"""Models are asked for boxes in thousandths of the picture's width and height, whatever size they see it in."""

MAX_ELEMENTS = 32
MAX_DIALOGS = 4
MAX_LABEL_LENGTH = 80
MAX_SUMMARY_LENGTH = 200

Role = Literal[
    "button", "input", "label", "icon", "link", "menu", "tab", "checkbox", "list", "image", "other"
]  # fmt: skip
State = Literal["normal", "disabled", "focused", "selected", "checked", "unchecked"]
AppKind = Literal[
    "browser", "editor", "terminal", "mail", "chat", "document", "spreadsheet", "slides", "calendar", "files", "media",
    "settings", "game", "desktop", "other",
]  # fmt: skip
DialogKind = Literal["dialog", "error", "warning", "notification", "menu", "other"]

_Said = Annotated[int, Field(ge=-100_000, le=100_000)]
_SaidBox = Annotated[list[_Said], Field(min_length=4, max_length=4)]
_Label = Annotated[str, Field(max_length=MAX_LABEL_LENGTH)]
_Summary = Annotated[str, Field(max_length=MAX_SUMMARY_LENGTH)]
_Box = tuple[Pixel, Pixel, Pixel, Pixel]


class SaidElement(Contract):
    """An element as the model says it; the box in thousandths, not to be believed."""

    role: Role
    label: _Label
    bbox: _SaidBox
    state: State


class SaidDialog(Contract):
    """A dialog as the model says it; the box in thousandths, not to be believed."""

    kind: DialogKind
    title: _Label
    bbox: _SaidBox


class SaidScreen(Contract):
    """The whole reply. The schema that a request carries asks for the same, with boxes from 0 to 1,000."""

    app_kind: AppKind
    summary: _Summary
    elements: list[SaidElement] = Field(max_length=MAX_ELEMENTS)
    dialogs: list[SaidDialog] = Field(max_length=MAX_DIALOGS)


class UiElement(Contract):
    """An element of the user interface; the box lies in the frame and is not empty."""

    role: Role
    label: str
    bbox: _Box
    state: State


class Dialog(Contract):
    """A dialog, message or menu that lies over the rest; the box lies in the frame and is not empty."""

    kind: DialogKind
    title: str
    bbox: _Box


class Screen(Contract):
    """What is on a frame, in pixels of the frame. All text is NFC, without control characters, and only data."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    app_kind: AppKind
    summary: str
    elements: list[UiElement]
    dialogs: list[Dialog]
    dropped: int = Field(ge=0, description="elements and dialogs whose box was empty, or not in the frame")


@dataclass(frozen=True, slots=True)
class DescribedScreen:
    """A reply that was validated, and what it took: tokens, and microseconds on the way."""

    screen: Screen
    prompt_tokens: int
    reply_tokens: int
    elapsed_us: int


def canonical_screen_output(screen: Screen) -> bytes:
    """Write a screen as the `output_json` of its record `[hash-1]`."""
    return canonical_json(screen.model_dump(mode="json"))


class ScreenReader(Protocol):
    """Describes frames: yields (index into `frames`, what was said) in any order.

    It may stop early (the gate closed): a frame that was not yielded stays pending.
    """

    def __call__(self, frames: Sequence[FrameRef]) -> Iterable[tuple[int, DescribedScreen | SampleFailure]]: ...
