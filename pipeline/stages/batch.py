"""What a sample stage gives back: rows, and what became of each sample."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from schemas.serving import SampleFailure


@dataclass(frozen=True, slots=True)
class SampleInput:
    """A piece of evidence as a stage gets it: its payload as stored, and where its blob lies."""

    sample_id: str
    run_id: str
    ts_utc: datetime
    payload: str


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What became of a sample: an output with its id and hash, or a failure."""

    sample_id: str
    output_id: str | None = None
    output_hash: str | None = None
    failure: SampleFailure | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the stage's table and a result for each sample that was finished; others stay pending."""

    rows: pa.Table
    results: list[SampleResult]
