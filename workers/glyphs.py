"""Where in a line's picture each letter stands that was read from it, as far as that is plain to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from workers.images import Pixels

INK = 0.4
"""The share of the line's strongest contrast from which on a pixel is ink."""

_FAINT = 40
"""Grey levels; a picture with less contrast holds no letters to measure."""

Levels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Glyph:
    """The ink of one letter in pixels of the picture; top and bottom to a fraction of a row, by how dark it is."""

    left: int
    right: int
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def grey_levels(picture: Pixels) -> Levels:
    """The brightness of each pixel, 0 to 255, of a picture in the order blue, green, red."""
    weights = np.array([29, 150, 77], dtype=np.int32)
    grey: Levels = (picture.astype(np.int32) @ weights) >> 8
    return grey


def measure_glyphs(grey: Levels, places: Sequence[float]) -> list[Glyph | None]:
    """The ink of the letters around these places (in columns, from left to right).

    None for a letter whose ink cannot be told from its neighbour's, is cut by the picture's edge, or is not there: a
    piece of connected ink counts only if it is the nearest to one letter, that letter is the nearest to it, and no
    other letter's place lies in it. Dots and accents are not part of what is measured.
    """
    nothing: list[Glyph | None] = [None] * len(places)
    contrast = _contrast(grey)
    if not places or int(contrast.max()) < _FAINT:
        return nothing
    pieces = _pieces(contrast)
    if not len(pieces):
        return nothing
    at = np.asarray(places, dtype=np.float64)
    apart = np.abs((pieces[:, 0] + pieces[:, 2] / 2)[:, None] - at[None, :])
    inside = (at >= pieces[:, :1] - 1) & (at <= pieces[:, :1] + pieces[:, 2:3] + 1)
    owner, alone, height = apart.argmin(1), inside.sum(1) <= 1, grey.shape[0]
    return [
        _glyph(contrast, pieces[piece])
        if owner[piece] == letter and alone[piece] and apart[piece, letter] <= 0.3 * height
        else None
        for letter, piece in enumerate(apart.argmin(0))
    ]


def _contrast(grey: Levels) -> Levels:
    """How far each pixel is from the ground: the commonest of 32 levels in the columns no farther than the height."""
    height, width = grey.shape
    coarse = grey >> 3
    counts = np.stack([(coarse == level).sum(0) for level in range(32)])
    until = np.concatenate([np.zeros((32, 1), dtype=np.int64), counts.cumsum(1)], axis=1)
    columns = np.arange(width)
    first, last = np.clip(columns - height, 0, width), np.clip(columns + height + 1, 0, width)
    ground = (until[:, last] - until[:, first]).argmax(0) * 8 + 4
    contrast: Levels = np.abs(grey - ground[None, :]).astype(np.int32)
    return contrast


def _pieces(contrast: Levels) -> npt.NDArray[Any]:
    """Left, top, width, height and area of each piece of connected ink that stands in the middle of the line."""
    ink = (contrast >= INK * contrast.max()).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    found, height = stats[1:], contrast.shape[0]
    tops, bottoms = found[:, 1], found[:, 1] + found[:, 3]
    kept: npt.NDArray[Any] = found[(tops < 0.62 * height) & (bottoms > 0.4 * height) & (found[:, 3] >= 0.2 * height)]
    return kept


def _glyph(contrast: Levels, piece: npt.NDArray[Any]) -> Glyph:
    left, top, width, height = (int(value) for value in piece[:4])
    rows = contrast[:, left : left + width].max(1)
    shares = rows / max(1, int(rows[top : top + height].max()))
    bottom = top + height
    above = _faint(shares[top - 1]) if top > 0 else 0.0
    below = _faint(shares[bottom]) if bottom < len(shares) else 0.0
    return Glyph(
        left=left,
        right=left + width,
        top=top + 1 - min(1.0, float(shares[top])) - above,
        bottom=bottom - 1 + min(1.0, float(shares[bottom - 1])) + below,
    )


def _faint(share: float) -> float:
    """The share of a row that a letter's soft edge covers; nothing where the row holds other ink."""
    return float(share) if share < INK else 0.0
