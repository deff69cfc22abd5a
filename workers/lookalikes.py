"""Tells letters apart that look alike in a picture scaled to one height: `o` from `O`, `l` from `1` and `I`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from workers.glyphs import Glyph
from workers.line_heights import BASELINE_SPREAD, LineHeights, measure_heights, set_level


class Height(Enum):
    """How far a letter rises over the line it stands on: like `x`, like `H`, like `d`."""

    SMALL = "small"
    CAPITAL = "capital"
    TALL = "tall"


@dataclass(frozen=True)
class Margins:
    """How clear it must be; shares are of the way from the lower to the higher of the two heights in question.

    How they were chosen is in docs/benchmarks.md.
    """

    small_up_to: float = 0.2
    capital_from: float = 0.7
    capital_from_below_tall: float = 0.42
    """Instead of `capital_from` where no capital or digit stands beside it, only `b`, `d`, `h`: those rise higher."""
    spread: float = 0.25
    """The share by which letters of one height may differ; more, and they are not of one size."""
    bar_pixels: float = 0.8
    """By how many rows `d` must rise over `H` for `l` and `1` to be told apart."""
    bar_spread: float = 0.5
    chance: float = 0.0001
    """The recognizer must have thought the other letter at least this likely."""
    capital_o: float = 3.0
    """How much likelier than `O` a `0` must be: an `o` that is too high has more often lost its case."""


MARGINS = Margins()

LOOKALIKES: tuple[Mapping[str, Height], ...] = (
    *({small: Height.SMALL, small.upper(): Height.CAPITAL} for small in "csuvwxz"),
    {"o": Height.SMALL, "O": Height.CAPITAL, "0": Height.CAPITAL},
    {"l": Height.TALL, "I": Height.CAPITAL, "1": Height.CAPITAL},
)
"""Letters that the recognizer confuses, each with its height. `O` and `0`, or `I` and `1`, are of one height: between
them the height says nothing."""

_ALIKE = {mark: alike for alike in LOOKALIKES for mark in alike}


@dataclass(frozen=True)
class Letter:
    """A letter that was read, and how likely the recognizer thought each of those it is easily taken for."""

    text: str
    chances: Mapping[str, float]


def lookalikes(mark: str) -> tuple[str, ...]:
    """The letters that this one is easily taken for, itself included; none for most."""
    return tuple(_ALIKE.get(mark, ()))


def mend_letters(letters: Sequence[Letter], glyphs: Sequence[Glyph | None]) -> list[str]:
    """The letters, with those exchanged whose height in the picture plainly is that of one they are easily taken for.

    A letter's height is compared with that of the line's other letters; without such, or where they disagree, or
    where it lies between two heights, the letter stays as it was read. No letter becomes one outside `lookalikes`.
    """
    marks = [letter.text for letter in letters]
    level = set_level(marks, glyphs)
    line = measure_heights(marks, level)
    if line is None:
        return marks
    return [_mend(letter, glyph, line) for letter, glyph in zip(letters, level, strict=True)]


def _mend(letter: Letter, glyph: Glyph | None, line: LineHeights) -> str:
    alike = _ALIKE.get(letter.text)
    if alike is None or glyph is None or abs(glyph.bottom - line.bottom) > BASELINE_SPREAD / 2:
        return letter.text
    height = line.bottom - glyph.top
    seen = _bar_height(height, line) if "l" in alike else _round_height(height, line)
    if seen is None or alike[letter.text] is seen:
        return letter.text
    likeliest = max((mark for mark in alike if alike[mark] is seen), key=lambda mark: _weight(letter, mark))
    return likeliest if letter.chances.get(likeliest, 0.0) >= MARGINS.chance else letter.text


def _weight(letter: Letter, mark: str) -> float:
    return letter.chances.get(mark, 0.0) * (MARGINS.capital_o if mark == "O" else 1.0)


def _round_height(height: float, line: LineHeights) -> Height | None:
    """Whether a letter is small or a capital; None when that is not plain."""
    if line.capital is not None:
        high, spread, capital_from = line.capital, line.capital_spread, MARGINS.capital_from
    elif line.tall is not None:
        high, spread, capital_from = line.tall, line.tall_spread, MARGINS.capital_from_below_tall
    else:
        return _beside_small(height, line)
    if line.small is None:
        return _beside_high(height, high, spread)
    way = high - line.small
    if way < 1.5 or max(spread, line.small_spread) > MARGINS.spread * way:
        return None
    share = (height - line.small) / way
    if -0.25 <= share <= MARGINS.small_up_to:
        return Height.SMALL
    return Height.CAPITAL if capital_from <= share <= 1.3 else None


def _beside_small(height: float, line: LineHeights) -> Height | None:
    """The same where only small letters stand beside it: typefaces have capitals 1.25 to 1.5 times as high."""
    if line.small is None or line.small_spread > 0.08 * line.small:
        return None
    ratio = height / line.small
    if 0.93 <= ratio <= 1.07:
        return Height.SMALL
    return Height.CAPITAL if 1.23 <= ratio <= 1.5 else None


def _beside_high(height: float, high: float, spread: float) -> Height | None:
    """The same where no small letter stands beside it."""
    if spread > 0.08 * high:
        return None
    ratio = height / high
    if 0.62 <= ratio <= 0.8:
        return Height.SMALL
    return Height.CAPITAL if 0.94 <= ratio <= 1.1 else None


def _bar_height(height: float, line: LineHeights) -> Height | None:
    """Whether a bar is as high as a capital or as `d`; None when that is not plain, or both are of one height."""
    capital, tall = line.capital, line.tall
    if max(line.capital_spread, line.tall_spread) > MARGINS.bar_spread or _is_a_stem(height, line):
        return None
    if capital is not None and tall is not None:
        share = (height - capital) / (tall - capital) if tall - capital >= MARGINS.bar_pixels else 0.5
        if -0.5 <= share <= 0.3:
            return Height.CAPITAL
        return Height.TALL if 0.7 <= share <= 1.5 else None
    if tall is not None:
        return Height.CAPITAL if 0.7 * tall <= height <= tall - MARGINS.bar_pixels else None
    if capital is not None:
        return Height.TALL if capital + MARGINS.bar_pixels <= height <= 1.3 * capital else None
    return None


def _is_a_stem(height: float, line: LineHeights) -> bool:
    """Whether a bar is no higher than a small letter: then it is the stem of an `i` beside it."""
    high = line.tall if line.tall is not None else line.capital
    return line.small is not None and high is not None and height - line.small < 0.35 * (high - line.small)
