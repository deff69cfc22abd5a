"""Elements of the user interface as rows, as a VLM gave them."""

from __future__ import annotations

import pyarrow as pa

from pipeline.stages.read_screens import origin, part_id, read_screens, sides
from schemas.arrow import table_schema

SOURCE = "vlm"


def list_ui_elements(records: pa.Table) -> pa.Table:
    """Make rows of `ui_elements` of VLM records; `records` has the RECORD_COLUMNS of `read_screens`."""
    rows = [
        {
            **origin(record),
            **sides(element.bbox),
            "element_id": part_id(record, "ui.element", number),
            "element_number": number,
            "role": element.role,
            "label": element.label,
            "state": element.state,
            "source": SOURCE,
            "confidence": None,
        }
        for record, screen in read_screens(records)
        for number, element in enumerate(screen.elements)
    ]
    return pa.Table.from_pylist(rows, schema=table_schema("ui_elements"))
