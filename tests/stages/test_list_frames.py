"""Frames as rows: damaged optional fields are let go, a missing required one is a failure `[meta-3]`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.stages.batch import SampleInput
from pipeline.stages.list_frames import list_frames

FRAME: dict[str, Any] = {
    "schema_version": 1,
    "record_type": "evidence.capture.frame",
    "run_id": "r",
    "ts_utc": "2026-03-01T10:00:00Z",
    "width": 1600,
    "height": 900,
    "content_hash": "a" * 64,
    "content_size": 5,
    "content_type": "image/png",
    "cursor": {"x": 7, "y": -3, "visible": False},
    "uia_ref": {"record_id": "r/u/1", "content_hash": "b" * 64},
    "input_ref": {"record_id": "r/i/1", "idle_seconds": 1.2345, "event_count": 2},
    "window_ref": {
        "record_id": "r/w/1",
        "window": {
            "title": "Cafe\u0301",
            "process_path": "C:\\a\\Chromium.exe",
            "pid": 4,
            "hwnd": 2**40,
            "rect": [-8, 0, 10, 20],
        },
    },
}


def sample(fields: dict[str, Any], moment: datetime = datetime(2026, 3, 1, 10, tzinfo=UTC)) -> SampleInput:
    return SampleInput("r/f/1", "r", moment, json.dumps(fields))


def row(**changes: Any) -> dict[str, Any]:
    batch = list_frames([sample({**FRAME, **changes})])
    assert batch.results[0].failure is None
    (found,) = batch.rows.to_pylist()
    assert isinstance(found, dict)
    return found


def test_a_frame_has_its_window_cursor_and_references() -> None:
    assert row() == {
        "frame_id": "r/f/1",
        "run_id": "r",
        "ts_utc": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "width": 1600,
        "height": 900,
        "content_hash": "a" * 64,
        "content_size": 5,
        "content_type": "image/png",
        "blob_path": "media/rid_cg/evidence/2026/03/01/rid_ci9mLzE.blob",
        "window_record_id": "r/w/1",
        "app": "chromium",
        "process_path": "C:\\a\\Chromium.exe",
        "window_title": "Caf\u00e9",
        "window_pid": 4,
        "window_hwnd": 2**40,
        "window_left": -8,
        "window_top": 0,
        "window_right": 10,
        "window_bottom": 20,
        "uia_record_id": "r/u/1",
        "uia_content_hash": "b" * 64,
        "input_record_id": "r/i/1",
        "idle_ms": 1234,
        "cursor_x": 7,
        "cursor_y": -3,
        "cursor_visible": False,
    }


@pytest.mark.parametrize(
    ("field", "value", "lost"),
    [
        ("cursor", {"x": 2**31, "y": 0}, "cursor_x"),
        ("cursor", "here", "cursor_x"),
        ("cursor", {"x": 1.5, "y": 0}, "cursor_x"),
        ("window_ref", {"record_id": "r/w/1", "window": {"rect": [1, 2, 3]}}, "window_left"),
        ("window_ref", {"record_id": "r/w/1", "window": {"pid": 2**63}}, "window_pid"),
        ("window_ref", {"window": {"title": "no record"}}, "window_title"),
        ("window_ref", [], "window_record_id"),
        ("input_ref", {"record_id": "r/i/1", "idle_seconds": -1}, "idle_ms"),
        ("input_ref", {"record_id": "r/i/1", "idle_seconds": 1e300}, "idle_ms"),
        ("input_ref", {"record_id": "r/i/1", "idle_seconds": True}, "idle_ms"),
        ("uia_ref", {"record_id": 7}, "uia_record_id"),
        ("content_size", 10**40, "content_size"),
        ("content_size", "5", "content_size"),
        ("content_type", 5, "content_type"),
        ("payload_hash", "no hash", None),
    ],
)
def test_a_damaged_optional_field_costs_only_itself(field: str, value: Any, lost: str | None) -> None:
    found = row(**{field: value})
    assert found["width"] == 1600
    assert lost is None or found[lost] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", -1),
        ("width", 10**40),
        ("width", "1600"),
        ("height", 70_000),
        ("height", None),
        ("content_hash", "A" * 64),
        ("content_hash", "a" * 63),
        ("schema_version", 2),
        ("record_type", "evidence.window.meta"),
        ("run_id", ""),
        ("ts_utc", 5),
    ],
)
def test_a_missing_or_damaged_required_field_is_a_failure_that_names_it(field: str, value: Any) -> None:
    for fields in ({**FRAME, field: value}, {name: item for name, item in FRAME.items() if name != field}):
        batch = list_frames([sample(fields)])
        failure = batch.results[0].failure
        assert batch.rows.num_rows == 0
        assert failure is not None
        assert (failure.code, failure.retryable) == ("row_incomplete", False)
        assert field in failure.message


def test_one_bad_frame_does_not_fail_the_others() -> None:
    good = sample(FRAME)
    bad = SampleInput("r/f/2", "r", good.ts_utc, "{}")
    batch = list_frames([bad, good])
    assert [(result.sample_id, result.failure is None) for result in batch.results] == [
        ("r/f/2", False),
        ("r/f/1", True),
    ]
    assert batch.rows["frame_id"].to_pylist() == ["r/f/1"]


@pytest.mark.parametrize("year", [1, 9999])
def test_the_first_and_the_last_year_are_kept(year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    batch = list_frames([sample(FRAME, moment)])
    assert batch.rows["ts_utc"].to_pylist() == [moment]
    assert f"/{year:04d}/12/31/" in batch.rows["blob_path"][0].as_py()


def test_no_frames_give_an_empty_table() -> None:
    assert list_frames([]).rows.num_rows == 0
