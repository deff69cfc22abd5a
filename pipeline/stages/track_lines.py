"""Lines of text that stay in their place over following frames become tracks.

frame     1        2        3        4
line      Save     Save     ·        Save
track     ├── A ───┤                 ├ B ┤
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from schemas.arrow import table_schema
from schemas.canonical import canonical_sha256

MIN_OVERLAP_PERCENT = 50
FRAME_COLUMNS = [
    "frame_id", "app", "window_title", "window_hwnd", "window_left", "window_top", "window_right", "window_bottom",
]  # fmt: skip
RECORD_COLUMNS = ["record_id", "run_id", "ts_utc", "sample_id", "model_id", "model_digest", "output_json"]

Box = tuple[int, int, int, int]


@dataclass(slots=True)
class _Track:
    text: str
    box: Box
    first: dict[str, Any]
    first_line: int
    score: int
    last: dict[str, Any]
    last_line: int
    last_box: Box
    frame_count: int = 1


def track_lines(frames: pa.Table, records: pa.Table) -> pa.Table:
    """Join equal lines of following frames of one (run, day) into rows of `line_tracks`.

    `frames` has FRAME_COLUMNS; `records` has RECORD_COLUMNS, one text record for each frame. A line goes on a track of
    the frame before when its text is the same and the boxes overlap by at least half of their union; a frame without a
    record says nothing about what was on it, so a track may pass over it.
    """
    shown = {row["frame_id"]: row for row in frames.select(FRAME_COLUMNS).to_pylist()}
    ordered = records.select(RECORD_COLUMNS).sort_by([("ts_utc", "ascending"), ("sample_id", "ascending")])
    rows = [_row(track, shown.get(track.first["sample_id"])) for track in _follow(ordered)]
    return pa.Table.from_pylist(rows, schema=table_schema("line_tracks"))


def _follow(records: pa.Table) -> Iterator[_Track]:
    before: dict[str, list[_Track]] = {}
    for record in records.to_pylist():
        current: dict[str, list[_Track]] = {}
        for index, line in enumerate(orjson.loads(record.pop("output_json"))["lines"]):
            text, box = line["text"], tuple(line["bbox"])
            track = _take_best(before.get(text), box)
            if track is None:
                track = _Track(text, box, record, index, line["score"], record, index, box)
            else:
                track.last, track.last_line, track.last_box = record, index, box
                track.frame_count += 1
            current.setdefault(text, []).append(track)
        for ended in before.values():
            yield from ended
        before = current
    for ended in before.values():
        yield from ended


def _take_best(candidates: list[_Track] | None, box: Box) -> _Track | None:
    """Take the track that overlaps the box most out of the candidates, so that no second line goes on it."""
    if not candidates:
        return None
    best, best_overlap = -1, MIN_OVERLAP_PERCENT - 1
    for index, track in enumerate(candidates):
        overlap = 101 if track.last_box == box else _overlap_percent(track.last_box, box)
        if overlap > best_overlap:
            best, best_overlap = index, overlap
    return candidates.pop(best) if best >= 0 else None


def _overlap_percent(a: Box, b: Box) -> int:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return 100 * shared // union


def _row(track: _Track, frame: Mapping[str, Any] | None) -> dict[str, Any]:
    first, last = track.first, track.last
    left, top, right, bottom = track.box
    digest = canonical_sha256([first["record_id"], track.first_line])
    return {
        "track_id": f"{first['run_id']}/derived.line.track/{digest[:32]}",
        "run_id": first["run_id"],
        "text": track.text,
        "first_seen_utc": first["ts_utc"],
        "last_seen_utc": last["ts_utc"],
        "first_frame_id": first["sample_id"],
        "last_frame_id": last["sample_id"],
        "frame_count": track.frame_count,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "score": track.score,
        "first_record_id": first["record_id"],
        "first_line": track.first_line,
        "last_record_id": last["record_id"],
        "last_line": track.last_line,
        "model_id": first["model_id"],
        "model_digest": first["model_digest"],
        "app": frame and frame["app"],
        "window_title": frame and frame["window_title"],
        "window_hwnd": frame and frame["window_hwnd"],
        "in_active_window": frame and inside_window(track.box, frame),
    }


def inside_window(box: Box, frame: Mapping[str, Any]) -> bool | None:
    """Tell whether a box has its middle in the active window; None when the window's place is not known."""
    left, top, right, bottom = (frame[f"window_{side}"] for side in ("left", "top", "right", "bottom"))
    if left is None:
        return None
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    return bool(left <= x < right and top <= y < bottom)
