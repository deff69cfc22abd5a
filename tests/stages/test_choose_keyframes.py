"""Keyframes: frames that show something new, a bounded number an hour, the same whatever came when."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.choose_keyframes import FRAME_COLUMNS, choose_keyframes
from schemas.arrow import table_schema
from schemas.facts import frame_of_keyframe, keyframe_id

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
SCHEMA = pa.schema([table_schema("frames").field(name) for name in FRAME_COLUMNS])


def frame(second: int, picture: int | str = "", window: str = "Editor") -> dict[str, Any]:
    return {
        "frame_id": f"run/frame/{second:05d}",
        "run_id": "run",
        "ts_utc": START + timedelta(seconds=second),
        "content_hash": f"{picture or second}".rjust(64, "0"),
        "app": window.lower(),
        "window_hwnd": 7,
        "window_title": window,
    }


def choose(frames: list[dict[str, Any]], lines: dict[int, int] | None = None, per_hour: int = 60) -> pa.Table:
    """Choose; `lines` says how many lines appear at a second."""
    appeared = [f"run/frame/{second:05d}" for second, count in (lines or {}).items() for _ in range(count)]
    tracks = pa.table({"first_frame_id": pa.array(appeared, pa.string())})
    return choose_keyframes(pa.Table.from_pylist(frames, schema=SCHEMA), tracks, per_hour)


def seconds(chosen: pa.Table) -> list[int]:
    return [int(name.rpartition("/")[2]) for name in chosen["frame_id"].to_pylist()]


def test_another_window_and_new_lines_are_chosen_and_equal_pictures_are_not() -> None:
    frames = [frame(0), frame(10, 1), frame(20, 1), frame(30, 1, "Mail"), frame(40, 2, "Mail"), frame(50, 3, "Mail")]
    chosen = choose(frames, {0: 9, 40: 5, 50: 1})
    assert seconds(chosen) == [0, 30, 40]
    assert chosen["reason"].to_pylist() == ["window", "window", "lines"]
    assert chosen["new_lines"].to_pylist() == [9, 0, 5]


def test_few_new_lines_add_up_until_they_count() -> None:
    frames = [frame(number, number + 1) for number in range(10)]
    assert seconds(choose(frames, dict.fromkeys(range(1, 10), 1))) == [0, 4, 8]


def test_a_ticking_clock_costs_one_picture_in_five_minutes() -> None:
    frames = [frame(60 * number, number + 1) for number in range(20)]
    chosen = choose(frames)
    assert seconds(chosen) == [0, 300, 600, 900]
    assert chosen["reason"].to_pylist() == ["window", "picture", "picture", "picture"]


def test_a_screen_that_stands_still_costs_nothing() -> None:
    assert seconds(choose([frame(60 * number, 1) for number in range(60)])) == [0]


def test_a_picture_is_chosen_once_a_day() -> None:
    frames = [frame(0, 1), frame(10, 2, "Mail"), frame(20, 1), frame(30, 3)]
    assert seconds(choose(frames, {30: 9})) == [0, 10, 30]


def test_an_hour_takes_no_more_than_its_budget_and_a_slot_may_use_what_was_left() -> None:
    windows = [frame(number, number + 1, f"Window {number}") for number in range(0, 3600, 5)]
    chosen = seconds(choose(windows, per_hour=24))
    assert len(chosen) == 24
    assert [sum(300 * slot <= second < 300 * (slot + 1) for second in chosen) for slot in range(12)] == [2] * 12
    late = [frame(number, number + 1, f"Window {number}") for number in range(3300, 3600, 5)]
    assert len(seconds(choose(late, per_hour=24))) == 24


def test_what_shows_most_goes_first() -> None:
    frames = [frame(number, number + 1) for number in range(5)] + [frame(6, 99, "Mail")]
    assert seconds(choose(frames, {1: 4, 2: 30, 3: 10, 4: 5}, per_hour=36)) == [0, 2, 6]


def test_frames_that_come_later_leave_earlier_slots_as_they_are() -> None:
    frames = [frame(number, number + 1, f"Window {number % 7}") for number in range(0, 3600, 11)]
    whole = seconds(choose(frames, per_hour=30))
    for until in (300, 1500, 2700):
        part = seconds(
            choose([item for item in frames if item["ts_utc"] < START + timedelta(seconds=until)], per_hour=30)
        )
        assert part == [second for second in whole if second < until]


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 5), st.sampled_from("ABC")), max_size=60), st.randoms())
def test_the_order_of_arrival_does_not_show(shown: list[tuple[int, int, str]], order: random.Random) -> None:
    frames = [frame(second, picture, window) for second, picture, window in {item[0]: item for item in shown}.values()]
    lines = {second: picture for second, picture, _ in shown}
    expected = choose(frames, lines, per_hour=12)
    order.shuffle(frames)
    assert choose(frames, lines, per_hour=12).equals(expected)
    by_hour = [second // 3600 for second in seconds(expected)]
    assert all(by_hour.count(hour) <= 12 for hour in set(by_hour))


def test_a_keyframe_is_named_after_its_frame() -> None:
    frame_id = "run=1/evidence.capture.frame/derived.keyframe/7"
    assert frame_of_keyframe("run=1", keyframe_id("run=1", frame_id)) == frame_id
    assert keyframe_id("run=1", frame_id).startswith("run=1/derived.keyframe/")


def test_no_frames_give_no_keyframes() -> None:
    assert choose([]).num_rows == 0
