"""Inputs that a picture shows plainly, and their labels: a closed box that stands alone, a text at its left or none.

    Summary                              a short text right above the box, or right before it
    ┌──────────────────────────┐
    │Replace scanner cradle    │         begins at the left, close to the border; all else is ground
    └──────────────────────────┘

A cell of a table is told apart by its border, which goes on beyond its corners. An empty box is looked for below and
beside short texts only. Better few and right: see docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.stages.plain_boxes import Box, Pixels, closed_permille, ground_around, inside, reach
from pipeline.stages.thresholds import (
    BEYOND,
    BORDER,
    CLOSED_PERMILLE,
    INPUT_HIGHEST,
    INPUT_LEAST_ABOVE,
    INPUT_LEAST_BESIDE,
    INPUT_LOWEST,
    INPUT_MOST_ABOVE,
    INPUT_MOST_BESIDE,
    INPUT_NARROWEST,
    INPUT_WIDEST,
    LABEL_ABOVE,
    LABEL_BESIDE,
    LABEL_HEIGHT,
    LABEL_LETTERS,
    LABEL_SHIFT,
    OUTSIDE,
    OUTSIDE_PERMILLE,
    SAME_GROUND,
)


@dataclass(frozen=True, slots=True)
class Input:
    """An input; `label` is the number of the line that names it, and the confidence, in 1/10,000, how much of its
    border is there."""

    box: Box
    label: int | None
    confidence: int


def find_inputs(pixels: Pixels, lines: Sequence[Mapping[str, Any]]) -> list[Input]:
    """Find inputs with a text in them, and empty ones beside a label, from top to bottom, then from left to right.

    `pixels` are grey levels, height × width; `lines` as in an OCR record, `{"bbox", "text"}`. A function of these.
    """
    boxes: list[Box] = [tuple(line["bbox"]) for line in lines]
    texts = [str(line["text"]) for line in lines]
    found = {box: border for box, border in _with_text(pixels, boxes, texts)}
    for number, box in enumerate(boxes):
        if _may_be_label(box, texts[number]) and not any(inside(box, known) for known in found):
            for candidate in (_empty_below(pixels, box), _empty_behind(pixels, box)):
                if candidate is not None and not any(inside(other, candidate) for other in boxes):
                    found.setdefault(candidate, _border_permille(pixels, candidate))
    known = {box: border for box, border in found.items() if border >= CLOSED_PERMILLE}
    labels = [n for n, box in enumerate(boxes) if _may_be_label(box, texts[n]) and not _is_in_any(box, known)]
    return [
        Input(box, _label(box, labels, boxes), 10 * known[box])
        for box in sorted(known, key=lambda box: (box[1], box[0], box))
    ]


def _with_text(pixels: Pixels, boxes: list[Box], texts: list[str]) -> Iterator[tuple[Box, int]]:
    """Boxes that hold a text at their left end, each once: its first line gives it."""
    seen: set[Box] = set()
    for number in sorted(range(len(boxes)), key=lambda n: boxes[n][1]):
        box = _box_of_text(pixels, boxes[number])
        if box is None or box in seen:
            continue
        seen.add(box)
        others = [n for n in range(len(boxes)) if n != number and inside(boxes[n], box)]
        if all(abs(boxes[n][0] - boxes[number][0]) <= INPUT_LEAST_BESIDE or len(texts[n]) <= 2 for n in others):
            yield box, _border_permille(pixels, box)


def _box_of_text(pixels: Pixels, text: Box) -> Box | None:
    """The box at whose left end a text stands, as far as its ground goes."""
    ground = ground_around(pixels, text)
    if ground is None:
        return None
    left, top, right, bottom = text
    beside = reach(pixels[(top + bottom) // 2, max(0, left - INPUT_MOST_BESIDE - 1) : left][::-1], ground)
    column = left - 2  # between the border and the text, so that more lines are not in the way
    above = reach(pixels[max(0, top - INPUT_MOST_ABOVE - 1) : top, column][::-1], ground)
    below = reach(pixels[bottom : bottom + INPUT_HIGHEST, column], ground)
    if beside < INPUT_LEAST_BESIDE or min(above, below) < INPUT_LEAST_ABOVE:
        return None
    across = reach(pixels[top - max(1, above // 2), left : left + INPUT_WIDEST], ground)
    box = (left - beside, top - above, left + across, bottom + below)
    return box if box[2] - right > 2 * beside else None


def _empty_below(pixels: Pixels, label: Box) -> Box | None:
    """The box that begins right below a label."""
    x, start = label[0] + 8, label[3] + 1
    column = pixels[start : start + LABEL_ABOVE, x] if x < pixels.shape[1] else pixels[:0, 0]
    gap = reach(column, int(column[0])) if column.size else -1
    return _box_at(pixels, x, start + gap + BORDER) if gap > 0 else None


def _empty_behind(pixels: Pixels, label: Box) -> Box | None:
    """The box that begins right behind a label."""
    y, start = (label[1] + label[3]) // 2, label[2] + 2
    row = pixels[y, start : start + LABEL_BESIDE]
    gap = reach(row, int(row[0])) if row.size else -1
    return _box_at(pixels, start + gap + BORDER, y) if gap > 0 else None


def _box_at(pixels: Pixels, x: int, y: int) -> Box | None:
    """As far as the ground of a place goes."""
    height, width = pixels.shape
    if x >= width or y >= height:
        return None
    ground = int(pixels[y, x])
    left = reach(pixels[y, max(0, x - INPUT_WIDEST) : x][::-1], ground)
    right = reach(pixels[y, x : x + INPUT_WIDEST], ground)
    above = reach(pixels[max(0, y - INPUT_HIGHEST) : y, x][::-1], ground)
    below = reach(pixels[y : y + INPUT_HIGHEST, x], ground)
    return (x - left, y - above, x + right, y + below) if min(left, right, above, below) >= 0 else None


def _border_permille(pixels: Pixels, box: Box) -> int:
    """How much of a border is there, in 1,000; 0 for a box that is no input by its size, or does not stand alone."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if not (INPUT_LOWEST <= height <= INPUT_HIGHEST and INPUT_NARROWEST <= width <= INPUT_WIDEST and width > height):
        return 0
    around = _outside(pixels, box)
    ground = int(pixels[top + 1, left + 4])
    if around is None or ground < around - SAME_GROUND or _goes_on(pixels, box, around):
        return 0
    return closed_permille(pixels, box, ground)


def _outside(pixels: Pixels, box: Box) -> int | None:
    """The level of the ground that a box stands on; None when that is not one."""
    left, top, right, bottom = (edge - OUTSIDE if n < 2 else edge + OUTSIDE for n, edge in enumerate(box))
    if left < 0 or top < 0 or right > pixels.shape[1] or bottom > pixels.shape[0]:
        return None
    sides = (
        pixels[top, left:right],
        pixels[bottom - 1, left:right],
        pixels[top:bottom, left],
        pixels[top:bottom, right - 1],
    )
    ring = np.concatenate(sides).astype(np.int16)
    level = int(np.sort(ring)[ring.size // 2])
    same = int(np.count_nonzero(np.abs(ring - level) <= SAME_GROUND))
    return level if 1000 * same >= OUTSIDE_PERMILLE * ring.size else None


def _goes_on(pixels: Pixels, box: Box, ground: int) -> bool:
    """Whether a border goes on beyond a corner, as that of a table's cell does."""
    left, top, right, bottom = box
    near, far = BEYOND
    beyond = [
        part
        for y in (top - 1, bottom)
        for part in (pixels[y, left - far : left - near], pixels[y, right + near : right + far])
    ] + [
        part
        for x in (left - 1, right)
        for part in (pixels[top - far : top - near, x], pixels[bottom + near : bottom + far, x])
    ]
    return any(bool((np.abs(part.astype(np.int16) - ground) > SAME_GROUND).any()) for part in beyond)


def _may_be_label(box: Box, text: str) -> bool:
    return 2 < len(text) <= LABEL_LETTERS and box[3] - box[1] <= LABEL_HEIGHT


def _is_in_any(line: Box, boxes: Iterable[Box]) -> bool:
    return any(inside(line, box) for box in boxes)


def _label(box: Box, labels: Sequence[int], boxes: Sequence[Box]) -> int | None:
    """The text right before an input, else right above its beginning; the nearest one."""
    left, top, _, bottom = box
    before = {n: left - boxes[n][2] for n in labels if boxes[n][1] >= top - 4 and boxes[n][3] <= min(bottom, top + 40)}
    above = {n: top - boxes[n][3] for n in labels if abs(boxes[n][0] - left) <= LABEL_SHIFT}
    for gaps, most in ((before, LABEL_BESIDE), (above, LABEL_ABOVE)):
        near = [(gap, n) for n, gap in gaps.items() if 0 < gap <= most]
        if near:
            return min(near)[1]
    return None
