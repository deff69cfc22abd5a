"""Spans: how long one window showed one document, and what was to be read there.

frame     A   A   A   B   B   A  …20 min…  A
span      ├── 1 ──┤   ├ 2 ┤   3            4
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from pipeline.stages.thresholds import SPANS
from pipeline.stages.track_lines import inside_window
from schemas.arrow import table_schema
from schemas.canonical import canonical_sha256, sha256_hex
from schemas.record_types import SPAN

FRAME_COLUMNS = [
    "frame_id", "run_id", "ts_utc", "app", "window_title", "window_hwnd",
    "window_left", "window_top", "window_right", "window_bottom",
]  # fmt: skip
VISIT_COLUMNS = ["first_seen_utc", "last_seen_utc", "window_hwnd", "url", "host", "domain"]
TRACK_COLUMNS = ["track_id", "text", "first_seen_utc", "last_seen_utc", "left", "top", "right", "bottom"]

Row = Mapping[str, Any]


@dataclass(slots=True)
class _Span:
    key: tuple[Any, ...]
    visit: Row | None
    frames: list[Row]


def build_spans(frames: pa.Table, visits: pa.Table, tracks: pa.Table) -> pa.Table:
    """Cut the frames of one (run, day) into rows of `spans`, each with the text of its tracks in the active window.

    `frames` has FRAME_COLUMNS, `visits` VISIT_COLUMNS, `tracks` TRACK_COLUMNS. Frames belong together while they follow
    each other with the same window and document: the host of the page where one is known, else the title.
    """
    shown = frames.select(FRAME_COLUMNS).sort_by([("ts_utc", "ascending"), ("frame_id", "ascending")]).to_pylist()
    lines = tracks.select(TRACK_COLUMNS).sort_by([("first_seen_utc", "ascending"), ("track_id", "ascending")])
    waiting = lines.to_pylist()[::-1]
    alive: list[Row] = []
    rows = []
    for span in _cut(shown, _Visits(visits.select(VISIT_COLUMNS).to_pylist())):
        begin, end = span.frames[0]["ts_utc"], span.frames[-1]["ts_utc"]
        while waiting and waiting[-1]["first_seen_utc"] <= end:
            alive.append(waiting.pop())
        alive = [track for track in alive if track["last_seen_utc"] >= begin]
        rows.append(_row(span, _text(span, alive)))
    return pa.Table.from_pylist(rows, schema=table_schema("spans"))


class _Visits:
    """Which page a window showed at a moment."""

    def __init__(self, visits: Sequence[Row]) -> None:
        self._by_window: dict[int | None, list[Row]] = {}
        for visit in sorted(visits, key=lambda item: (item["last_seen_utc"], item["first_seen_utc"], item["url"])):
            self._by_window.setdefault(visit["window_hwnd"], []).append(visit)

    def at(self, frame: Row) -> Row | None:
        visits = self._by_window.get(frame["window_hwnd"], [])
        index = bisect_left(visits, frame["ts_utc"], key=lambda item: item["last_seen_utc"])
        found = visits[index] if index < len(visits) else None
        return found if found is not None and found["first_seen_utc"] <= frame["ts_utc"] else None


def _cut(frames: Sequence[Row], visits: _Visits) -> Iterator[_Span]:
    current: _Span | None = None
    for frame in frames:
        visit = visits.at(frame)
        document = ("title", frame["window_title"]) if visit is None else ("host", visit["host"])
        key = (frame["app"], frame["window_hwnd"], *document)
        if current is not None and key == current.key and _goes_on(current.frames, frame["ts_utc"]):
            current.frames.append(frame)
            continue
        if current is not None:
            yield current
        current = _Span(key, visit, [frame])
    if current is not None:
        yield current


def _goes_on(frames: Sequence[Row], moment: datetime) -> bool:
    within_gap = moment - frames[-1]["ts_utc"] <= timedelta(seconds=SPANS["longest_gap_s"])
    return bool(within_gap and moment - frames[0]["ts_utc"] <= timedelta(seconds=SPANS["longest_span_s"]))


def _text(span: _Span, tracks: Sequence[Row]) -> tuple[str, list[str]]:
    """The window's title and each text once, in the order in which they came up and then are read; the tracks used."""
    moments = [frame["ts_utc"] for frame in span.frames]
    found = []
    for track in tracks:
        index = bisect_left(moments, track["first_seen_utc"])
        if index == len(moments) or moments[index] > track["last_seen_utc"]:
            continue
        box = (track["left"], track["top"], track["right"], track["bottom"])
        if inside_window(box, span.frames[index]) is not False:
            found.append((index, track["top"], track["left"], track["text"], track["track_id"]))
    title = (span.frames[0]["window_title"] or "")[: SPANS["longest_text"]]
    texts: dict[str, str | None] = {title: None} if title else {}
    length = len(title)
    for *_, text, track_id in sorted(found):
        if text not in texts and length + 1 + len(text) <= SPANS["longest_text"]:
            texts[text] = track_id
            length += 1 + len(text)
    return "\n".join(texts), [track_id for track_id in texts.values() if track_id is not None]


def _row(span: _Span, content: tuple[str, list[str]]) -> dict[str, Any]:
    first, last = span.frames[0], span.frames[-1]
    text, track_ids = content
    text_sha256 = sha256_hex(text.encode())
    digest = canonical_sha256([first["frame_id"], last["frame_id"], track_ids, text_sha256])
    return {
        "span_id": f"{first['run_id']}/{SPAN}/{digest[:32]}",
        "run_id": first["run_id"],
        "first_seen_utc": first["ts_utc"],
        "last_seen_utc": last["ts_utc"],
        "first_frame_id": first["frame_id"],
        "last_frame_id": last["frame_id"],
        "frame_count": len(span.frames),
        "app": first["app"],
        "window_title": first["window_title"],
        "window_hwnd": first["window_hwnd"],
        "url": span.visit and span.visit["url"],
        "host": span.visit and span.visit["host"],
        "domain": span.visit and span.visit["domain"],
        "track_ids": track_ids,
        "text": text,
        "text_sha256": text_sha256,
    }
