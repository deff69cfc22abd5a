"""Checks what a VLM answered, as untrusted input: nothing of it is believed, followed or logged."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import Field, ValidationError

from schemas.canonical import nfc
from schemas.fields import Foreign
from schemas.screen import THOUSANDTHS, DescribedScreen, Dialog, SaidScreen, Screen, UiElement
from schemas.serving import FrameRef, SampleFailure

_MOST_TOKENS = 1 << 31
_MAX_CONTENT = 1 << 18

Box = tuple[int, int, int, int]


class _Message(Foreign):
    content: str = Field(max_length=_MAX_CONTENT)


class _Choice(Foreign):
    message: _Message
    finish_reason: str | None = None


class _Usage(Foreign):
    prompt_tokens: int = Field(default=0, ge=0, le=_MOST_TOKENS)
    completion_tokens: int = Field(default=0, ge=0, le=_MOST_TOKENS)


class _Completion(Foreign):
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]
    usage: _Usage | None = None


def read_completion(body: bytes, frame: FrameRef, elapsed_us: int) -> DescribedScreen | SampleFailure:
    """Read the body of a chat completion.

    A reply that is not what was asked for fails the frame for good, and is kept with the failure: a model that decodes
    without chance would say it again.
    """
    try:
        completion = _Completion.model_validate_json(body, strict=True)
    except ValidationError:
        return bad_reply("reply_invalid", "the endpoint's answer is no chat completion", body)
    choice, usage = completion.choices[0], completion.usage or _Usage()
    if choice.finish_reason == "length":
        return bad_reply("reply_cut_off", "the model's reply was cut off at its limit of tokens", body)
    try:
        said = SaidScreen.model_validate_json(choice.message.content, strict=True)
    except (ValidationError, UnicodeEncodeError):
        return bad_reply("reply_invalid", "the model's reply does not follow the schema that it was given", body)
    return DescribedScreen(place_screen(said, frame), usage.prompt_tokens, usage.completion_tokens, elapsed_us)


def bad_reply(code: str, message: str, body: bytes) -> SampleFailure:
    """A failure for good that keeps what was answered, so that a person can look at it."""
    return SampleFailure(code, message, retryable=False, reply=body)


def place_screen(said: SaidScreen, frame: FrameRef) -> Screen:
    """Bring what was said into the frame: boxes into its pixels and clipped, those left empty dropped and counted."""
    elements = [
        UiElement(role=item.role, label=clean_text(item.label), bbox=box, state=item.state)
        for item in said.elements if (box := _in_frame(item.bbox, frame))
    ]  # fmt: skip
    dialogs = [
        Dialog(kind=item.kind, title=clean_text(item.title), bbox=box)
        for item in said.dialogs if (box := _in_frame(item.bbox, frame))
    ]  # fmt: skip
    return Screen(
        width=frame.width,
        height=frame.height,
        app_kind=said.app_kind,
        summary=clean_text(said.summary),
        elements=elements,
        dialogs=dialogs,
        dropped=len(said.elements) + len(said.dialogs) - len(elements) - len(dialogs),
    )


def clean_text(text: str) -> str:
    """One line in NFC: control and format characters become spaces, runs of spaces one."""
    kept = (" " if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") else letter for letter in text)
    return nfc(" ".join("".join(kept).split()))


def _in_frame(said: list[int], frame: FrameRef) -> Box | None:
    """The smallest box of whole pixels around what was said, within the frame; None when nothing is left of it."""
    left, top = said[0] * frame.width // THOUSANDTHS, said[1] * frame.height // THOUSANDTHS
    right, bottom = -(-said[2] * frame.width // THOUSANDTHS), -(-said[3] * frame.height // THOUSANDTHS)
    left, top, right, bottom = max(0, left), max(0, top), min(frame.width, right), min(frame.height, bottom)
    return (
        (left, top, right, bottom)
        if said[0] < said[2] and said[1] < said[3] and left < right and top < bottom
        else None
    )
