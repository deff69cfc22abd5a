"""Reads a text record from its fact file. Loads Arrow, so only what cannot do without imports it."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow.compute as pc

from pipeline.dataroot import DataRoot
from pipeline.stores.facts import read_file
from pipeline.stores.text_index import Box


def read_record(root: DataRoot, path: str, record_id: str) -> dict[str, Any] | None:
    """A record's row, or None when the file does not hold it. Raises ContractInvalid for a file that is unreadable."""
    rows = read_file(root.path / path, "records")
    found = rows.filter(pc.equal(rows["record_id"], record_id)).to_pylist()
    return found[0] if found else None


def read_line(root: DataRoot, path: str, record_id: str, line: int) -> tuple[str, Box] | None:
    """Text and box of a line of a record, or None when there is none. Raises ContractInvalid."""
    row = read_record(root, path, record_id)
    try:
        lines = orjson.loads(row["output_json"])["lines"] if row else []
        found = lines[line] if 0 <= line < len(lines) else None
        return None if found is None else (found["text"], tuple(found["bbox"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
