import numpy as np
import pytest

from workers.glyphs import Glyph, Levels, measure_glyphs
from workers.missing_spaces import missing_spaces


def line(gap: int, *, ground_after: int = 255, border: int | None = None, mark: bool = False) -> Levels:
    """Two bars of ten rows, 12 columns wide in all, `gap` columns apart."""
    grey = np.full((20, 30 + gap), 255, dtype=np.int32)
    middle = 14 + gap // 2
    grey[:, middle:] = ground_after
    grey[5:15, 8:14] = 0
    grey[5:15, 14 + gap : 20 + gap] = 0
    if border is not None:
        grey[:, middle] = border
    if mark:
        grey[9, middle] = 0
    return grey


def found(grey: Levels, gap: int, marks: str = "3D") -> list[int]:
    glyphs = [Glyph(8, 14, 5.0, 15.0), Glyph(14 + gap, 20 + gap, 5.0, 15.0)]
    return missing_spaces(list(marks), glyphs, grey)


def rounded(glyphs: list[Glyph | None]) -> list[tuple[int, int, float, float] | None]:
    return [
        None if glyph is None else (glyph.left, glyph.right, round(glyph.top, 1), round(glyph.bottom, 1))
        for glyph in glyphs
    ]


@pytest.mark.parametrize(("gap", "places"), [(2, []), (6, []), (7, [1]), (12, [1])])
def test_a_wide_empty_gap_parts_words(gap: int, places: list[int]) -> None:
    assert found(line(gap), gap) == places


@pytest.mark.parametrize(("gap", "places"), [(2, []), (4, []), (5, [1])])
def test_half_a_gap_is_enough_where_the_ground_changes(gap: int, places: list[int]) -> None:
    assert found(line(gap, ground_after=238), gap) == places
    assert found(line(gap, border=90), gap) == places


def test_a_shade_is_not_another_ground() -> None:
    assert found(line(5, ground_after=248), 5) == []


def test_a_gap_with_something_small_in_it_is_not_empty() -> None:
    assert found(line(8, mark=True), 8) == []


def test_signs_are_not_parted_from_letters_by_a_gap_alone() -> None:
    assert found(line(8), 8, "'s") == []
    assert found(line(8, ground_after=238), 8, "9#") == [1]


def test_a_space_that_was_read_is_enough() -> None:
    glyphs = [Glyph(8, 14, 5.0, 15.0), None, Glyph(26, 32, 5.0, 15.0)]
    assert missing_spaces(["3", " ", "D"], glyphs, line(12)) == []


def test_ink_is_measured_where_the_letters_are() -> None:
    assert rounded(measure_glyphs(line(6), [11.0, 23.0])) == [(8, 14, 5, 15), (20, 26, 5, 15)]


def test_ink_that_two_letters_share_is_measured_for_neither() -> None:
    assert measure_glyphs(line(6), [9.0, 13.0]) == [None, None]
    assert rounded(measure_glyphs(line(6), [11.0])) == [(8, 14, 5, 15)]


def test_a_soft_edge_counts_by_how_dark_it_is() -> None:
    grey = line(6)
    grey[4, 8:14] = 204
    (glyph,) = measure_glyphs(grey, [11.0])
    assert glyph is not None
    assert glyph.top == pytest.approx(4.8, abs=0.03)


def test_an_empty_picture_and_no_letters_give_nothing() -> None:
    assert measure_glyphs(np.full((20, 40), 255, dtype=np.int32), [10.0]) == [None]
    assert measure_glyphs(line(6), []) == []
