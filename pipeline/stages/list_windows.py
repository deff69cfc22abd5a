"""Window changes as rows: when which window became active, or changed its title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import Batch, SampleInput, SampleResult
from pipeline.stages.name_apps import name_app
from schemas.arrow import table_schema
from schemas.canonical import nfc, sha256_hex
from schemas.evidence import WindowMeta, parse_record
from schemas.serving import SampleFailure


def list_windows(samples: Sequence[SampleInput]) -> Batch:
    """Project window evidence to rows of `windows`; one that lacks a required field is a failure `[meta-3]`."""
    rows, results = [], []
    for sample in samples:
        try:
            meta, _ = parse_record(WindowMeta, sample.payload)
        except ValueError as error:
            results.append(SampleResult(sample.sample_id, failure=SampleFailure("row_incomplete", str(error), False)))
            continue
        rows.append(_row(sample, meta))
        results.append(SampleResult(sample.sample_id, sample.sample_id, sha256_hex(sample.payload.encode())))
    return Batch(pa.Table.from_pylist(rows, schema=table_schema("windows")), results)


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
