"""The numbers by which stages without a model decide: `parameters` in `pipeline.dag`, part of their fingerprints.

Apart from the stages' code, so that a fingerprint is known without loading Arrow and numpy.
"""

from __future__ import annotations

SPANS = {"longest_gap_s": 300, "longest_span_s": 1_800, "longest_text": 1_500}
"""A gap without a frame ends a span, and so does its length: a film of two hours is several spans. The text is bounded
in characters: an embedding model reads no more of it."""

SLOTS_PER_HOUR = 12
MIN_NEW_LINES = 4
"""A clock that ticks is one new line; below this many since the last change, nothing happened."""

KEYFRAMES = {"slots_per_hour": SLOTS_PER_HOUR, "min_new_lines": MIN_NEW_LINES}

SAME_GROUND, EDGE = 6, 10
"""Levels of brightness up to which pixels are the same ground, and from which they are a border or another colour."""

GROUND_PERMILLE, CLOSED_PERMILLE = 950, 900
"""Parts in 1,000 of the ring around a text that are ground, and of each side of the border that are none."""

BUTTON_MOST_BESIDE, BUTTON_MOST_ABOVE, BUTTON_LEAST_BESIDE = 48, 20, 3
"""Pixels of ground between a text and the border of its button."""

BUTTON_UNEVEN, BUTTON_HIGHEST, BUTTON_LONGEST = 5, 64, 30
"""How much left and right may differ (and a tenth of both), height of a button in pixels, letters in its text."""

INPUT_LEAST_BESIDE, INPUT_MOST_BESIDE, INPUT_LEAST_ABOVE, INPUT_MOST_ABOVE = 3, 14, 2, 14
"""Pixels of ground between a text and the border of its input, on the left and above."""

INPUT_LOWEST, INPUT_HIGHEST, INPUT_NARROWEST, INPUT_WIDEST = 14, 400, 60, 1400
"""Height and width of an input, in pixels."""

OUTSIDE, OUTSIDE_PERMILLE, BEYOND = 5, 800, (3, 5)
"""Distance of the ring outside of an input, how much of it is one ground, and where a border would go on."""

BORDER = 3
"""How thick the border of an input may be."""

LABEL_ABOVE, LABEL_BESIDE, LABEL_LETTERS, LABEL_HEIGHT, LABEL_SHIFT = 20, 40, 40, 16, 16
"""How far a label is above or before its input, how long and how high it is, how far to the right or left it begins."""

UI_ELEMENTS = {
    "boxes_levels": f"{SAME_GROUND} {EDGE}",
    "boxes_shares": f"{GROUND_PERMILLE} {CLOSED_PERMILLE}",
    "buttons_margins": f"{BUTTON_MOST_BESIDE} {BUTTON_MOST_ABOVE} {BUTTON_LEAST_BESIDE} {BUTTON_UNEVEN}",
    "buttons_sizes": f"{BUTTON_HIGHEST} {BUTTON_LONGEST}",
    "inputs_inside": f"{INPUT_LEAST_BESIDE} {INPUT_MOST_BESIDE} {INPUT_LEAST_ABOVE} {INPUT_MOST_ABOVE}",
    "inputs_sizes": f"{INPUT_LOWEST} {INPUT_HIGHEST} {INPUT_NARROWEST} {INPUT_WIDEST}",
    "inputs_outside": f"{OUTSIDE} {OUTSIDE_PERMILLE} {BEYOND} {BORDER}",
    "inputs_labels": f"{LABEL_ABOVE} {LABEL_BESIDE} {LABEL_LETTERS} {LABEL_HEIGHT} {LABEL_SHIFT}",
}
"""All that decides what is found in a picture."""
