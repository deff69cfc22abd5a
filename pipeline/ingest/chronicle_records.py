"""One item of a chronicle session as evidence records of the sidecar's types; nothing added that was not said.

A record is a function of the item, the manifest and the picture's hash. Records that are kept are never changed, so
what this module makes of an item is a contract too: another form would make a conflict of every session handed off
again `[handoff-3]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.ingest.chronicle_clock import moment_text
from pipeline.stores.metadata import MetadataRow
from schemas import chronicle_pb2 as pb
from schemas.canonical import payload_hash

MOST_PARTS = 10_000
"""Dirty rectangles of a frame, elements of a detection."""

_ARTIFACT = re.compile(r"frames/[^/\\\x00]{1,200}\.png")
_NUMBER_32 = range(-(2**31), 2**31)
_LARGEST_SIDE = 65_536


class Unusable(Exception):
    """Why no record can be made of an item."""


def record_id(run_id: str, record_type: str, number: int) -> str:
    """Name a record by its number in the session; ids sort as numbers do."""
    return f"{run_id}/{record_type}/{number:09d}"


def artifact_path(meta: pb.FrameMeta) -> str:
    """Where a frame's picture lies in the session. Raises Unusable when that is outside of `frames/`."""
    path = meta.artifact_path.replace("\\", "/") or f"frames/frame_{meta.frame_index:06d}.png"
    if not _ARTIFACT.fullmatch(path):
        raise Unusable("its artifact_path is no file frames/NAME.png")
    return path


def frame_fields(meta: pb.FrameMeta, content_hash: str) -> dict[str, Any]:
    """A frame's own fields of `evidence.capture.frame`. Raises Unusable."""
    if not (0 < meta.width <= _LARGEST_SIDE and 0 < meta.height <= _LARGEST_SIDE):
        raise Unusable(f"its size is {meta.width}×{meta.height} pixels")
    if len(meta.dirty_rects) > MOST_PARTS:
        raise Unusable(f"it has more than {MOST_PARTS} dirty_rects")
    fields: dict[str, Any] = {
        "width": meta.width,
        "height": meta.height,
        "encoding": "png",
        "content_type": "image/png",
        "content_hash": content_hash,
        "blob_path": artifact_path(meta),
        "frame_index": meta.frame_index,
        "qpc_ticks": meta.qpc_ticks,
        "dirty_rects": [rectangle(rect) for rect in meta.dirty_rects],
    }
    if meta.unix_ns:
        fields["unix_ns"] = meta.unix_ns
    if meta.HasField("desktop_rect"):
        fields["desktop_rect"] = rectangle(meta.desktop_rect)
    if meta.HasField("dpi"):
        fields["dpi"] = _dpi(meta.dpi)
    return fields


def window_fields(window: pb.ActiveWindow) -> dict[str, Any]:
    """A window as `evidence.window.meta` and a frame's `window_ref` hold it."""
    fields: dict[str, Any] = {"title": window.title, "process_path": window.process_path}
    if window.pid:
        fields["pid"] = window.pid
    if window.hwnd:
        fields["hwnd"] = window.hwnd
    if window.monitor:
        fields["monitor"] = window.monitor
    if window.HasField("rect"):
        rect = rectangle(window.rect)
        if all(side in _NUMBER_32 for side in rect):
            fields["rect"] = rect
    return fields


def detection_fields(detection: pb.DetectionFrame, frame_id: str) -> dict[str, Any]:
    """What the recorder's detector said, as it said it: rectangles on the desktop, confidence in 1/10,000."""
    if len(detection.elements) > MOST_PARTS:
        raise Unusable(f"it has more than {MOST_PARTS} elements")
    return {
        "frame_index": detection.frame_index,
        "qpc_ticks": detection.qpc_ticks,
        "frame_ref": {"record_id": frame_id},
        "elements": [_element(element) for element in detection.elements],
    }


def rectangle(rect: pb.RectI32) -> list[int]:
    """`[left, top, right, bottom]`, right and bottom exclusive."""
    return [rect.x, rect.y, rect.x + rect.w, rect.y + rect.h]


def make_row(run_id: str, record_type: str, number: int, microseconds: int, fields: Mapping[str, Any]) -> MetadataRow:
    """Make a record's row; texts stay as they are written, only the hash is over canonical JSON `[hash-2]`."""
    ts_utc = moment_text(microseconds)
    body = {"schema_version": 1, "record_type": record_type, "run_id": run_id, "ts_utc": ts_utc, **fields}
    body["payload_hash"] = payload_hash(body)
    payload = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    return MetadataRow(record_id(run_id, record_type, number), payload, record_type, ts_utc, run_id)


def _element(element: pb.UiElement) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "element_id": element.element_id,
        "type": _type_name(element.type),
        "rect": rectangle(element.bbox),
    }
    for name in ("label", "text", "parent_id"):
        if value := getattr(element, name):
            fields[name] = value
    confidence = _ten_thousandths(element.confidence)
    if confidence is not None:
        fields["confidence"] = confidence
    return fields


def _type_name(number: int) -> str:
    """Name an element's type; a later recorder may know more of them."""
    known = pb.UiElementType.DESCRIPTOR.values_by_number.get(number)
    return known.name.lower() if known is not None and number else f"type_{number}"


def _dpi(dpi: pb.DpiInfo) -> dict[str, Any]:
    fields: dict[str, Any] = {"dpi_x": dpi.dpi_x, "dpi_y": dpi.dpi_y, "monitor_id": dpi.monitor_id}
    for name in ("scale_x", "scale_y"):
        scale = _ten_thousandths(getattr(dpi, name), largest=100.0)
        if scale is not None:
            fields[f"{name}_10000"] = scale
    return fields


def _ten_thousandths(value: float, largest: float = 1.0) -> int | None:
    """A float as whole 1/10,000, since no float may be hashed `[hash-1]`; None for one that means nothing."""
    return round(value * 10_000) if math.isfinite(value) and 0.0 <= value <= largest else None
