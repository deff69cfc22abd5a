"""Reads a line that was cut out, a few words at a time, and sets right what its whole picture states.

    cloud  storage   report  of  the  week         words, parted where the gap is plainly one between words
    └──────────────┘ └──────────┘ └───────┘        read alone, so that they need not be read again in another line
    └─────────────────────────────────────┘        letters' heights and gaps compared over the whole line

A word's picture is as high as its line, and filled up with the line's ground: it depends on no neighbour `[row-1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import cv2
import numpy as np

from workers.images import Pixels
from workers.lookalikes import Letter
from workers.ocr_lines import mend_line
from workers.text_model import Box, RecognizedLine

MARGIN_ABOVE, MARGIN_BESIDE = 0.33, 0.35
"""Shares of the line's height by which its picture is filled up, as lines were in what the recognizer learned from."""

WORD_GAP = 0.35
"""Share of the line's height; more empty columns than that part words for certain."""

WORD_GAP_PIXELS = 6
"""But no fewer: so many are between the dots of `...` in a typeface of fixed width."""

READ_TOGETHER, LAST_TOGETHER = 1.0, 0.7
"""Lines' heights: words are read together until they are so wide, and a last one less wide with those before it."""

READ_PARAMETERS: dict[str, str] = {
    "revision": "1",
    "margins": f"{MARGIN_ABOVE} {MARGIN_BESIDE}",
    "words": f"{WORD_GAP} {WORD_GAP_PIXELS} {READ_TOGETHER} {LAST_TOGETHER}",
}
"""What decides here over the text, for the model's digest. Raise `revision` when rules change and no number does."""

Recognize = Callable[[Pixels], RecognizedLine]


def cut_line(pixels: Pixels, box: Box) -> tuple[Pixels, tuple[int, ...]]:
    """The pixels of a line's ink, and the colour of the ground around it."""
    left, top, right, bottom = box
    ground = tuple(int(part) for part in pixels[max(0, top - 1), left])
    return np.ascontiguousarray(pixels[top:bottom, left:right]), ground


def read_line(ink: Pixels, ground: tuple[int, ...], recognize: Recognize) -> RecognizedLine:
    """Read a line from its ink; each call of `recognize` gets some of its words on their own."""
    letters: list[Letter] = []
    places: list[float] = []
    texts, score, weight = [], 0.0, 0
    words = list(_words(ink, ground))
    margin = round(MARGIN_BESIDE * len(ink))
    gaps = [(before + after) / 2 for (_, before), (after, _) in pairwise(words)]
    for start, end in _groups(words, len(ink)):
        read = recognize(_filled_up(np.ascontiguousarray(ink[:, start:end]), ground))
        if not read.text.strip():
            continue
        if letters and read.letters:
            letters.append(Letter(" ", {}))
            places.append((places[-1] + read.places[0] + start) / 2)
        spaced, at = _with_plain_spaces(read, [gap - start + margin for gap in gaps if start < gap < end])
        letters += spaced
        places += [place + start for place in at]
        texts.append("".join(letter.text for letter in spaced) if spaced else read.text)
        score, weight = score + read.score * len(read.text), weight + len(read.text)
    if not texts:
        return RecognizedLine("", 0.0)
    text = " ".join(texts)
    # Models that do not tell their letters, or put them in another order than they stand: as it was read.
    if text == "".join(letter.text for letter in letters):
        text = mend_line(_filled_up(ink, ground), letters, places)
    return RecognizedLine(text, score / weight)


def word_groups(ink: Pixels, ground: tuple[int, ...]) -> list[tuple[int, int]]:
    """From which column to which the words are that are read together; from left to right."""
    return _groups(list(_words(ink, ground)), len(ink))


def _groups(words: list[tuple[int, int]], height: int) -> list[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    for start, end in words:
        if groups and groups[-1][1] - groups[-1][0] < READ_TOGETHER * height:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    if len(groups) > 1 and groups[-1][1] - groups[-1][0] < LAST_TOGETHER * height:
        (start, _), (_, end) = groups[-2:]
        groups[-2:] = [(start, end)]
    return groups


def _with_plain_spaces(read: RecognizedLine, gaps: list[float]) -> tuple[list[Letter], list[float]]:
    """The letters of words that were read together, with a space in each gap between them that the model left out."""
    letters, places = list(read.letters), list(read.places)
    if not letters or "".join(letter.text for letter in letters) != read.text:
        return [], []
    for gap in gaps:
        after = next((number for number, place in enumerate(places) if place > gap), 0)
        if after and " " not in (letters[after - 1].text, letters[after].text):
            letters.insert(after, Letter(" ", {}))
            places.insert(after, gap)
    return letters, places


def _words(ink: Pixels, ground: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    inked = np.flatnonzero((ink != np.array(ground, dtype=np.uint8)).any(axis=(0, 2)))
    if not len(inked):
        return
    gap = max(WORD_GAP_PIXELS, math.ceil(WORD_GAP * len(ink)))
    breaks = np.flatnonzero(np.diff(inked) - 1 > gap)
    starts = [inked[0], *inked[breaks + 1]]
    ends = [*inked[breaks], inked[-1]]
    for start, end in zip(starts, ends, strict=True):
        yield int(start), int(end) + 1


def _filled_up(ink: Pixels, ground: tuple[int, ...]) -> Pixels:
    above, beside = round(MARGIN_ABOVE * len(ink)), round(MARGIN_BESIDE * len(ink))
    filled = cv2.copyMakeBorder(ink, above, above, beside, beside, cv2.BORDER_CONSTANT, value=ground)
    return np.asarray(filled, dtype=np.uint8)
