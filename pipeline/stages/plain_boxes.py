"""Boxes that a picture shows plainly: one ground inside, a border or another colour all around."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pipeline.stages.thresholds import EDGE, GROUND_PERMILLE, SAME_GROUND

Pixels: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"
Box = tuple[int, int, int, int]


def ground_around(pixels: Pixels, text: Box) -> int | None:
    """The level of the ground right around a text; None when it is not one, or the text stands at the very edge."""
    height, width = pixels.shape
    left, top, right, bottom = text
    if right - left < 4 or bottom - top < 4 or min(left, top) < 4 or right > width - 4 or bottom > height - 4:
        return None
    above, below = pixels[top - 1, left:right], pixels[bottom, left:right]
    ring = np.concatenate([above, below, pixels[top:bottom, left - 2], pixels[top:bottom, right + 1]]).astype(np.int16)
    level = int(np.sort(ring)[ring.size // 2])
    same = np.count_nonzero(np.abs(ring - level) <= SAME_GROUND)
    return level if 1000 * same >= GROUND_PERMILLE * ring.size else None


def reach(row: Pixels, ground: int) -> int:
    """How many pixels the ground goes on; -1 when it has no end."""
    ends = apart(row, ground)
    return int(ends.argmax()) if ends.any() else -1


def closed_permille(pixels: Pixels, box: Box, ground: int) -> int:
    """How many of 1,000 pixels right outside of a box are no ground of it, on its worst side; corners may be round."""
    left, top, right, bottom = box
    if left < 1 or top < 1 or right >= pixels.shape[1] or bottom >= pixels.shape[0]:
        return 0
    corner = min(6, (bottom - top) // 4)
    sides = (
        pixels[top - 1, left + corner : right - corner], pixels[bottom, left + corner : right - corner],
        pixels[top + corner : bottom - corner, left - 1], pixels[top + corner : bottom - corner, right],
    )  # fmt: skip
    return min(1000 * int(np.count_nonzero(apart(side, ground))) // max(1, side.size) for side in sides)


def apart(row: Pixels, ground: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which pixels are no ground."""
    return np.asarray(np.abs(row.astype(np.int16) - ground) >= EDGE)


def inside(line: Box, box: Box) -> bool:
    """Whether a line has its middle in a box."""
    return box[0] <= (line[0] + line[2]) // 2 < box[2] and box[1] <= (line[1] + line[3]) // 2 < box[3]
