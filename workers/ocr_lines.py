"""Sets right what the picture of a line states and the recognizer lost.

The recognizer sees each line scaled to one height, so that it takes `O` for `o` and `1` for `l`, and puts no space
where two windows or a margin and its text meet. Letters and gaps are measured in the unscaled picture. Both are
functions of the line's picture alone `[row-1]`.
"""

from __future__ import annotations

from dataclasses import asdict

from workers import glyphs, line_heights, missing_spaces
from workers.glyphs import Glyph, grey_levels, measure_glyphs
from workers.images import Pixels
from workers.lookalikes import MARGINS, Letter, mend_letters

LINE_PARAMETERS: dict[str, str] = {
    "revision": "1",
    "ink": str(glyphs.INK),
    "baseline": f"{line_heights.BASELINE_SPREAD} {line_heights.LEAN_AT_MOST} {line_heights.LEAN_OVER}",
    "gaps": f"{missing_spaces.SEAM_GAP} {missing_spaces.WIDE_GAP} {missing_spaces.GROUND_DIFFERS}",
} | {name: str(value) for name, value in asdict(MARGINS).items()}
"""What decides here over the text, for the model's digest. Raise `revision` when rules change and no number does."""


def mend_line(picture: Pixels, letters: list[Letter], places: list[float]) -> str:
    """The text of a line, letters set right and missing spaces put in.

    `places` are the columns of the picture in which the letters were seen. The result differs from what was read only
    by spaces, and by letters that `lookalikes` names for each other.
    """
    grey = grey_levels(picture)
    seen: list[Glyph | None] = measure_glyphs(grey, places)
    marks = mend_letters(letters, seen)
    for place in reversed(missing_spaces.missing_spaces(marks, seen, grey)):
        marks.insert(place, " ")
    return "".join(marks)
