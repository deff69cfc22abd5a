"""Inputs are told from cells, cards, code and buttons by what stands in them and around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.stages.find_inputs import Input, find_inputs
from pipeline.stages.plain_boxes import Box, Pixels

BOX = (110, 100, 350, 132)
TEXT = (120, 110, 190, 122)
LABEL = (110, 80, 170, 92)
BEFORE = (50, 110, 98, 122)


def page(level: int = 240) -> Pixels:
    return np.full((300, 500), level, np.uint8)


def outline(pixels: Pixels, box: Box, level: int = 90) -> None:
    left, top, right, bottom = box
    pixels[top - 1, left - 1 : right + 1] = pixels[bottom, left - 1 : right + 1] = level
    pixels[top - 1 : bottom + 1, left - 1] = pixels[top - 1 : bottom + 1, right] = level


def write(pixels: Pixels, box: Box) -> None:
    left, top, right, bottom = box
    pixels[top:bottom, left + 1 : right : 3] = 0


def field(*texts: Box) -> Pixels:
    pixels = page()
    outline(pixels, BOX)
    for text in texts:
        write(pixels, text)
    return pixels


def line(text: str = "Dock 3", box: Box = TEXT) -> dict[str, Any]:
    return {"text": text, "bbox": list(box), "score": 9900}


def test_a_text_at_the_left_end_of_a_box_that_stands_alone_is_in_an_input() -> None:
    assert find_inputs(field(TEXT), [line()]) == [Input(BOX, None, 10_000)]


@pytest.mark.parametrize("place", [LABEL, BEFORE])
def test_the_text_above_or_before_it_is_its_label(place: Box) -> None:
    found = find_inputs(field(TEXT, place), [line("Subject", place), line()])
    assert found == [Input(BOX, 0, 10_000)]


@pytest.mark.parametrize("place", [LABEL, BEFORE])
def test_an_empty_box_is_an_input_where_a_label_stands(place: Box) -> None:
    assert find_inputs(field(place), [line("Subject", place)]) == [Input(BOX, 0, 10_000)]
    assert find_inputs(field(), []) == []


def test_the_text_before_it_counts_for_more_than_the_one_above() -> None:
    found = find_inputs(field(TEXT, LABEL, BEFORE), [line("Name", LABEL), line("Subject", BEFORE), line()])
    assert [item.label for item in found] == [1]


def test_an_input_of_several_lines_is_one() -> None:
    pixels = page()
    tall = (110, 100, 400, 200)
    outline(pixels, tall)
    second = (120, 126, 210, 138)
    write(pixels, TEXT)
    write(pixels, second)
    assert [item.box for item in find_inputs(pixels, [line(), line("and more", second)])] == [tall]


def test_round_corners_and_a_lighter_ground_than_outside_are_an_input_too() -> None:
    pixels = page(200)
    outline(pixels, BOX, 150)
    pixels[100:132, 110:350] = 255
    for y, x in ((99, 109), (99, 350), (132, 109), (132, 350)):
        pixels[y, x] = 200
    write(pixels, TEXT)
    assert [item.box for item in find_inputs(pixels, [line()])] == [BOX]


def a_cell(pixels: Pixels) -> None:
    pixels[99, 40:450] = pixels[132, 40:450] = 90


def the_cell_of_a_column(pixels: Pixels) -> None:
    pixels[60:200, 109] = pixels[60:200, 350] = 90


def open_at_the_right(pixels: Pixels) -> None:
    pixels[99:133, 350] = 240


def with_gaps(pixels: Pixels) -> None:
    pixels[132, 120:200] = 240


def darker_than_the_page(pixels: Pixels) -> None:
    inner = pixels[100:132, 110:350]
    inner[inner == 240] = 200


def on_a_pattern(pixels: Pixels) -> None:
    pixels[80:99:2] = pixels[136:150:2] = 100
    pixels[90:145, 90:108:2] = 100


@pytest.mark.parametrize(
    "spoil", [a_cell, the_cell_of_a_column, open_at_the_right, with_gaps, darker_than_the_page, on_a_pattern]
)
def test_a_box_that_is_not_plainly_an_input_is_passed_over(spoil: Callable[[Pixels], None]) -> None:
    pixels = field(TEXT)
    spoil(pixels)
    assert find_inputs(pixels, [line()]) == []


@pytest.mark.parametrize(
    "lines",
    [
        [line(box=(200, 110, 260, 122))],
        [line(box=(120, 110, 340, 122))],
        [line(), line("of another column", (240, 110, 320, 122))],
        [line(box=(0, 0, 40, 18))],
        [line(box=(490, 290, 500, 300))],
        [],
    ],
)
def test_a_text_that_no_input_has_is_passed_over(lines: list[dict[str, Any]]) -> None:
    pixels = field(*(tuple(item["bbox"]) for item in lines))
    assert find_inputs(pixels, lines) == []


@pytest.mark.parametrize("heading", [("New message", (110, 70, 250, 94)), ("x" * 41, LABEL), (":", LABEL)])
def test_a_heading_or_a_sentence_or_a_mark_is_no_label(heading: tuple[str, Box]) -> None:
    found = find_inputs(field(TEXT, heading[1]), [line(*heading), line()])
    assert found == [Input(BOX, None, 10_000)]


def test_inputs_come_in_the_order_of_their_places_whatever_that_of_the_lines() -> None:
    pixels = field(TEXT)
    below = (110, 150, 350, 182)
    outline(pixels, below)
    text = (120, 160, 190, 172)
    write(pixels, text)
    assert [item.box for item in find_inputs(pixels, [line("second", text), line()])] == [BOX, below]


def test_any_picture_and_any_boxes_give_an_answer() -> None:
    generator = np.random.default_rng(5)
    for _ in range(30):
        pixels = generator.choice(np.array([0, 90, 240, 255], np.uint8), (40, 60))
        edges = [sorted(generator.integers(0, 61, 2)) + sorted(generator.integers(0, 41, 2)) for _ in range(6)]
        lines = [line("text", (int(a), int(c), int(b), int(d))) for a, b, c, d in edges if a < b and c < d]
        assert find_inputs(pixels, lines) == find_inputs(pixels.copy(), lines)
