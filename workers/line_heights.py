"""How high the letters of a line are, as far as those agree that cannot be taken for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from workers.glyphs import Glyph

BASELINE_SPREAD = 1.2
"""Pixels by which the bottoms of a line's letters may differ."""

LEAN_AT_MOST = 0.03
"""Rows for each column by which a line may rise or fall and is still set level."""

LEAN_OVER = 6
"""Letters' heights over which the letters must be strewn that tell how much the line leans."""

_SMALL, _CAPITALS, _DIGITS, _TALL = "aegmnqry", "ABDEFGHJLMNQRTY", "23456789", "bdhk"
_ON_THE_LINE = frozenset("aemnrABDEFGHLMNRTY23456789bdhk")


@dataclass(frozen=True)
class LineHeights:
    """Where the sure letters of a line end, and how high they are, with how far letters of one kind differ."""

    bottom: float
    small: float | None
    capital: float | None
    tall: float | None
    small_spread: float
    capital_spread: float
    tall_spread: float


def measure_heights(marks: Sequence[str], glyphs: Sequence[Glyph | None]) -> LineHeights | None:
    """Measure the letters that are not easily taken for others; None when they do not stand on one line."""
    seen = [(mark, glyph) for mark, glyph in zip(marks, glyphs, strict=True) if glyph is not None]
    bottoms = [glyph.bottom for mark, glyph in seen if mark in _ON_THE_LINE]
    if not bottoms or max(bottoms) - min(bottoms) > BASELINE_SPREAD:
        return None
    bottom = median(bottoms)
    heights = {
        kind: [bottom - glyph.top for mark, glyph in seen if mark in kind]
        for kind in (_SMALL, _CAPITALS, _DIGITS, _TALL)
    }
    small, capitals, digits, tall = (median(found) if found else None for found in heights.values())
    agree = capitals is None or digits is None or abs(capitals - digits) <= 0.6
    return LineHeights(
        bottom=bottom,
        small=small,
        capital=(digits if capitals is None else capitals) if agree else None,
        tall=tall,
        small_spread=_spread(heights[_SMALL]),
        capital_spread=max(_spread(heights[_CAPITALS]), _spread(heights[_DIGITS])),
        tall_spread=_spread(heights[_TALL]),
    )


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


def set_level(marks: Sequence[str], glyphs: Sequence[Glyph | None]) -> list[Glyph | None]:
    """The glyphs as they would stand if the line did not lean: a box found a row too high at one end tilts its line."""
    level = list(glyphs)
    points = [
        (glyph.middle, glyph.bottom)
        for mark, glyph in zip(marks, glyphs, strict=True)
        if glyph is not None and mark in _ON_THE_LINE
    ]
    if len(points) < 5:
        return level
    lean = _slope(points)
    # A few letters close together tell no slope.
    far = max(x for x, _ in points) - min(x for x, _ in points) >= LEAN_OVER * _middle_height(glyphs)
    if not far or abs(lean) >= LEAN_AT_MOST:
        return level
    return [None if glyph is None else _lowered(glyph, -lean * glyph.middle) for glyph in level]


def _middle_height(glyphs: Sequence[Glyph | None]) -> float:
    return median(glyph.bottom - glyph.top for glyph in glyphs if glyph is not None)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    across = sum(x for x, _ in points) / len(points)
    down = sum(y for _, y in points) / len(points)
    square = sum((x - across) ** 2 for x, _ in points)
    return sum((x - across) * (y - down) for x, y in points) / square if square else 0.0


def _lowered(glyph: Glyph, rows: float) -> Glyph:
    return replace(glyph, top=glyph.top + rows, bottom=glyph.bottom + rows)
