"""Buttons that a picture shows plainly: a short text in the middle of a closed box, on one ground.

    ┌────────┐
    │  Save  │   as much ground on the left as on the right, a border or another colour all around
    └────────┘

Better few and right: a box that is open, or on a ground with a pattern, is passed over. Inputs are not looked for: what
makes an input of a box with text in it, and not a cell of a table, the picture does not tell (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Pixels: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
Box = tuple[int, int, int, int]

SAME_GROUND, EDGE = 6, 10
"""Levels of brightness up to which pixels are the same ground, and from which they are a border or another colour."""

MOST_BESIDE, MOST_ABOVE, LEAST_BESIDE = 48, 20, 3
"""Pixels of ground between a text and the border of its button."""

UNEVEN, HIGHEST, LONGEST = 5, 64, 30
"""How much left and right may differ (and a tenth of both), height of a button in pixels, letters in its text."""

GROUND_PERMILLE, CLOSED_PERMILLE = 950, 900
"""Parts in 1,000 of the ring around a text that are ground, and of each side of the border that are none."""

PARAMETERS = {
    "levels": f"{SAME_GROUND} {EDGE}",
    "margins": f"{MOST_BESIDE} {MOST_ABOVE} {LEAST_BESIDE} {UNEVEN}",
    "sizes": f"{HIGHEST} {LONGEST}",
    "shares": f"{GROUND_PERMILLE} {CLOSED_PERMILLE}",
}


@dataclass(frozen=True, slots=True)
class Button:
    """A button with the text on it; the confidence, in 1/10,000, is how much of its border is there."""

    label: str
    box: Box
    line: int
    confidence: int


def find_buttons(pixels: Pixels, lines: Sequence[Mapping[str, Any]]) -> list[Button]:
    """Find the buttons around lines of text, from top to bottom, then from left to right.

    `pixels` are grey levels, height × width; `lines` as in an OCR record, `{"bbox", "text"}`. A function of these.
    """
    boxes = [tuple(line["bbox"]) for line in lines]
    found = []
    for number, line in enumerate(lines):
        if len(line["text"]) > LONGEST or ":" in line["text"]:
            continue
        around = _box_around(pixels, boxes[number])
        if around is not None and not any(_inside(box, around[0]) for n, box in enumerate(boxes) if n != number):
            found.append(Button(line["text"], around[0], number, around[1]))
    return sorted(found, key=lambda item: (item.box[1], item.box[0], item.line))


def _box_around(pixels: Pixels, text: Box) -> tuple[Box, int] | None:
    """The closed box in whose middle a text stands, and how much of its border is there, in 1/10,000."""
    height, width = pixels.shape
    left, top, right, bottom = text
    if right - left < 4 or bottom - top < 4 or min(left, top) < 4 or right > width - 4 or bottom > height - 4:
        return None
    ground = _ground(pixels, text)
    if ground is None:
        return None
    middle = (top + bottom) // 2
    margins = [
        _reach(pixels[middle, max(0, left - MOST_BESIDE) : left][::-1], ground),
        _reach(pixels[max(0, top - MOST_ABOVE) : top, left + 1][::-1], ground),
        _reach(pixels[middle, right : right + MOST_BESIDE], ground),
        _reach(pixels[bottom : bottom + MOST_ABOVE, left + 1], ground),
    ]
    if -1 in margins or min(margins[0], margins[2]) < LEAST_BESIDE:
        return None
    if abs(margins[0] - margins[2]) > UNEVEN + (margins[0] + margins[2]) // 10:
        return None
    box = (left - margins[0], top - margins[1], right + margins[2], bottom + margins[3])
    if not box[3] - box[1] <= min(HIGHEST, box[2] - box[0] - 1):
        return None
    closed = _closed(pixels, box, ground)
    return (box, closed * 10) if closed >= CLOSED_PERMILLE else None


def _ground(pixels: Pixels, text: Box) -> int | None:
    """The level of the ground right around a text; None when it is not one."""
    left, top, right, bottom = text
    above, below = pixels[top - 1, left:right], pixels[bottom, left:right]
    ring = np.concatenate([above, below, pixels[top:bottom, left - 2], pixels[top:bottom, right + 1]]).astype(np.int16)
    level = int(np.sort(ring)[ring.size // 2])
    same = np.count_nonzero(np.abs(ring - level) <= SAME_GROUND)
    return level if 1000 * same >= GROUND_PERMILLE * ring.size else None


def _reach(row: Pixels, ground: int) -> int:
    """How many pixels the ground goes on; -1 when it has no end."""
    apart = _apart(row, ground)
    return int(apart.argmax()) if apart.any() else -1


def _closed(pixels: Pixels, box: Box, ground: int) -> int:
    """How many of 1,000 pixels right outside of a box are no ground of it, on its worst side; corners may be round."""
    left, top, right, bottom = box
    if left < 1 or top < 1 or right >= pixels.shape[1] or bottom >= pixels.shape[0]:
        return 0
    corner = min(6, (bottom - top) // 4)
    sides = (
        pixels[top - 1, left + corner : right - corner], pixels[bottom, left + corner : right - corner],
        pixels[top + corner : bottom - corner, left - 1], pixels[top + corner : bottom - corner, right],
    )  # fmt: skip
    return min(1000 * int(np.count_nonzero(_apart(side, ground))) // max(1, side.size) for side in sides)


def _apart(row: Pixels, ground: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(np.abs(row.astype(np.int16) - ground) >= EDGE)


def _inside(line: Box, box: Box) -> bool:
    """Whether a line has its middle in a box."""
    return box[0] <= (line[0] + line[2]) // 2 < box[2] and box[1] <= (line[1] + line[3]) // 2 < box[3]
