"""Page visits in the active browser window, from its address bar.

frame    a.example   a.example   a.example   b.example   a.example
input                        Ctrl+L … Enter
visit    ├──── 1 ────┤       ├─ 2 ──────┤├─── 3 ───┤  ├── 4
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import SampleInput
from pipeline.stages.parse_urls import WebAddress, parse_address, parse_title
from schemas.arrow import table_schema
from schemas.canonical import canonical_sha256, nfc
from schemas.evidence import InputEvent, InputSummary, UiaNode, UiaSnapshot, parse_record
from schemas.fields import parse_utc

_ADDRESS_BAR_IDS = frozenset({"omnibox", "urlbar-input", "addressEditBox", "view_1012"})
_ADDRESS_BAR_CLASSES = frozenset({"OmniboxViewViews"})
_FOCUS_ADDRESS_BAR = frozenset({"ctrl+l", "alt+d", "f6"})
_RELOAD = frozenset({"ctrl+r", "f5", "ctrl+f5", "ctrl+shift+r", "shift+f5"})
UIA, TITLE = "uia_address_bar", "window_title"
_SUBMIT = frozenset({"return", "enter"})


@dataclass(slots=True)
class _Visit:
    address: WebAddress
    source: str
    source_record_id: str
    box: tuple[int, int, int, int] | None
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    frame_count: int = 1


def visit_urls(
    frames: pa.Table, windows: pa.Table, snapshots: Mapping[str, str], inputs: Sequence[SampleInput]
) -> pa.Table:
    """Join following frames of one (run, day) that show the same page into rows of `url_visits`.

    `frames` and `windows` are rows of these tables in order of time, `snapshots` UIA payloads by record id,
    `inputs` input summaries. A visit begins when a window shows another address than before, or the same after a page
    load that the keyboard asked for (address typed, or reload).
    """
    loads = _page_loads(windows.select(["ts_utc", "hwnd"]).to_pylist(), inputs)
    visits: list[_Visit] = []
    current: dict[int | None, _Visit] = {}
    for frame in frames.to_pylist():
        found = _read_address(frame, snapshots)
        if found is None:
            continue
        visit = current.get(frame["window_hwnd"])
        if visit and visit.address.url == found[0].url and not _loaded_between(loads, visit.last, frame):
            visit.last = frame
            visit.frame_count += 1
        else:
            visit = _Visit(*found, first=frame, last=frame)
            current[frame["window_hwnd"]] = visit
            visits.append(visit)
    return pa.Table.from_pylist([_row(visit) for visit in visits], schema=table_schema("url_visits"))


def _read_address(
    frame: Mapping[str, Any], snapshots: Mapping[str, str]
) -> tuple[WebAddress, str, str, tuple[int, int, int, int] | None] | None:
    bar = _address_bar(frame, snapshots.get(frame["uia_record_id"] or ""))
    if bar is not None:
        address = parse_address(nfc(bar.value or ""))
        return None if address is None else (address, UIA, frame["uia_record_id"], _clip(bar.rect, frame))
    address = parse_title(frame["window_title"] or "", frame["app"])
    return None if address is None else (address, TITLE, frame["frame_id"], None)


def _address_bar(frame: Mapping[str, Any], payload: str | None) -> UiaNode | None:
    """Find the address bar in a snapshot that is the one the frame means, and of its window.

    While the bar has the focus its value is what is being typed, not the page: then there is none.
    """
    if payload is None:
        return None
    try:
        snapshot, _ = parse_record(UiaSnapshot, payload)
    except ValueError:
        return None
    meant = frame["uia_content_hash"]
    if (meant and snapshot.content_hash != meant) or (snapshot.hwnd or frame["window_hwnd"]) != frame["window_hwnd"]:
        return None
    if any(_is_address_bar(node) for node in snapshot.focus_path):
        return None
    bars = (node for node in snapshot.operables if _is_address_bar(node) and node.value and not node.offscreen)
    return next(bars, None)


def _is_address_bar(node: UiaNode) -> bool:
    return node.role == "Edit" and (node.aid in _ADDRESS_BAR_IDS or node.cls in _ADDRESS_BAR_CLASSES)


def _clip(rect: list[int] | None, frame: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
    if rect is None:
        return None
    width, height = frame["width"], frame["height"]
    left, right = (min(max(value, 0), width) for value in rect[0::2])
    top, bottom = (min(max(value, 0), height) for value in rect[1::2])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _page_loads(
    windows: Sequence[Mapping[str, Any]], inputs: Sequence[SampleInput]
) -> dict[int | None, list[datetime]]:
    """When the keyboard asked a window for a page load: the address bar was focused, then Enter; or reload."""
    changes = [window["ts_utc"] for window in windows]
    loads: dict[int | None, list[datetime]] = {}
    asking: int | None = None
    in_bar = False
    for moment, key in sorted(_keys(inputs)):
        index = bisect_right(changes, moment) - 1
        active = windows[index]["hwnd"] if index >= 0 else None
        if key in _RELOAD or (key in _SUBMIT and in_bar and active == asking):
            loads.setdefault(active, []).append(moment)
            in_bar = False
        elif key in _FOCUS_ADDRESS_BAR:
            asking, in_bar = active, True
        elif key in _SUBMIT or key == "escape":
            in_bar = False
    return loads


def _keys(inputs: Sequence[SampleInput]) -> Iterator[tuple[datetime, str]]:
    for sample in inputs:
        try:
            summary, _ = parse_record(InputSummary, sample.payload)
        except ValueError:
            continue
        for event in summary.events:
            moment = _moment(event)
            if event.key and event.kind in ("key", "shortcut") and moment:
                yield moment, event.key.lower()


def _moment(event: InputEvent) -> datetime | None:
    try:
        return parse_utc(event.t_utc)
    except ValueError:
        return None


def _loaded_between(
    loads: Mapping[int | None, list[datetime]], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    moments = loads.get(after["window_hwnd"], [])
    index = bisect_right(moments, before["ts_utc"])
    return index < len(moments) and moments[index] <= after["ts_utc"]


def _row(visit: _Visit) -> dict[str, Any]:
    first, last = visit.first, visit.last
    left, top, right, bottom = visit.box or (None, None, None, None)
    digest = canonical_sha256([first["frame_id"], visit.address.url])
    return {
        "visit_id": f"{first['run_id']}/derived.url.visit/{digest[:32]}",
        "run_id": first["run_id"],
        "first_seen_utc": first["ts_utc"],
        "last_seen_utc": last["ts_utc"],
        "first_frame_id": first["frame_id"],
        "last_frame_id": last["frame_id"],
        "frame_count": visit.frame_count,
        "app": first["app"],
        "window_title": first["window_title"],
        "window_hwnd": first["window_hwnd"],
        "url": visit.address.url,
        "host": visit.address.host,
        "domain": visit.address.domain,
        "source": visit.source,
        "source_record_id": visit.source_record_id,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
    }
