"""Two readings of one frame, place by place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.compare_lines import Place, compare_lines


def line(text: str, left: int, top: int = 0, width: int = 100, height: int = 20) -> dict[str, Any]:
    return {"text": text, "bbox": [left, top, left + width, top + height], "score": 9000}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([line("Save", 0)], [line("Save", 3)], [Place("same", (0, 0, 103, 20), "Save", "Save")]),
        ([line("Save", 0)], [line("5ave", 0)], [Place("text", (0, 0, 100, 20), "Save", "5ave")]),
        ([line("Save as", 0)], [line("Saveas", 0)], [Place("spaces", (0, 0, 100, 20), "Save as", "Saveas")]),
        (
            [line("File Edit", 0)],
            [line("File", 0, width=45), line("Edit", 50, width=50)],
            [Place("cut", (0, 0, 100, 20), "File Edit", "File Edit")],
        ),
        (
            [line("Yes", 0)],
            [line("No", 0, top=40)],
            [Place("only_a", (0, 0, 100, 20), "Yes", ""), Place("only_b", (0, 40, 100, 60), "", "No")],
        ),
        ([line("one", 0)], [line("one", 60)], [Place("only_a", (0, 0, 100, 20), "one", ""),
                                               Place("only_b", (60, 0, 160, 20), "", "one")]),
        ([], [], []),
    ],
)  # fmt: skip
def test_readings_stand_to_each_other(a: list[Any], b: list[Any], expected: list[Place]) -> None:
    assert compare_lines(a, b) == expected


LINES = st.lists(
    st.builds(
        line, st.sampled_from(["x", "y", "x y"]), st.integers(0, 60), st.integers(0, 60), st.integers(1, 50),
        st.integers(1, 30),
    ),
    max_size=8,
)  # fmt: skip


@given(LINES, LINES, st.randoms())
def test_the_order_of_lines_does_not_matter_and_no_line_is_lost(a: list[Any], b: list[Any], chance: Any) -> None:
    places = compare_lines(a, b)
    assert sum(len(place.text_a.split()) for place in places) == sum(len(item["text"].split()) for item in a)
    assert sum(len(place.text_b.split()) for place in places) == sum(len(item["text"].split()) for item in b)
    swapped = compare_lines(b, a)
    assert [(p.box, p.text_a, p.text_b) for p in swapped] == sorted(
        ((p.box, p.text_b, p.text_a) for p in places), key=lambda p: (p[0][1], p[0][0], p[0], p[1], p[2])
    )
    assert sorted(map(repr, compare_lines(list(reversed(a)), b))) == sorted(map(repr, places))


@given(LINES)
def test_a_reading_agrees_with_itself(a: list[Any]) -> None:
    assert {place.kind for place in compare_lines(a, a)} <= {"same", "cut"}
