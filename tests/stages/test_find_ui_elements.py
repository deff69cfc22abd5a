"""Elements of keyframes: by the accessibility snapshot, else a VLM's alone, else what the picture shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from pipeline.stages.find_ui_elements import FRAME_COLUMNS, RECORD_COLUMNS, find_ui_elements
from pipeline.stages.plain_boxes import Pixels
from schemas.arrow import table_schema

FRAME = "r/evidence.capture.frame/1"
SNAPSHOT = "r/evidence.uia.snapshot/1"


def frames(**changes: Any) -> pa.Table:
    row = {
        "frame_id": FRAME, "run_id": "r", "ts_utc": datetime(2026, 3, 1, tzinfo=UTC), "width": 400, "height": 300,
        "content_hash": "a" * 64, "blob_path": "media/x", "window_hwnd": 7, "uia_record_id": None,
        "uia_content_hash": None,
    } | changes  # fmt: skip
    return pa.Table.from_pylist([row], schema=pa.schema([table_schema("frames").field(n) for n in FRAME_COLUMNS]))


def records(*texts: tuple[str, list[int]]) -> pa.Table:
    lines = [{"text": text, "bbox": box, "score": 9000} for text, box in texts]
    row = {"record_id": "r/rec/1", "sample_id": FRAME, "row_hash": "b" * 64,
           "output_json": orjson.dumps({"lines": lines}).decode()}  # fmt: skip
    schema = pa.schema([table_schema("records").field(name) for name in RECORD_COLUMNS])
    return pa.Table.from_pylist([row], schema=schema)


def snapshot(**changes: Any) -> dict[str, str]:
    node = {"eid": "1", "role": "Button", "name": "Save", "aid": "", "class": "", "rect": [380, 10, 460, 40],
            "enabled": True, "offscreen": False}  # fmt: skip
    link = node | {"eid": "2", "role": "Hyperlink", "name": "Inbox", "rect": [0, 50, 90, 70], "enabled": False}
    hidden = node | {"eid": "3", "offscreen": True}
    record = {
        "schema_version": 1, "record_type": "evidence.uia.snapshot", "run_id": "r", "ts_utc": "2026-03-01T00:00:00Z",
        "content_hash": "c" * 64, "hwnd": 7, "focus_path": [node], "operables": [node, link, hidden],
    } | changes  # fmt: skip
    return {SNAPSHOT: orjson.dumps(record).decode()}


def picture(_: Any) -> Pixels:
    pixels = np.full((300, 400), 240, np.uint8)
    pixels[100:130, 110:190] = 60
    pixels[106:124, 130:170:3] = 250
    return pixels


SEEN = ("Send", [130, 106, 170, 124])


def found(table: pa.Table) -> list[tuple[Any, ...]]:
    names = ("source", "role", "label", "state", "left", "top", "right", "bottom", "confidence")
    return [tuple(row[name] for name in names) for row in table.to_pylist()]


def test_a_snapshot_gives_its_operables_on_the_screen_clipped_to_the_frame() -> None:
    table = find_ui_elements(frames(uia_record_id=SNAPSHOT), frozenset(), records(SEEN), snapshot(), picture)
    assert found(table) == [
        ("uia", "button", "Save", "focused", 380, 10, 400, 40, None),
        ("uia", "link", "Inbox", "disabled", 0, 50, 90, 70, None),
    ]
    assert {row["record_id"] for row in table.to_pylist()} == {SNAPSHOT}


@pytest.mark.parametrize(
    ("frame", "changes"),
    [
        ({"uia_content_hash": "d" * 64}, {}),
        ({"window_hwnd": 8}, {}),
        ({}, {"operables": []}),
        ({}, {"operables": "none"}),
    ],
)
def test_where_the_snapshot_does_not_count_the_picture_is_looked_at(
    frame: dict[str, Any], changes: dict[str, Any]
) -> None:
    told = frames(uia_record_id=SNAPSHOT, **frame)
    table = find_ui_elements(told, frozenset(), records(SEEN), snapshot(**changes), picture)
    assert found(table) == [("layout", "button", "Send", "normal", 110, 100, 190, 130, 10_000)]
    [row] = table.to_pylist()
    assert (row["record_id"], row["row_hash"], row["model_id"]) == ("r/rec/1", "b" * 64, "layout")


def form(_: Any) -> Pixels:
    pixels = picture(None)
    pixels[199:232, 109:301] = 90
    pixels[200:231, 110:300] = 250
    pixels[209:221, 121:157:3] = 0
    return pixels


def test_inputs_come_after_buttons_under_the_name_of_their_label_which_is_one_too() -> None:
    seen = records(SEEN, ("Subject", [112, 180, 160, 192]), ("Dock 3", [120, 209, 158, 221]))
    assert found(find_ui_elements(frames(), frozenset(), seen, {}, form)) == [
        ("layout", "button", "Send", "normal", 110, 100, 190, 130, 10_000),
        ("layout", "input", "Subject", "normal", 110, 200, 300, 231, 10_000),
        ("layout", "label", "Subject", "normal", 112, 180, 160, 192, 10_000),
    ]


def test_what_a_vlm_described_is_not_looked_at_again() -> None:
    table = find_ui_elements(frames(), frozenset({FRAME}), records(SEEN), {}, picture)
    assert table.num_rows == 0


def test_a_frame_that_was_not_read_or_whose_picture_cannot_be_used_gives_nothing() -> None:
    def unused(_: Any) -> Pixels:
        raise AssertionError("nothing to look at")

    empty = records().slice(0, 0)
    assert find_ui_elements(frames(), frozenset(), empty, {}, unused).num_rows == 0
    assert find_ui_elements(frames(), frozenset(), records(), {}, unused).num_rows == 0
    assert find_ui_elements(frames(), frozenset(), records(SEEN), {}, lambda _: None).num_rows == 0


def test_equal_inputs_give_equal_rows() -> None:
    one, two = (find_ui_elements(frames(), frozenset(), records(SEEN), {}, picture) for _ in range(2))
    assert one.equals(two)
