from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from workers.cut_frame import RULING_IN_BLOCK, cut_picture
from workers.images import Pixels

FONT = ImageFont.load_default(16)
Draw = Callable[[ImageDraw.ImageDraw], None]


def picture(draw: Draw, width: int = 600, height: int = 200, ground: str = "white") -> Pixels:
    image = Image.new("RGB", (width, height), ground)
    draw(ImageDraw.Draw(image))
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def two_lines(draw: ImageDraw.ImageDraw) -> None:
    draw.text((40, 30), "Meeting at 14:30 in room B", "black", FONT)
    draw.text((40, 90), "running along", "black", FONT)


def test_lines_are_cut_out_with_their_dots_and_descenders() -> None:
    cut = cut_picture(picture(two_lines))
    assert cut.blocks == []
    (upper, lower) = sorted(cut.lines, key=lambda box: box[1])
    ink = (picture(two_lines) != 255).any(axis=2)
    for box in (upper, lower):
        left, top, right, bottom = box
        assert ink[top:bottom, left + 1].any()
        assert ink[top:bottom, right - 2].any()
        assert not ink[top - 1, left:right].any()
        assert not ink[bottom, left:right].any()
    assert sum(ink[top:bottom, left:right].sum() for left, top, right, bottom in cut.lines) == ink.sum()


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1), (37, 11), (300, 60)])
def test_where_a_line_stands_does_not_change_how_it_is_cut(right: int, down: int) -> None:
    here = picture(two_lines)
    there = np.full_like(here, 255)
    there[down:, right:] = here[: len(here) - down, : here.shape[1] - right]
    moved = {(box[0] + right, box[1] + down, box[2] + right, box[3] + down) for box in cut_picture(here).lines}
    assert set(cut_picture(there).lines) == moved


def test_far_columns_are_lines_of_their_own() -> None:
    def columns(draw: ImageDraw.ImageDraw) -> None:
        draw.text((40, 30), "build bot", "black", FONT)
        draw.text((300, 30), "Nightly build 418 passed", "black", FONT)

    assert len(cut_picture(picture(columns)).lines) == 2


def test_a_window_border_parts_the_text_on_either_side() -> None:
    def windows(draw: ImageDraw.ImageDraw) -> None:
        draw.text((214, 60), "left", "black", FONT)
        draw.text((250, 60), "right", "black", FONT)
        if bordered:
            draw.line((246, 10, 246, 190), "black")

    bordered = False
    assert len(cut_picture(picture(windows)).lines) == 1
    bordered = True
    assert [box[0] < 246 for box in sorted(cut_picture(picture(windows)).lines)] == [True, False]


def test_a_framed_field_is_a_line_once_its_block_is_cut_finer() -> None:
    def field(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle((40, 40, 240, 72), outline="black")
        draw.text((52, 46), "WH-3-004", "black", FONT)

    pixels = picture(field)
    (block,) = cut_picture(pixels).blocks
    left, top, right, bottom = block
    finer = cut_picture(np.ascontiguousarray(pixels[top:bottom, left:right]), RULING_IN_BLOCK)
    assert len(finer.lines) == 1


def test_noise_is_one_block_for_the_detector() -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    assert cut_picture(pixels).lines == []
    assert cut_picture(pixels).blocks == [(0, 0, 160, 120)]


def test_text_on_a_pattern_is_left_to_the_detector() -> None:
    pixels = picture(two_lines)
    pixels[20:60] = np.minimum(pixels[20:60], np.random.default_rng(3).integers(180, 255, (40, 600, 3), np.uint8))
    cut = cut_picture(pixels)
    assert len(cut.lines) == 1
    assert any(block[1] <= 30 <= block[3] for block in cut.blocks)


def test_nothing_stands_on_an_empty_screen_or_a_single_pixel() -> None:
    assert cut_picture(picture(lambda _: None)).lines == []
    assert cut_picture(np.zeros((1, 1, 3), np.uint8)).blocks == []


def test_no_line_lies_in_a_block_and_all_boxes_lie_in_the_picture() -> None:
    generator = np.random.default_rng(11)
    for size in ((1, 300), (300, 1), (90, 333)):
        small = generator.integers(0, 2, (size[0] // 7 + 1, size[1] // 7 + 1, 3), dtype=np.uint8) * 255
        pixels = np.asarray(cv2.resize(small, size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        cut = cut_picture(pixels)
        for left, top, right, bottom in cut.lines + cut.blocks:
            assert 0 <= left < right <= size[1]
            assert 0 <= top < bottom <= size[0]
        for line in cut.lines:
            assert not any(
                b[0] <= line[0] and b[1] <= line[1] and line[2] <= b[2] and line[3] <= b[3] for b in cut.blocks
            )
