"""Buttons in drawn pictures: found where a closed box stands around a text, passed over where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.stages.find_buttons import Button, find_buttons
from pipeline.stages.plain_boxes import Pixels

TEXT = (130, 106, 170, 124)
"""A text in the middle of the box that `button` draws."""


def page(level: int = 240) -> Pixels:
    return np.full((300, 400), level, np.uint8)


def write(pixels: Pixels, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    pixels[top + 2 : bottom - 2, left + 1 : right - 1 : 3] = 0


def outline(pixels: Pixels, box: tuple[int, int, int, int], level: int = 90) -> None:
    left, top, right, bottom = box
    pixels[top - 1, left - 1 : right + 1] = pixels[bottom, left - 1 : right + 1] = level
    pixels[top - 1 : bottom + 1, left - 1] = pixels[top - 1 : bottom + 1, right] = level


def button() -> Pixels:
    pixels = page()
    outline(pixels, (110, 100, 190, 130))
    write(pixels, TEXT)
    return pixels


def line(text: str = "Save", box: tuple[int, int, int, int] = TEXT) -> dict[str, Any]:
    return {"text": text, "bbox": list(box), "score": 9900}


def test_a_text_in_an_outlined_box_is_a_button() -> None:
    assert find_buttons(button(), [line()]) == [Button("Save", (110, 100, 190, 130), 0, 10_000)]


def test_a_text_on_a_filled_box_is_a_button() -> None:
    pixels = page()
    pixels[100:130, 110:190] = 60
    pixels[106:124, 130:170:3] = 250
    assert [item.box for item in find_buttons(pixels, [line()])] == [(110, 100, 190, 130)]


def test_round_corners_are_no_gap() -> None:
    pixels = button()
    for y, x in ((99, 109), (99, 190), (130, 109), (130, 190), (100, 109), (99, 110)):
        pixels[y, x] = 240
    assert len(find_buttons(pixels, [line()])) == 1


def open_side(pixels: Pixels) -> None:
    pixels[99:131, 190] = 240


def gap(pixels: Pixels) -> None:
    pixels[130, 130:150] = 240


def pattern(pixels: Pixels) -> None:
    pixels[100:130:2, 110:190] = 200


def no_box(pixels: Pixels) -> None:
    pixels[:] = 240
    write(pixels, TEXT)


@pytest.mark.parametrize("spoil", [open_side, gap, pattern, no_box])
def test_a_box_that_is_not_plainly_one_is_passed_over(spoil: Callable[[Pixels], None]) -> None:
    pixels = button()
    spoil(pixels)
    assert find_buttons(pixels, [line()]) == []


@pytest.mark.parametrize(
    "lines",
    [
        [line("Name:")],
        [line("a sentence that is too long for a button")],
        [line(box=(114, 106, 154, 124))],
        [line(), line("and more", (172, 106, 186, 124))],
        [line(box=(0, 0, 40, 18))],
        [line(box=(390, 290, 400, 300))],
        [line(box=(130, 106, 132, 107))],
        [],
    ],
)
def test_a_text_that_no_button_has_is_passed_over(lines: list[dict[str, Any]]) -> None:
    assert find_buttons(button(), lines) == []


def test_buttons_come_in_the_order_of_their_places_whatever_that_of_the_lines() -> None:
    pixels = button()
    outline(pixels, (210, 100, 290, 130))
    second = (230, 106, 270, 124)
    write(pixels, second)
    found = find_buttons(pixels, [line("Cancel", second), line()])
    assert [(item.label, item.line) for item in found] == [("Save", 1), ("Cancel", 0)]
