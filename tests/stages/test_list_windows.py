"""Window changes as rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.stages.batch import Batch, SampleInput
from pipeline.stages.list_windows import list_windows

MOMENT = datetime(2026, 3, 1, 10, tzinfo=UTC)
WINDOW = {
    "title": "Cafe\u0301 - Editor",
    "process_path": "/usr/bin/Editor",
    "pid": 3,
    "hwnd": 9,
    "rect": [0, 0, 4, 5],
    "monitor": "\\\\.\\DISPLAY1",
}
RECORD = {
    "schema_version": 1,
    "record_type": "evidence.window.meta",
    "run_id": "r",
    "ts_utc": "2026-03-01T10:00:00Z",
    "window": WINDOW,
}


def batch(fields: dict[str, Any]) -> Batch:
    return list_windows([SampleInput("r/w/1", "r", MOMENT, json.dumps(fields))])


def test_a_window_is_one_row() -> None:
    assert batch(RECORD).rows.to_pylist() == [
        {
            "window_record_id": "r/w/1",
            "run_id": "r",
            "ts_utc": MOMENT,
            "app": "editor",
            "process_path": "/usr/bin/Editor",
            "title": "Caf\u00e9 - Editor",
            "pid": 3,
            "hwnd": 9,
            "left": 0,
            "top": 0,
            "right": 4,
            "bottom": 5,
            "monitor": "\\\\.\\DISPLAY1",
        }
    ]


def test_a_window_of_which_little_is_known_is_a_row_too() -> None:
    (row,) = batch({**RECORD, "window": {}}).rows.to_pylist()
    assert (row["title"], row["process_path"], row["app"], row["left"]) == ("", "", None, None)


@pytest.mark.parametrize("part", [{"pid": "x"}, {"rect": [0, 0, 4, 2**31]}, {"hwnd": 2**63}])
def test_a_damaged_part_of_a_window_leaves_its_title(part: dict[str, Any]) -> None:
    (row,) = batch({**RECORD, "window": {"title": "Notes", **part}}).rows.to_pylist()
    assert (row["title"], row["pid"], row["left"], row["hwnd"]) == ("Notes", None, None, None)


@pytest.mark.parametrize("window", [None, "Editor"])
def test_a_damaged_window_is_a_failure(window: Any) -> None:
    found = batch({**RECORD, "window": window})
    assert found.rows.num_rows == 0
    assert found.results[0].failure is not None
    assert found.results[0].failure.code == "row_incomplete"
