"""Screens as they stand in records, for the stages that make rows of what is on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from schemas.canonical import canonical_sha256
from schemas.screen import Screen

RECORD_COLUMNS = ["record_id", "run_id", "ts_utc", "sample_id", "model_id", "model_digest", "prompt_hash", "row_hash",
                  "output_json"]  # fmt: skip

Row = Mapping[str, Any]


def read_screens(records: pa.Table) -> Iterator[tuple[Row, Screen]]:
    """Each record with what it holds. `records` has RECORD_COLUMNS."""
    for record in records.select(RECORD_COLUMNS).to_pylist():
        yield record, Screen.model_validate_json(record["output_json"])


def origin(record: Row) -> dict[str, Any]:
    """The columns that say where a row comes from."""
    names = ("run_id", "ts_utc", "record_id", "row_hash", "model_id", "model_digest")
    return {"frame_id": record["sample_id"], **{name: record[name] for name in names}}


def part_id(record: Row, kind: str, number: int) -> str:
    """Name a part of a record by its place there."""
    return f"{record['run_id']}/derived.{kind}/{canonical_sha256([record['record_id'], number])[:32]}"


def sides(box: tuple[int, int, int, int]) -> dict[str, int]:
    """A box as columns."""
    return dict(zip(("left", "top", "right", "bottom"), box, strict=True))
