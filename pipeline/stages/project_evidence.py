"""Evidence as typed rows: what every stage does that only projects, whatever the record type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from pipeline.stages.batch import Batch, SampleInput, SampleResult
from schemas.arrow import table_schema
from schemas.canonical import sha256_hex
from schemas.evidence import RecordModel, parse_record
from schemas.serving import SampleFailure


def project_evidence(
    samples: Sequence[SampleInput],
    model: type[RecordModel],
    table: str,
    row: Callable[[SampleInput, RecordModel], dict[str, Any]],
) -> Batch:
    """Make a row of each sample; one that lacks a required field is a failure `[meta-3]`.

    A sample's output is named by its own id, and its hash is that of the payload: it changes when the evidence does.
    """
    rows, results = [], []
    for sample in samples:
        try:
            record, _ = parse_record(model, sample.payload)
        except ValueError as error:
            results.append(SampleResult(sample.sample_id, failure=SampleFailure("row_incomplete", str(error), False)))
            continue
        rows.append(row(sample, record))
        results.append(SampleResult(sample.sample_id, sample.sample_id, sha256_hex(sample.payload.encode())))
    return Batch(pa.Table.from_pylist(rows, schema=table_schema(table)), results)
