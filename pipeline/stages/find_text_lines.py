"""Text lines of frames, as a text model reads them, in canonical records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import Batch, SampleResult
from schemas.arrow import table_schema
from schemas.canonical import canonical_json, sha256_hex
from schemas.record import RECORD_TYPE, SCHEMA_VERSION, record_id, row_hash
from schemas.serving import FrameRef, ModelIdentity, ReadText, SampleFailure, TextReader, canonical_text_output

MODALITY = "ocr"


@dataclass(frozen=True, slots=True)
class Making:
    """How records are made: the stage, its version, the hash of its configuration, the model, the code."""

    stage: str
    stage_version: int
    config_hash: str
    model: ModelIdentity
    code_version: str


def find_text_lines(frames: Sequence[FrameRef], read: TextReader, making: Making) -> Batch:
    """Have frames read and write one record for each that was `[row-1]`.

    `output_json` is `{"height", "lines": [{"bbox": [l, t, r, b], "score", "text"}], "width"}`, boxes in pixels,
    scores in 1/10,000, lines in reading order. A frame that `read` does not yield stays pending.
    """
    rows, results = [], []
    for index, reply in read(frames):
        frame = frames[index]
        if isinstance(reply, SampleFailure):
            results.append(SampleResult(frame.frame_id, failure=reply))
            continue
        row = _record(frame, reply, making)
        rows.append(row)
        results.append(SampleResult(frame.frame_id, row["record_id"], row["row_hash"]))
    return Batch(pa.Table.from_pylist(rows, schema=table_schema("records")), results)


def _record(frame: FrameRef, reply: ReadText, making: Making) -> dict[str, Any]:
    output = canonical_text_output(reply)
    provenance = {
        "stage": making.stage,
        "stage_version": making.stage_version,
        "code_version": making.code_version,
        "config_hash": making.config_hash,
        "evidence": {frame.frame_id: frame.content_hash},
        "parents": [],
    }
    model = making.model
    row: dict[str, Any] = {
        "record_id": record_id(frame.run_id, frame.frame_id, MODALITY, model.model_digest, "", making.config_hash),
        "schema_version": SCHEMA_VERSION,
        "record_type": RECORD_TYPE,
        "run_id": frame.run_id,
        "ts_utc": frame.ts_utc,
        "sample_id": frame.frame_id,
        "source_ids": [],
        "modality": MODALITY,
        "provider_id": model.provider_id,
        "model_id": model.model_id,
        "model_digest": model.model_digest,
        "prompt_hash": "",
        "prompt": "",
        "output_json": output.decode(),
        "output_sha256": sha256_hex(output),
        "emb_vectors": [],
        "metrics": canonical_json({"elapsed_us": reply.elapsed_us}).decode(),
        "provenance": canonical_json(provenance).decode(),
    }
    row["row_hash"] = row_hash(row)
    return row
