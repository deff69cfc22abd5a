"""Frames as rows: what was captured, with the window that was active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.dataroot import blob_key
from pipeline.stages.batch import Batch, SampleInput
from pipeline.stages.name_apps import name_app
from pipeline.stages.project_evidence import project_evidence
from schemas.canonical import nfc
from schemas.evidence import Cursor, Frame, Window


def list_frames(samples: Sequence[SampleInput]) -> Batch:
    """Project frame evidence to rows of `frames`; a frame that lacks a required field is a failure `[meta-3]`."""
    return project_evidence(samples, Frame, "frames", _row)


def _row(sample: SampleInput, frame: Frame) -> dict[str, Any]:
    window = frame.window_ref.window if frame.window_ref else None
    idle = frame.input_ref.idle_seconds if frame.input_ref else None
    return {
        "frame_id": sample.sample_id,
        "run_id": sample.run_id,
        "ts_utc": sample.ts_utc,
        "width": frame.width,
        "height": frame.height,
        "content_hash": frame.content_hash,
        "content_size": frame.content_size,
        "content_type": frame.content_type,
        "blob_path": blob_key(sample.run_id, sample.sample_id, frame.record_type, sample.ts_utc),
        "window_record_id": frame.window_ref.record_id if frame.window_ref else None,
        **_window_columns(window),
        "uia_record_id": frame.uia_ref.record_id if frame.uia_ref else None,
        "uia_content_hash": frame.uia_ref.content_hash if frame.uia_ref else None,
        "input_record_id": frame.input_ref.record_id if frame.input_ref else None,
        "idle_ms": None if idle is None else round(idle * 1000),
        **_cursor_columns(frame.cursor),
    }


def _window_columns(window: Window | None) -> dict[str, Any]:
    window = window or Window()
    left, top, right, bottom = window.rect or (None, None, None, None)
    return {
        "app": name_app(window.process_path),
        "process_path": window.process_path or None,
        "window_title": nfc(window.title) or None,
        "window_pid": window.pid,
        "window_hwnd": window.hwnd,
        "window_left": left,
        "window_top": top,
        "window_right": right,
        "window_bottom": bottom,
    }


def _cursor_columns(cursor: Cursor | None) -> dict[str, Any]:
    if cursor is None:
        return {"cursor_x": None, "cursor_y": None, "cursor_visible": None}
    return {"cursor_x": cursor.x, "cursor_y": cursor.y, "cursor_visible": cursor.visible}
