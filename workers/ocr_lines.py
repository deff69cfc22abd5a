"""Reads lines with RapidOCR's recognizer, and sets right what the picture of a line states and the recognizer lost.

The recognizer sees each line scaled to one height, so that it takes `O` for `o` and `1` for `l`, and puts no space
where two windows or a margin and its text meet. Letters and gaps are measured in the unscaled picture. Both are
functions of the line's picture alone `[row-1]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from workers import glyphs, line_heights, missing_spaces
from workers.glyphs import Glyph, grey_levels, measure_glyphs
from workers.images import Pixels
from workers.lookalikes import MARGINS, Letter, lookalikes, mend_letters

_STEP = 8
"""Columns of the scaled picture for each step of the recognizer."""

_LATE = 0.035
"""Heights of the line by which the step that tells a letter lies right of the letter's middle."""

LINE_PARAMETERS: dict[str, str] = {
    "revision": "1",
    "ink": str(glyphs.INK),
    "baseline": f"{line_heights.BASELINE_SPREAD} {line_heights.LEAN_AT_MOST} {line_heights.LEAN_OVER}",
    "gaps": f"{missing_spaces.SEAM_GAP} {missing_spaces.WIDE_GAP} {missing_spaces.GROUND_DIFFERS}",
} | {name: str(value) for name, value in asdict(MARGINS).items()}
"""What decides here over the text, for the model's digest. Raise `revision` when rules change and no number does."""


class LineReader:
    """Stands where RapidOCR has its recognizer; `rapidocr.ch_ppocr_rec` gives the types of what goes in and out."""

    def __init__(self, recognizer: Any) -> None:
        self._recognizer = recognizer
        self._decoder = recognizer.postprocess_op = _KeepingDecoder(recognizer.postprocess_op)

    def __call__(self, lines: Any) -> Any:
        """Read each of `lines.img`, one alone, so that none depends on its neighbours."""
        results = [self._read(lines, picture) for picture in lines.img]
        whole = results[0]
        whole.imgs = list(lines.img)
        whole.txts = tuple(text for result in results for text in result.txts)
        whole.scores = tuple(score for result in results for score in result.scores)
        whole.word_results = tuple(words for result in results for words in result.word_results)
        whole.elapse = sum(result.elapse for result in results)
        return whole

    def _read(self, lines: Any, picture: Pixels) -> Any:
        result = self._recognizer(type(lines)(img=[picture], return_word_box=lines.return_word_box))
        letters, places = self._decoder.letters(picture.shape[0])
        # Other than as decoded only in scripts that are written from right to left: those stay as they are.
        if result.txts == ("".join(letter.text for letter in letters),):
            result.txts = (mend_line(picture, letters, places),)
        return result


class _KeepingDecoder:
    """RapidOCR's decoder; keeps what it decoded last."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._last: Any = None

    def __call__(self, chances: Any, *arguments: Any, **options: Any) -> Any:
        self._last = chances[0]
        return self._decoder(chances, *arguments, **options)

    def letters(self, height: int) -> tuple[list[Letter], list[float]]:
        """The letters last decoded, and in which column of a picture of this height each was seen."""
        best = self._last.argmax(axis=1)
        steps = [step for step, mark in enumerate(best) if mark and (step == 0 or mark != best[step - 1])]
        letters = [Letter(self._decoder.character[best[step]], dict(self._chances(step, best[step]))) for step in steps]
        return letters, [((step + 0.5) * _STEP / 48 - _LATE) * height for step in steps]

    def _chances(self, step: int, mark: int) -> Iterator[tuple[str, float]]:
        for other in lookalikes(self._decoder.character[mark]):
            if other in self._decoder.dict:
                yield other, float(self._last[step, self._decoder.dict[other]])


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
