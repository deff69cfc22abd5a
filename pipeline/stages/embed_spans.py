"""Embeddings of spans, in canonical records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import Batch, SampleResult
from pipeline.stages.model_record import Making, model_record
from schemas.arrow import table_schema
from schemas.canonical import canonical_json
from schemas.record import vector_sha256
from schemas.serving import Embedding, SampleFailure, TextEmbedder

MODALITY = "embed"
VECTOR_KIND = "span_text"
SPAN_COLUMNS = ["span_id", "run_id", "first_seen_utc", "first_frame_id", "last_frame_id", "track_ids", "text",
                "text_sha256"]  # fmt: skip

Row = Mapping[str, Any]


def embed_spans(spans: Sequence[Row], embed: TextEmbedder, making: Making) -> Batch:
    """Have the texts of spans embedded and write one record for each span whose text was `[row-1]`.

    `spans` has SPAN_COLUMNS. `output_json` is `{"cut", "dims", "text_sha256", "tokens"}`; the vector is in
    `emb_vectors`. Equal texts are asked for once. A span without text is done and has no record; one whose text `embed`
    does not yield stays pending.
    """
    results = [SampleResult(span["span_id"]) for span in spans if not span["text"]]
    by_text: dict[str, list[Row]] = {}
    for span in spans:
        if span["text"]:
            by_text.setdefault(span["text"], []).append(span)
    texts = list(by_text)
    rows = []
    for index, reply in embed(texts):
        for span in by_text[texts[index]]:
            if isinstance(reply, SampleFailure):
                results.append(SampleResult(span["span_id"], failure=reply))
                continue
            row = _record(span, reply, making)
            rows.append(row)
            results.append(SampleResult(span["span_id"], row["record_id"], row["row_hash"]))
    return Batch(pa.Table.from_pylist(rows, schema=table_schema("records")), results)


def _record(span: Row, reply: Embedding, making: Making) -> dict[str, Any]:
    vector, dims = reply.vector, len(reply.vector)
    output = {"cut": reply.cut, "dims": dims, "text_sha256": span["text_sha256"], "tokens": reply.tokens}
    return model_record(
        making,
        modality=MODALITY,
        run_id=span["run_id"],
        ts_utc=span["first_seen_utc"],
        sample_id=span["span_id"],
        output=canonical_json(output),
        metrics={},  # what a text took says nothing where it was remembered
        evidence={},
        parents=span["track_ids"],
        source_ids=list(dict.fromkeys([span["first_frame_id"], span["last_frame_id"]])),
        vectors=[{"kind": VECTOR_KIND, "dims": dims, "vector": vector, "sha256": vector_sha256(vector)}],
    )
