"""Mouse events as input summaries."""

from __future__ import annotations

from typing import Any

from chronicle_builder import START_NS, mouse

from pipeline.ingest.chronicle_input import summarize_input
from schemas import chronicle_pb2 as pb

T0 = START_NS // 1000


def summaries(*events: tuple[float, pb.InputEvent]) -> list[dict[str, Any]]:
    """Summaries of events, given with their second."""
    timed = [(T0 + round(second * 1_000_000), event) for second, event in events]
    return [fields for _, fields in summarize_input(timed)]


def kinds(summary: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in summary["events"]]


def test_no_events_are_no_summary() -> None:
    assert summaries() == []


def test_a_minute_of_utc_is_a_summary() -> None:
    found = summaries((0, mouse(0)), (59.9, mouse(0)), (60, mouse(0)), (180, mouse(0)))
    assert [(item["start_ts_utc"][11:], item["end_ts_utc"][11:], item["event_count"]) for item in found] == [
        ("10:00:00.000000Z", "10:00:59.900000Z", 2),
        ("10:01:00.000000Z", "10:01:00.000000Z", 1),
        ("10:03:00.000000Z", "10:03:00.000000Z", 1),
    ]


def test_moves_are_kept_once_a_tenth_of_a_second_and_all_are_counted() -> None:
    (found,) = summaries(*((index / 100, mouse(0, x=index)) for index in range(100)))
    assert found["event_count"] == 100
    assert [event["x"] for event in found["events"]] == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]


def test_a_click_is_a_button_that_was_up_before() -> None:
    (found,) = summaries(
        (1, mouse(0, buttons=1)),
        (1.01, mouse(0, buttons=1)),
        (1.02, mouse(0, buttons=3)),
        (1.2, mouse(0)),
        (1.3, mouse(0, buttons=4 | 8 | 16 | 32)),
    )
    pressed = [event["button"] for event in found["events"] if event["kind"] == "click"]
    assert pressed == ["left", "right", "middle", "x1", "x2", "button_6"]


def test_buttons_of_two_mice_are_told_apart() -> None:
    other = mouse(0, buttons=1)
    other.device_id = "n"
    (found,) = summaries((1, mouse(0, buttons=1)), (2, other), (3, mouse(0, buttons=1)))
    assert kinds(found) == ["click", "click", "move"]


def test_events_within_a_summary_are_in_the_order_of_time() -> None:
    (found,) = summaries((2, mouse(0, wheel_delta=1)), (1, mouse(0, buttons=1)))
    assert kinds(found) == ["click", "scroll"]
    assert found["start_ts_utc"] == "2026-03-01T10:00:01.000000Z"


def test_control_events_are_named_and_others_are_counted() -> None:
    control = pb.InputEvent(type=pb.CONTROL, control=pb.ControlEvent(action="bookmark", payload_json='{"a": 1.5}'))
    hid = pb.InputEvent(type=pb.GENERIC_HID, generic_hid=pb.GenericHidEvent(payload=b"secret"))
    (found,) = summaries((1, control), (2, hid), (3, pb.InputEvent()))
    assert found["event_count"] == 3
    assert [{**event, "t_utc": ""} for event in found["events"]] == [
        {"t_utc": "", "kind": "control", "action": "bookmark"}
    ]


def test_a_summary_never_gets_too_large_for_a_row() -> None:
    clicks = [(1.0, mouse(0, wheel_delta=1))] * 5_001
    assert [found["event_count"] for found in summaries(*clicks)] == [5_000, 1]
    long = pb.InputEvent(control=pb.ControlEvent(action="x" * 600_000))
    assert [found["event_count"] for found in summaries(*[(1.0, long)] * 5)] == [2, 2, 1]


def test_mice_without_end_do_not_fill_the_memory() -> None:
    def event(index: int) -> pb.InputEvent:
        made = mouse(0, buttons=1)
        made.device_id = str(index)
        return made

    (found,) = summaries(*((1, event(index)) for index in range(3_000)))
    assert found["event_count"] == 3_000
