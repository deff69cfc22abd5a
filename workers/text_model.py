"""What any OCR engine offers: find lines in a picture, read the picture of one line. Nothing else differs by engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from workers.images import Pixels
from workers.lookalikes import Letter

Box = tuple[int, int, int, int]


class Interrupted(Exception):
    """The call was ended by `interrupt`; what it would have returned is wanted by nobody."""


@dataclass(frozen=True)
class RecognizedLine:
    """What a model read in the picture of a line; `score` is its confidence, 0 to 1.

    `letters` and `places` (the column of the picture in which each letter was seen) are empty when the model does not
    tell them; else the letters make up `text`.
    """

    text: str
    score: float
    letters: tuple[Letter, ...] = ()
    places: tuple[float, ...] = ()


class TextModel(Protocol):
    """A detector and a recognizer. Both are functions of the pixels given to them alone `[row-1]`."""

    @property
    def provider_id(self) -> str:
        """The library and the runtime that carry it out."""
        ...

    @property
    def model_id(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """All that decides over results, as canonical JSON: weights by hash, parameters, precision, versions."""
        ...

    def detect(self, picture: Pixels) -> list[Box]:
        """The boxes of the lines of text in a picture (blue, green, red), within it, in any order that is fixed."""
        ...

    def recognize(self, line: Pixels) -> RecognizedLine:
        """Read the picture of one upright line (blue, green, red)."""
        ...

    def interrupt(self) -> None:
        """From another thread: make the running call, and those that follow, raise Interrupted soon."""
        ...

    def rearm(self) -> None:
        """Let calls through again."""
        ...
