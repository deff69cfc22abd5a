"""The canonical record of what a model said, the same for every model stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import Batch, SampleResult
from schemas.arrow import table_schema
from schemas.canonical import canonical_json, sha256_hex
from schemas.record import RECORD_TYPE, SCHEMA_VERSION, record_id, row_hash
from schemas.serving import ModelIdentity, SampleFailure


@dataclass(frozen=True, slots=True)
class Making:
    """How records are made: the stage, its version, the hash of its configuration, the model, its prompt, the code."""

    stage: str
    stage_version: int
    config_hash: str
    model: ModelIdentity
    code_version: str
    prompt: str = ""
    prompt_hash: str = ""

    def record_id(self, run_id: str, sample_id: str, modality: str) -> str:
        """The id of the record that a sample gets."""
        return record_id(run_id, sample_id, modality, self.model.model_digest, self.prompt_hash, self.config_hash)


def record_batch(made: Iterable[tuple[str, dict[str, Any] | SampleFailure]]) -> Batch:
    """The records of samples, and what became of each: `(sample_id, its record or why it has none)`."""
    rows, results = [], []
    for sample_id, row in made:
        if isinstance(row, SampleFailure):
            results.append(SampleResult(sample_id, failure=row))
        else:
            rows.append(row)
            results.append(SampleResult(sample_id, row["record_id"], row["row_hash"]))
    return Batch(pa.Table.from_pylist(rows, schema=table_schema("records")), results)


def model_record(
    making: Making,
    *,
    modality: str,
    run_id: str,
    ts_utc: datetime,
    sample_id: str,
    output: bytes,
    metrics: Mapping[str, int],
    evidence: Mapping[str, str],
    parents: Sequence[str] = (),
    source_ids: Sequence[str] = (),
    vectors: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Make a row of `records` for what a model said. `output` is canonical JSON. Raises NotCanonical."""
    provenance = {
        "stage": making.stage,
        "stage_version": making.stage_version,
        "code_version": making.code_version,
        "config_hash": making.config_hash,
        "evidence": evidence,
        "parents": list(parents),
    }
    model = making.model
    row: dict[str, Any] = {
        "record_id": making.record_id(run_id, sample_id, modality),
        "schema_version": SCHEMA_VERSION,
        "record_type": RECORD_TYPE,
        "run_id": run_id,
        "ts_utc": ts_utc,
        "sample_id": sample_id,
        "source_ids": list(source_ids),
        "modality": modality,
        "provider_id": model.provider_id,
        "model_id": model.model_id,
        "model_digest": model.model_digest,
        "prompt_hash": making.prompt_hash,
        "prompt": making.prompt,
        "output_json": output.decode(),
        "output_sha256": sha256_hex(output),
        "emb_vectors": list(vectors),
        "metrics": canonical_json(metrics).decode(),
        "provenance": canonical_json(provenance).decode(),
    }
    row["row_hash"] = row_hash(row)
    return row
