"""Frames worth a VLM's time: those that show something new, a bounded number an hour.

minute      0    5    10   15   20
changes     W l  l    .    W    p          W another window, l new lines, p only pixels
may be used 5    10   15   20   25         of 60 an hour; what a slot leaves over, later ones may use
chosen      W l  l         W    p
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.stages.thresholds import MIN_NEW_LINES, SLOTS_PER_HOUR
from schemas.arrow import table_schema
from schemas.facts import keyframe_id
from schemas.fields import utc_microseconds

FRAME_COLUMNS = ["frame_id", "run_id", "ts_utc", "content_hash", "app", "window_hwnd", "window_title"]
TRACK_COLUMNS = ["first_frame_id"]
WINDOW, LINES, PICTURE = "window", "lines", "picture"

_HOUR_US = 3_600_000_000
_SLOT_US = _HOUR_US // SLOTS_PER_HOUR
_RANK = {WINDOW: 0, LINES: 1, PICTURE: 2}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Candidate:
    frame: Row
    number: int
    slot: int
    reason: str
    new_lines: int


def choose_keyframes(frames: pa.Table, tracks: pa.Table, per_hour: int) -> pa.Table:
    """Choose at most `per_hour` frames of each hour of one (run, day): rows of `keyframes`.

    `frames` has FRAME_COLUMNS, `tracks` TRACK_COLUMNS. A pure function of them: the order in which frames arrived does
    not show. An hour has slots of five minutes; each may use its share of the budget and what earlier ones left, so
    that frames which come later change the choice in their own slot and after it only. Within a slot another window
    counts for more than new lines, many lines for more than few, and a picture that only looks different for least: of
    those a slot takes one, when it has nothing else. Equal pictures are chosen once a day.
    """
    chosen: list[_Candidate] = []
    seen: set[str] = set()
    hour, used = -1, 0
    for slot, candidates in _by_slot(_candidates(frames, tracks)):
        if slot // SLOTS_PER_HOUR != hour:
            hour, used = slot // SLOTS_PER_HOUR, 0
        left = per_hour * (slot % SLOTS_PER_HOUR + 1) // SLOTS_PER_HOUR - used
        taken = _best([item for item in candidates if item.frame["content_hash"] not in seen], left)
        used += len(taken)
        seen.update(item.frame["content_hash"] for item in taken)
        chosen += taken
    return pa.Table.from_pylist([_row(item) for item in chosen], schema=table_schema("keyframes"))


def _candidates(frames: pa.Table, tracks: pa.Table) -> Iterator[_Candidate]:
    appeared: dict[str, int] = {}
    for frame_id in tracks["first_frame_id"].to_pylist():
        appeared[frame_id] = appeared.get(frame_id, 0) + 1
    ordered = frames.select(FRAME_COLUMNS).sort_by([("ts_utc", "ascending"), ("frame_id", "ascending")]).to_pylist()
    before: Row = {}
    new_lines = 0
    for number, frame in enumerate(ordered):
        new_lines += appeared.get(frame["frame_id"], 0)
        other_window = any(frame[name] != before.get(name) for name in ("app", "window_hwnd", "window_title"))
        if not before or other_window or new_lines >= MIN_NEW_LINES:
            reason = WINDOW if not before or other_window else LINES
        elif frame["content_hash"] != before["content_hash"]:
            reason = PICTURE
        else:
            reason = ""
        before = frame
        if reason:
            slot = utc_microseconds(frame["ts_utc"]) // _SLOT_US
            yield _Candidate(frame, number, slot, reason, new_lines)
        if reason in (WINDOW, LINES):
            new_lines = 0


def _by_slot(candidates: Iterator[_Candidate]) -> Iterator[tuple[int, list[_Candidate]]]:
    slots: dict[int, list[_Candidate]] = {}
    for item in candidates:
        slots.setdefault(item.slot, []).append(item)
    yield from slots.items()


def _best(candidates: list[_Candidate], most: int) -> list[_Candidate]:
    """The best candidates of a slot in the order of time, each picture once."""
    ordered = sorted(candidates, key=lambda item: (_RANK[item.reason], -item.new_lines, item.number))
    told = [item for item in ordered if item.reason != PICTURE] or ordered[:1]
    first = {item.frame["content_hash"]: item for item in reversed(told)}
    best = [item for item in told if first[item.frame["content_hash"]] is item][:most]
    return sorted(best, key=lambda item: item.number)


def _row(item: _Candidate) -> dict[str, Any]:
    frame = item.frame
    return {
        "keyframe_id": keyframe_id(frame["run_id"], frame["frame_id"]),
        "run_id": frame["run_id"],
        "ts_utc": frame["ts_utc"],
        "frame_id": frame["frame_id"],
        "content_hash": frame["content_hash"],
        "reason": item.reason,
        "new_lines": item.new_lines,
    }
