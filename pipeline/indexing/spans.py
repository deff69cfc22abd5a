"""Reads spans and their embeddings for the text index: what proves them, but no vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stores.facts import read_file

EMBEDDINGS = "part-embed_spans.parquet"
"""The files of `records` that hold embeddings of spans."""

_SPAN_COLUMNS = ["span_id", "first_seen_utc", "last_seen_utc", "track_ids", "text", "text_sha256"]


class Embedded(NamedTuple):
    """An embedding's record, the number of its file in the index, and what its vector hashes to."""

    record_id: str
    file: int
    vector_sha256: str


def read_embeddings(path: Path, file: int) -> dict[str, Embedded]:
    """The embeddings of a file of `records`, by their ids. Raises ContractInvalid."""
    table = read_file(path, "records", ["record_id", "emb_vectors"])
    table = table.filter(pc.greater(pc.list_value_length(table["emb_vectors"]), 0))
    hashes = pc.struct_field(pc.list_element(table["emb_vectors"], 0), "sha256")
    pairs = zip(table["record_id"].to_pylist(), hashes.to_pylist(), strict=True)
    return {record_id: Embedded(record_id, file, vector_sha256) for record_id, vector_sha256 in pairs}


def read_spans(path: Path) -> list[dict[str, Any]]:
    """The spans of a fact file, times in microseconds since 1970. Raises ContractInvalid."""
    table = read_file(path, "spans", _SPAN_COLUMNS)
    for name in ("first_seen_utc", "last_seen_utc"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def heading_and_tracks(
    span: Mapping[str, Any], tracks: Mapping[str, tuple[int, str]]
) -> tuple[str | None, list[int]] | None:
    """What a span's text begins with, and the numbers of the tracks whose texts make up the rest.

    None when they do not: a track was replaced since, and the next run builds the span again.
    """
    if any(track_id not in tracks for track_id in span["track_ids"]):
        return None
    lines = [tracks[track_id] for track_id in span["track_ids"]]
    return _part(span["text"], [text for _, text in lines], [number for number, _ in lines])


def _part(text: str, lines: Sequence[str], numbers: list[int]) -> tuple[str | None, list[int]] | None:
    below = "\n".join(lines)
    if text == below:
        return None, numbers
    if not lines:
        return text, numbers
    return (text.removesuffix(f"\n{below}"), numbers) if text.endswith(f"\n{below}") else None


def current_embeddings(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The record that counts for each span, by their ids, from rows of `stage_outcomes`."""
    return {
        row["sample_id"]: row["output_id"]
        for row in rows if row["stage"] == "embed_spans" and row["status"] == "done" and row["output_id"]
    }  # fmt: skip
