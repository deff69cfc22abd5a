"""Cuts a picture into lines that are plain to see and blocks that are not, along what is flat between them.

    horizontal edges → long vertical ones are rulings → gaps closed, but not across a ruling → connected pieces
                     → dots and underscores to their lines → pieces side by side to one line

    ┌───────────────┬──────┐
    │ [Inbox]       │[File]│      [ ]  a line: nothing else above, below or beside it, on flat ground
    │ [build bot]   │{~~~~}│      { }  a block: icons, pictures, text on a pattern; the detector's work
    └───────────────┴──────┘

All of it is a function of the picture's pixels: which piece stands where, not what was seen before `[row-1]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from workers.images import Pixels
from workers.text_model import Box

RULING = 48
"""Rows from which on a vertical edge belongs to a window, a column or a table and to no letter."""

RULING_IN_BLOCK = 20
"""The same within a block, where borders of buttons and fields are what hides a line."""

RULING_WIDTH = 8
"""Columns of such edges side by side from which on they are no ruling but the texture of a picture."""

GAP = 18
"""Columns without an edge that may lie within a piece."""

LINE_HEIGHT_AT_MOST = 40
"""Rows of ink; higher pieces are blocks."""

LINE_HEIGHT_AT_LEAST = 5
"""Rows of ink; what is lower belongs to a line beside it, or is no text."""

LINE_OVER_CORE = 2.6
"""How many times as high as the rows that hold most of its edges a line may be."""

BESIDE = 0.9
"""Lines' heights by which two pieces of one line may be apart."""

BLOCK_REACH = 4
"""Pixels; blocks nearer than this to each other are one, and each is looked at with so much of what surrounds it."""

CUT_PARAMETERS: dict[str, str] = {
    "revision": "1",
    "ruling": f"{RULING} {RULING_IN_BLOCK} {RULING_WIDTH}",
    "gap": str(GAP),
    "line": f"{LINE_HEIGHT_AT_LEAST} {LINE_HEIGHT_AT_MOST} {LINE_OVER_CORE} {BESIDE}",
    "block": str(BLOCK_REACH),
}
"""What decides here over the text, for the model's digest. Raise `revision` when rules change and no number does."""

Words = npt.NDArray[np.uint32]
"""A picture with one number for each pixel."""

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cut:
    """The lines and blocks of a picture; no line lies within a block."""

    lines: list[Box]
    blocks: list[Box]


def cut_picture(pixels: Pixels, ruling: int = RULING) -> Cut:
    """Cut a picture (blue, green, red); vertical edges of `ruling` rows or more part what stands on either side."""
    whole: Words = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA).view(np.uint32)[:, :, 0]
    edges, rulings = _edges(whole, ruling)
    lines: list[Box] = []
    others: list[Box] = []
    for box in _side_by_side(_with_small_marks(_pieces(edges, rulings)), rulings):
        if box[3] - box[1] < LINE_HEIGHT_AT_LEAST or _is_bar(box):
            continue
        (lines if _is_line(box, whole, edges) else others).append(box)
    blocks = _joined(others, whole.shape)
    return Cut([line for line in lines if not any(_within(line, block) for block in blocks)], blocks)


def _edges(whole: Words, ruling: int) -> tuple[Mask, Mask]:
    """The pixels on either side of a change from left to right, without rulings; and the rulings."""
    changes = np.zeros(whole.shape, dtype=np.uint8)
    np.not_equal(whole[:, 1:], whole[:, :-1], out=changes[:, 1:].view(np.bool_))
    rulings = np.zeros_like(changes)
    if len(changes) >= ruling:
        rulings = _mask(cv2.morphologyEx(changes, cv2.MORPH_OPEN, np.ones((ruling, 1), np.uint8)))
        # In a picture or in noise nearly all pixels differ from their neighbours: that is no ruling.
        rulings &= ~_mask(cv2.morphologyEx(rulings, cv2.MORPH_OPEN, np.ones((1, RULING_WIDTH), np.uint8)))
        changes &= ~rulings
    edges = changes.copy()
    edges[:, :-1] |= changes[:, 1:]
    return edges, rulings


def _pieces(edges: Mask, rulings: Mask) -> list[Box]:
    """The boxes around the edges that hang together, gaps closed, ordered from left to right."""
    # The closing must not see the picture's border as an edge, nor end at it.
    framed = cv2.copyMakeBorder(edges, 0, 0, GAP, GAP, cv2.BORDER_CONSTANT, value=0)
    closed = _mask(cv2.morphologyEx(framed, cv2.MORPH_CLOSE, np.ones((1, GAP + 1), np.uint8)))[:, GAP:-GAP]
    parted = np.ascontiguousarray(closed & ~rulings)
    contours, _ = cv2.findContours(parted, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    boxes = []
    for contour in contours:
        left, top, width, height = cv2.boundingRect(contour)
        columns = np.flatnonzero(edges[top : top + height, left : left + width].any(axis=0))
        if len(columns):
            boxes.append((left + int(columns[0]), top, left + int(columns[-1]) + 1, top + height))
    return sorted(boxes)


def _with_small_marks(boxes: list[Box]) -> list[Box]:
    """Dots, accents and underscores joined to the line right below or above which they stand."""
    high = [list(box) for box in boxes if box[3] - box[1] > LINE_HEIGHT_AT_LEAST]
    low = [box for box in boxes if box[3] - box[1] <= LINE_HEIGHT_AT_LEAST]
    if not high or not low:
        return boxes
    lines = np.array(high)
    heights = lines[:, 3] - lines[:, 1]
    left_over = []
    for mark in low:
        shared = np.minimum(lines[:, 2], mark[2]) - np.maximum(lines[:, 0], mark[0])
        apart = np.maximum(lines[:, 1] - mark[3], mark[1] - lines[:, 3])
        near = (shared >= 0.7 * (mark[2] - mark[0])) & (apart <= np.maximum(3, heights // 3))
        near &= heights <= LINE_HEIGHT_AT_MOST
        if near.any():
            line = high[int(np.where(near, apart, RULING).argmin())]
            line[1], line[3] = min(line[1], mark[1]), max(line[3], mark[3])
        else:
            left_over.append(mark)
    return sorted([_box(line) for line in high] + left_over)


def _side_by_side(boxes: list[Box], rulings: Mask) -> list[Box]:
    """Pieces that stand in one row, near each other and with no ruling between them, joined."""
    rows: dict[int, list[list[int]]] = {}
    found: list[list[int]] = []
    for box in boxes:
        line = next((line for line in rows.get((box[1] + box[3]) // 16, []) if _go_on(line, box, rulings)), None)
        if line is None:
            line = list(box)
            found.append(line)
        else:
            line[1], line[2], line[3] = min(line[1], box[1]), max(line[2], box[2]), max(line[3], box[3])
        for row in range(line[1] // 8, line[3] // 8 + 1):
            if line not in rows.setdefault(row, []):
                rows[row].append(line)
    return [_box(line) for line in found]


def _go_on(line: list[int], box: Box, rulings: Mask) -> bool:
    heights = sorted((line[3] - line[1], box[3] - box[1]))
    if heights[1] > LINE_HEIGHT_AT_MOST or not 0 <= box[0] - line[2] <= BESIDE * heights[1]:
        return False
    top, bottom = max(line[1], box[1]), min(line[3], box[3])
    if bottom - top < 0.6 * heights[0] or (heights[0] > LINE_HEIGHT_AT_LEAST and heights[1] > 1.8 * heights[0]):
        return False
    return not rulings[top:bottom, line[2] : box[0] + 1].any()


def _is_bar(box: Box) -> bool:
    """Whether a piece is the side of a frame, a cursor, a scroll bar: much too narrow to hold text."""
    width, height = box[2] - box[0], box[3] - box[1]
    return (width <= 3 and height > 20) or (4 * width < height and height >= 18)


def _is_line(box: Box, whole: Words, edges: Mask) -> bool:
    left, top, right, bottom = box
    if bottom - top > LINE_HEIGHT_AT_MOST or ground_of(box, whole) is None:
        return False
    counts = edges[top:bottom, left:right].sum(axis=1, dtype=np.int32)
    core = int(np.count_nonzero(counts >= 0.35 * counts.max()))
    return bottom - top <= LINE_OVER_CORE * core


def ground_of(box: Box, whole: Words) -> int | None:
    """The colour around a box if it is one above and below, and each side is of one colour, else None."""
    left, top, right, bottom = box
    height, width = whole.shape
    above, below = whole[max(0, top - 1), left:right], whole[min(height - 1, bottom), left:right]
    ground = above[0]
    if (above != ground).any() or (below != ground).any():
        return None
    for column in (max(0, left - 1), min(width - 1, right)):
        side = whole[top:bottom, column]
        if (side != side[0]).any():
            return None
    return int(ground)


def _joined(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Boxes that lie near each other made one, as often as that brings others near; grown by their reach."""
    height, width = shape
    grown = [
        (max(0, box[0] - BLOCK_REACH), max(0, box[1] - BLOCK_REACH), min(width, box[2] + BLOCK_REACH),
         min(height, box[3] + BLOCK_REACH))
        for box in boxes
    ]  # fmt: skip
    while grown:
        mask = np.zeros((height, width), dtype=np.uint8)
        for left, top, right, bottom in grown:
            mask[top:bottom, left:right] = 1
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        around = [cv2.boundingRect(contour) for contour in contours]
        joined = sorted((left, top, left + across, top + down) for left, top, across, down in around)
        if len(joined) == len(grown):
            break
        grown = joined
    return sorted(grown)


def _mask(values: Any) -> Mask:
    return np.asarray(values, dtype=np.uint8)


def _within(line: Box, block: Box) -> bool:
    return line[0] >= block[0] and line[1] >= block[1] and line[2] <= block[2] and line[3] <= block[3]


def _box(edges: list[int] | npt.NDArray[Any]) -> Box:
    left, top, right, bottom = (int(edge) for edge in edges)
    return left, top, right, bottom
