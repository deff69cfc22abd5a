"""Finds where a line's picture has a gap between two words that were read as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.glyphs import Glyph, Levels

SEAM_GAP = 0.45
"""Letters' heights between two letters from which on they are apart, where the ground changes between them."""

WIDE_GAP = 0.7
"""The same where the ground is one."""

GROUND_DIFFERS = 12
"""Grey levels by which two grounds differ at least: less is a soft edge."""

_PLAIN = 10
"""Grey levels by which the pixels of one ground differ at most."""


def missing_spaces(marks: Sequence[str], glyphs: Sequence[Glyph | None], grey: Levels) -> list[int]:
    """The letters before which a space is missing.

    Two letters belong to different words when there is a wide gap between them with nothing in it, as between two
    columns, or half a gap in which the ground changes or a line runs from top to bottom, as between a line's number
    and its text, or the text of two windows. Part of a word that is marked has another ground, but no gap beside it.
    """
    found = []
    for place in range(1, len(marks)):
        before, after = glyphs[place - 1], glyphs[place]
        if before is None or after is None or " " in (marks[place - 1], marks[place]):
            continue
        gap = (after.left - before.right) / max(before.bottom - before.top, after.bottom - after.top, 1.0)
        words = marks[place - 1].isalnum() and marks[place].isalnum()
        if (gap >= SEAM_GAP and _ground_changes(before, after, grey)) or (
            words and gap >= WIDE_GAP and _is_empty(before, after, grey)
        ):
            found.append(place)
    return found


def _ground_changes(before: Glyph, after: Glyph, grey: Levels) -> bool:
    # The lines above and below may reach into the picture's edges.
    height = grey.shape[0]
    columns = grey[height // 8 : height - height // 8, before.right : after.left]
    plain = columns.max(0) - columns.min(0) <= _PLAIN
    grounds = np.median(columns, axis=0)[plain]
    return len(grounds) > 1 and bool(grounds.max() - grounds.min() >= GROUND_DIFFERS)


def _is_empty(before: Glyph, after: Glyph, grey: Levels) -> bool:
    top, bottom = max(0, int(min(before.top, after.top))), int(max(before.bottom, after.bottom)) + 1
    # A letter's soft edge may reach a column into the gap.
    between = grey[top:bottom, before.right + 1 : after.left - 1]
    return between.size > 0 and int(between.max()) - int(between.min()) <= _PLAIN
