"""Screens as rows: what a VLM said about a frame as a whole."""

from __future__ import annotations

import pyarrow as pa

from pipeline.stages.read_screens import origin, read_screens
from schemas.arrow import table_schema


def list_screens(records: pa.Table) -> pa.Table:
    """Make a row of `screens` of each VLM record; `records` has the RECORD_COLUMNS of `read_screens`."""
    rows = [
        {
            **origin(record),
            "screen_id": record["record_id"],
            "prompt_hash": record["prompt_hash"],
            "app_kind": screen.app_kind,
            "summary": screen.summary,
            "element_count": len(screen.elements),
            "dialog_count": len(screen.dialogs),
            "dropped": screen.dropped,
            "width": screen.width,
            "height": screen.height,
        }
        for record, screen in read_screens(records)
    ]
    return pa.Table.from_pylist(rows, schema=table_schema("screens"))
