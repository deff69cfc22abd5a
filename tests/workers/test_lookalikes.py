import pytest

from workers.glyphs import Glyph
from workers.lookalikes import Letter, lookalikes, mend_letters

HEIGHTS = {"x": 7.0, "?": 8.0, "X": 9.0, "A": 11.0}
"""Rows over the baseline: small letters, capitals and digits, and `b`, `d`, `h`."""


def letters(text: str, **chances: float) -> list[Letter]:
    likely = {"1": 0.02} | chances
    return [
        Letter(mark, {other: likely.get(other, 0.9 if other == mark else 0.01) for other in lookalikes(mark)})
        for mark in text
    ]


def glyphs(heights: str, *, lean: float = 0.0, bottom: float = 20.0) -> list[Glyph | None]:
    """Glyphs 10 columns apart: x small, X capital, A tall, ? between small and capital, `.` not measured."""
    return [
        Glyph(10 * n, 10 * n + 6, bottom + lean * 10 * n - HEIGHTS[kind], bottom + lean * 10 * n)
        if kind in HEIGHTS
        else None
        for n, kind in enumerate(heights)
    ]


@pytest.mark.parametrize(
    ("text", "heights", "mended"),
    [
        ("JSoN", "XXXX", "JSON"),
        ("Read", "XxxA", "Read"),
        ("Nearest Cost", "Xxxxxxx.xxxx", "Nearest cost"),
        ("dev@wsl", "Axx.xxX", "dev@ws1"),
        ("shell 25", "xAxAA.XX", "shell 25"),
        ("Dad Age 2l", "XxA.Xxx.XX", "Dad Age 21"),
        ("meIt AB", "xxA..XX", "melt AB"),
        ("zoo ban", "xxx.Axx", "zoo ban"),
        ("zOO ban", "xxx.Axx", "zoo ban"),
        ("axe ao", "xxx.xX", "axe aO"),
        ("AsA", "XXX", "ASA"),
    ],
)
def test_a_letter_has_the_case_that_its_height_states(text: str, heights: str, mended: str) -> None:
    assert "".join(mend_letters(letters(text), glyphs(heights))) == mended


@pytest.mark.parametrize(
    ("text", "heights", "why"),
    [
        ("oo", "XX", "no sure letter beside it"),
        ("JSo", "XX.", "its own ink was not told apart"),
        ("Noa", "X?x", "half way between the two"),
        ("Age 2l", "Xxx.XX", "a capital's height, but perhaps d has the same here"),
        ("mil", "x.x", "an l no higher than an m is the stem of the i"),
        ("SOS p25", "XXX..XX", "as high as they should be"),
    ],
)
def test_a_letter_stays_when_its_height_is_not_plain(text: str, heights: str, why: str) -> None:
    assert "".join(mend_letters(letters(text), glyphs(heights))) == text, why


def test_letters_of_different_sizes_tell_nothing_about_each_other() -> None:
    third = Glyph(20, 26, 13.0, 20.0)
    one_size = [Glyph(0, 6, 11.0, 20.0), Glyph(10, 16, 11.0, 20.0), third]
    two_sizes = [Glyph(0, 6, 11.0, 20.0), Glyph(10, 16, 5.0, 20.0), third]
    assert "".join(mend_letters(letters("ANO"), one_size)) == "ANo"
    assert "".join(mend_letters(letters("ANO"), two_sizes)) == "ANO"


def test_a_leaning_line_is_set_level_first() -> None:
    text, heights = "Read JSoN and mend", "XxxA.XXXX.xxA.xxxA"
    assert "".join(mend_letters(letters(text), glyphs(heights, lean=0.02))) == "Read JSON and mend"
    assert "".join(mend_letters(letters(text), glyphs(heights, lean=0.2))) == text


def test_a_letter_that_hangs_below_the_line_stays() -> None:
    seen = glyphs("XXX")
    seen[1] = Glyph(10, 16, 11.0, 22.0)
    assert "".join(mend_letters(letters("NoN"), seen)) == "NoN"


def test_the_recognizer_must_have_thought_the_other_letter_possible() -> None:
    seen = glyphs("XXX")
    assert "".join(mend_letters(letters("AsB", S=0.001), seen)) == "ASB"
    assert "".join(mend_letters(letters("AsB", S=0.0), seen)) == "AsB"


def test_between_letters_of_one_height_the_likelier_is_taken() -> None:
    tall_and_capital = [*glyphs("AXX"), Glyph(30, 36, 11.0, 20.0)]
    assert "".join(mend_letters(letters("dA2l", I=0.2, **{"1": 0.1}), tall_and_capital)) == "dA2I"
    assert "".join(mend_letters(letters("dA2l", I=0.1, **{"1": 0.2}), tall_and_capital)) == "dA21"
    assert "".join(mend_letters(letters("dA2o", O=0.1, **{"0": 0.2}), tall_and_capital)) == "dA2O"
    assert "".join(mend_letters(letters("dA2o", O=0.01, **{"0": 0.2}), tall_and_capital)) == "dA20"


def test_letters_look_alike_both_ways() -> None:
    for mark in "csuvwxzoO0lI1":
        assert mark in lookalikes(mark)
        assert all(lookalikes(other) == lookalikes(mark) for other in lookalikes(mark))
    assert lookalikes("a") == ()
