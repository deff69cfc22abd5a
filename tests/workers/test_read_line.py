from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from workers.images import Pixels
from workers.lookalikes import Letter
from workers.read_line import cut_line, read_line, word_groups
from workers.text_model import RecognizedLine

GROUND = (255, 255, 255)


def ink(*words: tuple[int, int], width: int = 200, height: int = 16) -> Pixels:
    """A line with solid words, each from a column to a column."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    for start, end in words:
        pixels[:, start:end] = 0
    return pixels


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ([(0, 60), (70, 120)], [(0, 60), (70, 120)]),
        ([(0, 60), (66, 120)], [(0, 120)]),
        ([(0, 6), (16, 60), (70, 120)], [(0, 60), (70, 120)]),
        ([(0, 60), (70, 80)], [(0, 80)]),
        ([(0, 60), (70, 100), (110, 116)], [(0, 60), (70, 116)]),
        ([], []),
    ],
    ids=["two words", "no plain gap", "a short first word", "a short last word", "short after long", "nothing"],
)
def test_words_are_parted_at_plain_gaps_and_short_ones_kept_together(
    words: list[tuple[int, int]], groups: list[tuple[int, int]]
) -> None:
    assert word_groups(ink(*words), GROUND) == groups


def test_a_word_is_read_from_the_same_picture_wherever_it_stands_in_a_line() -> None:
    seen: list[Pixels] = []

    def recognize(picture: Pixels) -> RecognizedLine:
        seen.append(picture)
        return RecognizedLine("word", 1.0)

    read_line(ink((0, 60), (70, 120)), GROUND, recognize)
    read_line(ink((0, 30), (90, 150)), GROUND, recognize)
    assert (seen[0] == seen[3]).all()


def test_texts_are_joined_by_spaces_and_the_score_weighs_their_lengths() -> None:
    results = iter([RecognizedLine("three", 0.9), RecognizedLine("", 0.0), RecognizedLine("x", 0.3)])
    read = read_line(ink((0, 40), (50, 90), (100, 140)), GROUND, lambda _: next(results))
    assert read.text == "three x"
    assert read.score == pytest.approx((0.9 * 5 + 0.3) / 6)


def test_nothing_read_is_an_empty_line() -> None:
    assert read_line(ink((0, 40)), GROUND, lambda _: RecognizedLine(" ", 0.9)) == RecognizedLine("", 0.0)


def letters_of(text: str, *places: float) -> RecognizedLine:
    return RecognizedLine(text, 1.0, tuple(Letter(mark, {mark: 1.0}) for mark in text), places)


def test_a_plain_gap_within_words_read_together_is_a_space_even_if_the_model_saw_none() -> None:
    together = ink((0, 10), (24, 40), (60, 120))
    assert word_groups(together, GROUND) == [(0, 40), (60, 120)]
    results = iter([letters_of("A:12", 8, 12, 35, 41), letters_of("days", 10, 20, 30, 40)])
    assert read_line(together, GROUND, lambda _: next(results)).text == "A: 12 days"
    results = iter([letters_of("A: 12", 8, 12, 22, 35, 41), letters_of("days", 10, 20, 30, 40)])
    assert read_line(together, GROUND, lambda _: next(results)).text == "A: 12 days"


def test_letters_are_set_right_by_the_heights_in_the_whole_line() -> None:
    """Alone, a capital O may be a small one; the letters of the other words tell its height."""
    font = ImageFont.load_default(28)
    words = {10: "Hand", 110: "Order"}
    image = Image.new("RGB", (300, 60), "white")
    for left, text in words.items():
        ImageDraw.Draw(image).text((left, 10), text, "black", font)
    pixels = np.asarray(image)
    rows = np.flatnonzero((pixels != 255).any(axis=(1, 2)))
    columns = np.flatnonzero((pixels != 255).any(axis=(0, 2)))
    left = int(columns[0])
    line, ground = cut_line(pixels, (left, int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    starts = [start for start, _ in word_groups(line, ground)]
    assert len(starts) == 2
    told = {"Hand": "Hand", "Order": "order"}

    def read(at: int, word: str) -> RecognizedLine:
        margin = round(0.35 * len(line)) + left
        edges = [at - margin + font.getlength(word[:number]) for number in range(len(word) + 1)]
        places = tuple((before + after) / 2 + 2 * round(0.35 * len(line)) for before, after in pairwise(edges))
        chances = {"o": 0.6, "O": 0.3, "0": 0.05}
        return RecognizedLine(
            told[word], 1.0, tuple(Letter(mark, chances if mark == "o" else {mark: 1.0}) for mark in told[word]), places
        )

    results = [read(at - start, word) for (at, word), start in zip(words.items(), starts, strict=True)]
    assert read_line(line, ground, lambda _: results.pop(0)).text == "Hand Order"
