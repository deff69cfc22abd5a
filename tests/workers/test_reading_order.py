from itertools import permutations

from schemas.serving import TextLine
from workers.reading_order import Box, reading_order


def line(text: str, *bbox: int) -> TextLine:
    left, top, right, bottom = bbox
    return TextLine(text=text, bbox=(left, top, right, bottom), score=9_000)


def texts(lines: list[TextLine]) -> list[str]:
    return [item.text for item in lines]


def test_a_row_reads_from_left_to_right_though_its_right_line_stands_higher() -> None:
    assert texts(reading_order([line("right", 200, 8, 300, 28), line("left", 0, 10, 100, 30)])) == ["left", "right"]


def test_lines_that_share_less_than_half_their_height_are_two_rows() -> None:
    assert texts(reading_order([line("lower", 0, 11, 50, 31), line("upper", 90, 0, 120, 20)])) == ["upper", "lower"]


def test_a_staircase_does_not_become_one_row() -> None:
    stairs = [line("c", 0, 16, 50, 36), line("b", 60, 8, 110, 28), line("a", 120, 0, 170, 20)]
    assert texts(reading_order(stairs)) == ["b", "a", "c"]


def test_the_order_does_not_depend_on_the_order_of_detection() -> None:
    lines = [
        line("one", 0, 0, 90, 20),
        line("two", 100, 2, 190, 22),
        line("three", 0, 30, 90, 50),
        line("same place", 0, 30, 90, 50),
    ]
    orders = {tuple(texts(reading_order(list(order)))) for order in permutations(lines)}
    assert orders == {("one", "two", "same place", "three")}


def test_boxes_are_kept() -> None:
    box: Box = (3, 4, 5, 6)
    assert reading_order([line("x", *box)])[0].bbox == box
