"""Page visits out of address bars, titles and keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from screen_memory import utc

from pipeline.stages.batch import SampleInput
from pipeline.stages.visit_urls import visit_urls
from schemas.arrow import table_schema

FRAMES = table_schema("frames")
HASH = "c" * 64
BROWSER, OTHER, TERMINAL = 11, 12, 13

Key = tuple[float, str]


def bar(url: str, **fields: Any) -> dict[str, Any]:
    node = {"role": "Edit", "name": "Address", "aid": "omnibox", "class": "", "rect": [50, 10, 400, 30], "value": url}
    return {**node, **fields}


def snapshot(*operables: dict[str, Any], focus: Sequence[dict[str, Any]] = (), **fields: Any) -> str:
    record = {
        "schema_version": 1,
        "record_type": "evidence.uia.snapshot",
        "run_id": "r",
        "ts_utc": "2026-03-01T10:00:00Z",
        "hwnd": BROWSER,
        "content_hash": HASH,
        "operables": list(operables),
        "focus_path": list(focus),
    }
    return json.dumps({**record, **fields})


def frame(number: int, second: float, **fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(FRAMES.names)
    return {
        **row,
        "frame_id": f"r/f/{number}",
        "run_id": "r",
        "ts_utc": utc("10:00") + timedelta(seconds=second),
        "width": 640,
        "height": 480,
        "app": "chromium",
        "window_hwnd": BROWSER,
        "uia_record_id": f"r/u/{number}",
        "uia_content_hash": HASH,
        **fields,
    }


def keys(*pressed: Key) -> list[SampleInput]:
    start = utc("10:00")
    events = [
        {
            "t_utc": (start + timedelta(seconds=second)).isoformat(),
            "kind": "shortcut" if "+" in key else "key",
            "key": key,
        }
        for second, key in pressed
    ]
    record = {"schema_version": 1, "record_type": "derived.input.summary", "run_id": "r", "events": events}
    return [SampleInput("r/i/1", "r", start, json.dumps(record))]


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([item.with_nullable(True) for item in schema]))


def visits(
    frames: list[dict[str, Any]],
    snapshots: Mapping[str, str],
    inputs: Sequence[SampleInput] = (),
    active: Sequence[tuple[float, int]] = ((0, BROWSER),),
) -> list[dict[str, Any]]:
    windows = [{"ts_utc": utc("10:00") + timedelta(seconds=second), "hwnd": hwnd} for second, hwnd in active]
    found = visit_urls(table(frames, FRAMES), table(windows, table_schema("windows")), snapshots, inputs)
    assert found.schema == table_schema("url_visits")
    return list(found.to_pylist())


def seen(*urls: str | None, pressed: Sequence[Key] = (), **more: Any) -> list[tuple[str, int]]:
    """Visits of frames at seconds 10, 20, 30 …, each with the address that its snapshot shows."""
    frames = [frame(n, 10 * n) for n, _ in enumerate(urls, start=1)]
    shown = {f"r/u/{n}": snapshot(bar(url)) for n, url in enumerate(urls, start=1) if url is not None}
    return [(row["url"], row["frame_count"]) for row in visits(frames, shown, keys(*pressed), **more)]


def test_frames_with_the_same_address_are_one_visit() -> None:
    assert seen("a.example/x", "a.example/x", "a.example/x") == [("a.example/x", 3)]


def test_a_visit_cites_the_snapshot_and_the_box_of_the_address_bar() -> None:
    frames = [frame(1, 10, window_title="A - Chromium"), frame(2, 20)]
    (row,) = visits(frames, {f"r/u/{n}": snapshot(bar("mail.example.com/inbox")) for n in (1, 2)})
    assert row == {
        "visit_id": row["visit_id"],
        "run_id": "r",
        "first_seen_utc": utc("10:00:10"),
        "last_seen_utc": utc("10:00:20"),
        "first_frame_id": "r/f/1",
        "last_frame_id": "r/f/2",
        "frame_count": 2,
        "app": "chromium",
        "window_title": "A - Chromium",
        "window_hwnd": BROWSER,
        "url": "mail.example.com/inbox",
        "host": "mail.example.com",
        "domain": "example.com",
        "source": "uia_address_bar",
        "source_record_id": "r/u/1",
        "left": 50,
        "top": 10,
        "right": 400,
        "bottom": 30,
    }


def test_the_picture_of_the_docstring() -> None:
    found = seen(
        "a.example", "a.example", "a.example", "b.example", "a.example", pressed=[(24, "ctrl+l"), (26, "Return")]
    )
    assert found == [("a.example", 2), ("a.example", 1), ("b.example", 1), ("a.example", 1)]


def test_the_same_address_in_two_windows_is_two_visits() -> None:
    frames = [frame(1, 10), frame(2, 20, window_hwnd=OTHER), frame(3, 30), frame(4, 40, window_hwnd=OTHER)]
    shown = {f"r/u/{n}": snapshot(bar("a.example"), hwnd=BROWSER if n % 2 else OTHER) for n in (1, 2, 3, 4)}
    found = visits(frames, shown)
    assert [(row["window_hwnd"], row["first_frame_id"], row["last_frame_id"]) for row in found] == [
        (BROWSER, "r/f/1", "r/f/3"),
        (OTHER, "r/f/2", "r/f/4"),
    ]


@pytest.mark.parametrize("key", ["F5", "f5", "ctrl+r", "Ctrl+R", "ctrl+f5", "ctrl+shift+r", "shift+f5"])
def test_a_reload_begins_a_visit(key: str) -> None:
    assert seen("a.example", "a.example", pressed=[(15, key)]) == [("a.example", 1), ("a.example", 1)]


@pytest.mark.parametrize("focus", ["ctrl+l", "alt+d", "F6"])
@pytest.mark.parametrize("submit", ["Return", "Enter"])
def test_an_address_that_was_entered_again_begins_a_visit(focus: str, submit: str) -> None:
    pressed = [(13, focus), (14, "a"), (15, submit)]
    assert seen("a.example", "a.example", pressed=pressed) == [("a.example", 1), ("a.example", 1)]


@pytest.mark.parametrize(
    "pressed",
    [
        [(15, "Return")],
        [(13, "ctrl+l"), (14, "Escape"), (15, "Return")],
        [(13, "ctrl+l")],
        [(5, "F5")],
        [(10, "F5")],
        [(25, "F5")],
        [(13, "x"), (14, "ctrl+c")],
    ],
)
def test_other_keys_begin_no_visit(pressed: list[Key]) -> None:
    assert seen("a.example", "a.example", pressed=pressed) == [("a.example", 2)]


def test_a_reload_belongs_to_the_frame_at_its_own_moment() -> None:
    assert seen("a.example", "a.example", pressed=[(20, "F5")]) == [("a.example", 1), ("a.example", 1)]


def test_ctrl_l_and_enter_in_a_terminal_load_no_page() -> None:
    in_terminal = [(0, BROWSER), (12, TERMINAL), (17, BROWSER)]
    pressed = [(13, "ctrl+l"), (14, "l"), (15, "Return"), (16, "F5")]
    assert seen("a.example", "a.example", pressed=pressed, active=in_terminal) == [("a.example", 2)]


def test_ctrl_l_in_a_terminal_and_enter_in_the_browser_load_no_page() -> None:
    switched = [(0, TERMINAL), (12, BROWSER)]
    assert seen("a.example", "a.example", pressed=[(11, "ctrl+l"), (15, "Return")], active=switched) == [
        ("a.example", 2)
    ]


def test_keys_before_the_first_known_window_load_no_page() -> None:
    assert seen("a.example", "a.example", pressed=[(15, "F5")], active=[(18, BROWSER)]) == [("a.example", 2)]


def test_a_frame_without_an_address_is_passed_over() -> None:
    assert seen("a.example", None, "how to boil an egg", "a.example") == [("a.example", 2)]


def test_what_is_being_typed_is_no_address() -> None:
    typed = bar("b.exam")
    frames = [frame(1, 10), frame(2, 20), frame(3, 30)]
    shown = {
        "r/u/1": snapshot(bar("a.example")),
        "r/u/2": snapshot(typed, focus=[{"role": "Pane"}, typed]),
        "r/u/3": snapshot(bar("a.example")),
    }
    assert [(row["url"], row["frame_count"]) for row in visits(frames, shown)] == [("a.example", 2)]


@pytest.mark.parametrize(
    "node",
    [
        bar("a.example", aid="", **{"class": "OmniboxViewViews"}),
        bar("a.example", aid="urlbar-input"),
        bar("a.example", aid="addressEditBox"),
        bar("a.example", aid="view_1012"),
    ],
)
def test_address_bars_of_several_browsers_are_known(node: dict[str, Any]) -> None:
    assert len(visits([frame(1, 10)], {"r/u/1": snapshot({"role": "Button"}, node)})) == 1


@pytest.mark.parametrize(
    "node",
    [
        bar("a.example", offscreen=True),
        bar("a.example", role="Text"),
        bar("a.example", aid="search"),
        bar(""),
        bar("a.example", value=None),
        {"role": "Edit", "aid": "omnibox"},
    ],
)
def test_other_nodes_are_no_address_bar(node: dict[str, Any]) -> None:
    assert visits([frame(1, 10)], {"r/u/1": snapshot(node)}) == []


@pytest.mark.parametrize(
    "payload",
    [
        snapshot(bar("a.example"), content_hash="d" * 64),
        snapshot(bar("a.example"), content_hash=None),
        snapshot(bar("a.example"), hwnd=OTHER),
        snapshot(bar("a.example"), operables="damaged"),
        snapshot(bar("a.example"), schema_version=2),
        "{",
        "[]",
    ],
)
def test_a_snapshot_that_is_not_the_one_meant_gives_no_address(payload: str) -> None:
    assert visits([frame(1, 10)], {"r/u/1": payload}) == []


def test_a_frame_that_names_no_hash_takes_the_snapshot_it_names() -> None:
    assert len(visits([frame(1, 10, uia_content_hash=None)], {"r/u/1": snapshot(bar("a.example"))})) == 1


def test_without_a_snapshot_the_title_counts() -> None:
    titled = frame(1, 10, uia_record_id=None, window_title="https://a.example/x - Chromium")
    (row,) = visits([titled], {})
    assert (row["url"], row["source"], row["source_record_id"], row["left"]) == (
        "https://a.example/x",
        "window_title",
        "r/f/1",
        None,
    )


def test_a_title_that_is_no_address_gives_nothing() -> None:
    assert visits([frame(1, 10, uia_record_id=None, window_title="notes.md - Chromium")], {}) == []


@pytest.mark.parametrize(
    ("rect", "box"),
    [
        ([-5, -5, 30, 20], (0, 0, 30, 20)),
        ([600, 400, 9000, 9000], (600, 400, 640, 480)),
        ([700, 10, 800, 20], (None, None, None, None)),
        ([30, 10, 20, 20], (None, None, None, None)),
        (None, (None, None, None, None)),
    ],
)
def test_the_box_of_the_address_bar_is_cut_to_the_frame(rect: list[int] | None, box: tuple[int | None, ...]) -> None:
    (row,) = visits([frame(1, 10)], {"r/u/1": snapshot(bar("a.example", rect=rect))})
    assert (row["left"], row["top"], row["right"], row["bottom"]) == box


def test_damaged_input_is_passed_over() -> None:
    good = keys((15, "F5"))[0]
    event = {"t_utc": "yesterday", "kind": "key", "key": "F5"}
    record = {"schema_version": 1, "record_type": "derived.input.summary", "run_id": "r"}
    damaged = [
        SampleInput("r/i/2", "r", good.ts_utc, payload)
        for payload in ("{", json.dumps({**record, "events": 5}), json.dumps({**record, "events": [event, {}]}))
    ]
    inputs = [*damaged, good]
    shown = {f"r/u/{n}": snapshot(bar("a.example")) for n in (1, 2)}
    assert len(visits([frame(1, 10), frame(2, 20)], shown, inputs)) == 2


def test_text_of_the_address_is_nfc() -> None:
    assert seen("a.example/Cafe\u0301", "a.example/Caf\u00e9") == [("a.example/Caf\u00e9", 2)]
