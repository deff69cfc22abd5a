"""Reads single rows from their fact files. Loads Arrow, so only what cannot do without imports it."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow.compute as pc

from pipeline.dataroot import DataRoot
from pipeline.stores.facts import read_file
from pipeline.stores.index_rows import Box
from schemas.canonical import sha256_hex
from schemas.record import vector_sha256


def read_record(root: DataRoot, path: str, record_id: str) -> dict[str, Any] | None:
    """A record's row, or None when the file does not hold it. Raises ContractInvalid for a file that is unreadable."""
    return _read_row(root, path, "records", "record_id", record_id)


def read_line(root: DataRoot, path: str, record_id: str, line: int) -> tuple[str, Box] | None:
    """Text and box of a line of a record, or None when there is none. Raises ContractInvalid."""
    row = read_record(root, path, record_id)
    try:
        lines = orjson.loads(row["output_json"])["lines"] if row else []
        found = lines[line] if 0 <= line < len(lines) else None
        return None if found is None else (found["text"], tuple(found["bbox"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def span_text_sha256(root: DataRoot, path: str, span_id: str) -> str | None:
    """What the text of a span hashes to, or None when the file does not hold it. Raises ContractInvalid."""
    row = _read_row(root, path, "spans", "span_id", span_id)
    return sha256_hex(row["text"].encode()) if row else None


def span_vector_sha256(root: DataRoot, path: str, record_id: str) -> str | None:
    """What the vector in an embedding's record hashes to, or None when there is none. Raises ContractInvalid."""
    row = read_record(root, path, record_id)
    return vector_sha256(row["emb_vectors"][0]["vector"]) if row and row["emb_vectors"] else None


def _read_row(root: DataRoot, path: str, table: str, key: str, value: str) -> dict[str, Any] | None:
    rows = read_file(root.path / path, table)
    found = rows.filter(pc.equal(rows[key], value)).to_pylist()
    return found[0] if found else None
