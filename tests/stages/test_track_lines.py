"""Lines of text over following frames."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stages.track_lines import track_lines
from schemas.arrow import table_schema

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
RECORDS = table_schema("records")
FRAMES = table_schema("frames")

Line = tuple[str, tuple[int, int, int, int]]
SAVE: Line = ("Save", (100, 100, 200, 120))


def record(number: int, *lines: Line, second: float | None = None) -> dict[str, Any]:
    content = {"lines": [{"text": text, "bbox": box, "score": 9000 + n} for n, (text, box) in enumerate(lines)]}
    return {
        "record_id": f"r/o/{number}",
        "run_id": "r",
        "ts_utc": START + timedelta(seconds=number if second is None else second),
        "sample_id": f"r/f/{number}",
        "model_id": "m",
        "model_digest": "0" * 64,
        "output_json": orjson.dumps(content).decode(),
    }


def frame(number: int, **fields: Any) -> dict[str, Any]:
    empty = dict.fromkeys(FRAMES.names)
    return {**empty, "frame_id": f"r/f/{number}", **fields}


def loose(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    """A table whose absent columns are null: a stage gets only those that it reads."""
    return pa.Table.from_pylist(rows, schema=pa.schema([item.with_nullable(True) for item in schema]))


def tracks(*records: dict[str, Any], frames: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    found = track_lines(loose(FRAMES, frames or []), loose(RECORDS, list(records)))
    assert found.schema == table_schema("line_tracks")
    return sorted(found.to_pylist(), key=lambda row: (row["first_seen_utc"], row["first_line"]))


def spans(*records: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    return [(row["text"], row["first_frame_id"], row["last_frame_id"], row["frame_count"]) for row in tracks(*records)]


def test_a_line_that_stays_is_one_track() -> None:
    assert spans(record(1, SAVE), record(2, SAVE), record(3, SAVE)) == [("Save", "r/f/1", "r/f/3", 3)]


def test_the_picture_of_the_docstring() -> None:
    assert spans(record(1, SAVE), record(2, SAVE), record(3), record(4, SAVE)) == [
        ("Save", "r/f/1", "r/f/2", 2),
        ("Save", "r/f/4", "r/f/4", 1),
    ]


def test_a_track_cites_its_first_and_last_line() -> None:
    other = ("File", (0, 0, 50, 20))
    (save,) = [row for row in tracks(record(1, other, SAVE), record(2, SAVE)) if row["text"] == "Save"]
    assert save == {
        "track_id": save["track_id"],
        "run_id": "r",
        "text": "Save",
        "first_seen_utc": START + timedelta(seconds=1),
        "last_seen_utc": START + timedelta(seconds=2),
        "first_frame_id": "r/f/1",
        "last_frame_id": "r/f/2",
        "frame_count": 2,
        "left": 100,
        "top": 100,
        "right": 200,
        "bottom": 120,
        "score": 9001,
        "first_record_id": "r/o/1",
        "first_line": 1,
        "last_record_id": "r/o/2",
        "last_line": 0,
        "model_id": "m",
        "model_digest": "0" * 64,
        "app": None,
        "window_title": None,
        "window_hwnd": None,
        "in_active_window": None,
    }


@pytest.mark.parametrize(
    ("moved", "count"),
    [
        ((101, 101, 201, 121), 1),
        ((133, 100, 233, 120), 1),
        ((134, 100, 234, 120), 2),
        ((100, 106, 200, 126), 1),
        ((100, 107, 200, 127), 2),
        ((100, 120, 200, 140), 2),
        ((100, 100, 150, 120), 1),
        ((100, 100, 149, 120), 2),
    ],
)
def test_boxes_that_share_half_of_their_union_are_the_same_line(moved: tuple[int, int, int, int], count: int) -> None:
    assert len(tracks(record(1, SAVE), record(2, ("Save", moved)))) == count


def test_jitter_is_followed_from_frame_to_frame() -> None:
    steps = [record(n, ("Save", (100 + 20 * n, 100, 200 + 20 * n, 120))) for n in range(10)]
    assert spans(*steps) == [("Save", "r/f/0", "r/f/9", 10)]


def test_another_text_in_the_same_place_is_another_track() -> None:
    assert len(tracks(record(1, SAVE), record(2, ("Saved", SAVE[1])))) == 2


def test_two_equal_texts_side_by_side_are_two_tracks() -> None:
    left, right = ("OK", (0, 0, 40, 20)), ("OK", (50, 0, 90, 20))
    found = tracks(record(1, left, right), record(2, right, left))
    assert [(row["left"], row["frame_count"]) for row in found] == [(0, 2), (50, 2)]
    assert [row["last_line"] for row in found] == [1, 0]


def test_of_two_equal_texts_on_top_of_each_other_each_goes_on_one_track() -> None:
    found = tracks(record(1, SAVE, SAVE), record(2, SAVE, SAVE), record(3, SAVE))
    assert [row["frame_count"] for row in found] == [3, 2]


def test_a_third_equal_text_begins_a_track() -> None:
    assert sorted(row["frame_count"] for row in tracks(record(1, SAVE), record(2, SAVE, SAVE))) == [1, 2]


def test_a_frame_without_a_record_is_passed_over() -> None:
    frames = [frame(1), frame(2), frame(3)]
    (row,) = tracks(record(1, SAVE), record(3, SAVE), frames=frames)
    assert (row["first_frame_id"], row["last_frame_id"], row["frame_count"]) == ("r/f/1", "r/f/3", 2)


def test_frames_of_the_same_moment_follow_by_their_id() -> None:
    assert spans(record(1, SAVE, second=5), record(2, SAVE, second=5)) == [("Save", "r/f/1", "r/f/2", 2)]


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        ((90, 90, 300, 300), True),
        ((150, 110, 151, 111), True),
        ((0, 0, 150, 300), False),
        ((-50, -50, 10, 10), False),
        ((None, None, None, None), None),
    ],
)
def test_a_track_says_whether_its_middle_was_in_the_active_window(
    window: tuple[int | None, ...], inside: bool | None
) -> None:
    sides = dict(zip(("window_left", "window_top", "window_right", "window_bottom"), window, strict=True))
    (row,) = tracks(record(1, SAVE), frames=[frame(1, app="editor", window_title="T", window_hwnd=2**40, **sides)])
    assert (row["app"], row["window_title"], row["window_hwnd"]) == ("editor", "T", 2**40)
    assert row["in_active_window"] is inside


def test_nothing_read_gives_no_tracks() -> None:
    assert tracks() == []
    assert tracks(record(1), record(2)) == []


BOXES = st.tuples(st.integers(0, 4), st.integers(0, 2)).map(lambda p: (10 * p[0], 10 * p[1], 10 * p[0] + 30, 40))
LINES = st.lists(st.tuples(st.sampled_from(["a", "b"]), BOXES), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=6), st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_the_order_or_the_parts_of_the_input(
    days: list[list[Line]], shuffled: random.Random
) -> None:
    records = [record(number, *lines) for number, lines in enumerate(days)]
    frames = [frame(number, app=f"app{number}") for number in range(len(days))]
    whole = track_lines(loose(FRAMES, frames), loose(RECORDS, records))
    shuffled.shuffle(records)
    shuffled.shuffle(frames)
    cut = shuffled.randint(0, len(records))
    parts = pa.concat_tables([loose(RECORDS, records[:cut]), loose(RECORDS, records[cut:])])
    again = track_lines(loose(FRAMES, frames), parts)
    by_id = [("track_id", "ascending")]
    assert again.sort_by(by_id).equals(whole.sort_by(by_id))
    assert len(set(whole["track_id"].to_pylist())) == whole.num_rows
    assert sum(whole["frame_count"].to_pylist()) == sum(len(lines) for lines in days)
