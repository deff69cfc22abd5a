"""The canonical model record: what one model said about one piece of evidence, and its hashes."""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import Field

from schemas.canonical import JsonValue, canonical_json, canonical_sha256, sha256_hex
from schemas.fields import Contract, Float32, Int32, Sha256, UtcTime, utc_microseconds

RECORD_TYPE = "derived.model.output"
SCHEMA_VERSION = 1


class EmbeddingVector(Contract):
    """A vector with the sha256 of its little-endian float32 bytes."""

    kind: str = Field(description="what was embedded")
    dims: Int32 = Field(description="number of dimensions")
    vector: list[Float32] = Field(description="the vector")
    sha256: Sha256 = Field(description="sha256 of its little-endian float32 bytes")


class ModelRecord(Contract):
    """One row for every output of every model, in `derived/facts/records`."""

    record_id: str = Field(description="id, made of what determines the record")
    schema_version: Int32 = Field(default=SCHEMA_VERSION, description="1")
    record_type: str = Field(default=RECORD_TYPE, description="`derived.model.output`")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the evidence")
    sample_id: str = Field(description="evidence record that the model was shown")
    source_ids: list[str] = Field(description="further evidence used")
    modality: str = Field(description="`ocr`, `vlm`, `uia`, `state`, `embed`, …")
    provider_id: str = Field(description="runtime that ran the model")
    model_id: str = Field(description="name of the model")
    model_digest: Sha256 = Field(description="sha256 over the weights and the preprocessing that changes outputs")
    prompt_hash: str = Field(description="hash of the exact prompt and decoder parameters; empty without one")
    prompt: str = Field(description="the prompt; empty without one")
    output_json: str = Field(description="what the model said, as canonical JSON")
    output_sha256: Sha256 = Field(description="sha256 of output_json")
    emb_vectors: list[EmbeddingVector] = Field(description="embeddings that belong to the output")
    metrics: str = Field(description="timings and such, as JSON; no part of the row hash")
    provenance: str = Field(description="stage, versions, config hash, evidence hashes, parents, as JSON")
    row_hash: Sha256 = Field(description="sha256 of the row without what may differ from run to run")


def record_id(run_id: str, sample_id: str, modality: str, model_digest: str, prompt_hash: str, config_hash: str) -> str:
    """Name a record by what determines it: `{run_id}/derived.model.output/{modality}/{32 hex}`."""
    digest = canonical_sha256([sample_id, modality, model_digest, prompt_hash, config_hash])
    return f"{run_id}/{RECORD_TYPE}/{modality}/{digest[:32]}"


def vector_sha256(vector: Sequence[float]) -> str:
    """Hash a vector by its little-endian float32 bytes."""
    values = array.array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return sha256_hex(values.tobytes())


def row_hash(row: Mapping[str, Any]) -> str:
    """Hash a record row, without what may differ from run to run.

    Leaves out `row_hash`, `metrics` and `provenance.code_version`. A timestamp goes in as integer microseconds, a
    vector as its sha256, nested JSON columns as their text, `provenance` parsed. Raises NotCanonical.
    """
    return sha256_hex(
        canonical_json({key: _hashable(key, value) for key, value in row.items() if key not in ("row_hash", "metrics")})
    )


def _hashable(key: str, value: Any) -> JsonValue:
    if key == "provenance":
        return {name: item for name, item in orjson.loads(value).items() if name != "code_version"}
    if key == "emb_vectors":
        return [{"kind": item["kind"], "dims": item["dims"], "vector": item["sha256"]} for item in value]
    if isinstance(value, datetime):
        return utc_microseconds(value)
    return value
