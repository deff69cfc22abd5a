"""Buttons that a picture shows plainly: a short text in the middle of a closed box, on one ground.

    ┌────────┐
    │  Save  │   as much ground on the left as on the right, a border or another colour all around
    └────────┘

Better few and right: a box that is open, or on a ground with a pattern, is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.stages.plain_boxes import Box, Pixels, closed_permille, ground_around, inside, reach
from pipeline.stages.thresholds import (
    BUTTON_HIGHEST,
    BUTTON_LEAST_BESIDE,
    BUTTON_LONGEST,
    BUTTON_MOST_ABOVE,
    BUTTON_MOST_BESIDE,
    BUTTON_UNEVEN,
    CLOSED_PERMILLE,
)


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
        if len(line["text"]) > BUTTON_LONGEST or ":" in line["text"]:
            continue
        around = _box_around(pixels, boxes[number])
        if around is not None and not any(inside(box, around[0]) for n, box in enumerate(boxes) if n != number):
            found.append(Button(line["text"], around[0], number, around[1]))
    return sorted(found, key=lambda item: (item.box[1], item.box[0], item.line))


def _box_around(pixels: Pixels, text: Box) -> tuple[Box, int] | None:
    """The closed box in whose middle a text stands, and how much of its border is there, in 1/10,000."""
    ground = ground_around(pixels, text)
    if ground is None:
        return None
    left, top, right, bottom = text
    middle = (top + bottom) // 2
    margins = [
        reach(pixels[middle, max(0, left - BUTTON_MOST_BESIDE) : left][::-1], ground),
        reach(pixels[max(0, top - BUTTON_MOST_ABOVE) : top, left + 1][::-1], ground),
        reach(pixels[middle, right : right + BUTTON_MOST_BESIDE], ground),
        reach(pixels[bottom : bottom + BUTTON_MOST_ABOVE, left + 1], ground),
    ]
    if -1 in margins or min(margins[0], margins[2]) < BUTTON_LEAST_BESIDE:
        return None
    if abs(margins[0] - margins[2]) > BUTTON_UNEVEN + (margins[0] + margins[2]) // 10:
        return None
    box = (left - margins[0], top - margins[1], right + margins[2], bottom + margins[3])
    if not box[3] - box[1] <= min(BUTTON_HIGHEST, box[2] - box[0] - 1):
        return None
    closed = closed_permille(pixels, box, ground)
    return (box, closed * 10) if closed >= CLOSED_PERMILLE else None
