"""Window changes as rows: when which window became active, or changed its title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.batch import Batch, SampleInput
from pipeline.stages.name_apps import name_app
from pipeline.stages.project_evidence import project_evidence
from schemas.canonical import nfc
from schemas.evidence import WindowMeta


def list_windows(samples: Sequence[SampleInput]) -> Batch:
    """Project window evidence to rows of `windows`; one that lacks a required field is a failure `[meta-3]`."""
    return project_evidence(samples, WindowMeta, "windows", _row)


def _row(sample: SampleInput, meta: WindowMeta) -> dict[str, Any]:
    window = meta.window
    left, top, right, bottom = window.rect or (None, None, None, None)
    return {
        "window_record_id": sample.sample_id,
        "run_id": sample.run_id,
        "ts_utc": sample.ts_utc,
        "app": name_app(window.process_path),
        "process_path": window.process_path,
        "title": nfc(window.title),
        "pid": window.pid,
        "hwnd": window.hwnd,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "monitor": window.monitor,
    }
