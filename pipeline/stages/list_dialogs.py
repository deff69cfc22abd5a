"""Dialogs as rows, as a VLM saw them."""

from __future__ import annotations

import pyarrow as pa

from pipeline.stages.read_screens import origin, part_id, read_screens, sides
from schemas.arrow import table_schema


def list_dialogs(records: pa.Table) -> pa.Table:
    """Make rows of `dialogs` of VLM records; `records` has the RECORD_COLUMNS of `read_screens`."""
    rows = [
        {
            **origin(record),
            **sides(dialog.bbox),
            "dialog_id": part_id(record, "dialog", number),
            "dialog_number": number,
            "kind": dialog.kind,
            "title": dialog.title,
        }
        for record, screen in read_screens(records)
        for number, dialog in enumerate(screen.dialogs)
    ]
    return pa.Table.from_pylist(rows, schema=table_schema("dialogs"))
