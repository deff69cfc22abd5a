"""The answer object that `query` prints and the endpoint returns; fields may be added, none renamed `[answer-1]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.fields import Contract

State = Literal["ok", "no_evidence", "not_available_yet"]
Reason = Literal["not_captured", "not_processed", "failed", "stale"]


class AnswerClaim(Contract):
    """One statement, and the citations that it leans on."""

    text: str = Field(description="the statement")
    citations: list[int] = Field(description="citation_index of each citation")
    rows: list[str] = Field(
        default_factory=list, description="further records that a number or an order was computed from"
    )


class Citation(Contract):
    """Where evidence or a record says it: the text at its span, and the box on the frame."""

    citation_index: int
    claim_index: int
    claim_text: str
    record_id: str = Field(description="the record that holds the text")
    record_type: str
    source: str = Field(description="`ocr`, `window` (a title) or `uia` (an address bar)")
    frame_id: str = Field(description="the frame that shows it")
    ts_utc: str
    bbox: tuple[int, int, int, int] = Field(description="left top right bottom in pixels of the frame")
    text: str = Field(description="the words on the screen")
    span_kind: str = Field(description="`text`: offsets count Unicode code points of the record's text")
    offset_start: int
    offset_end: int
    line: int | None = Field(
        default=None, description="which line of the record, from 0; none for titles and addresses"
    )
    model_id: str
    model_digest: str
    prompt_hash: str
    content_hash: str = Field(description="sha256 of the frame's picture")
    stale: bool
    stale_reason: str


class AnswerCoverage(Contract):
    """What the answer could look at."""

    from_utc: str = Field(alias="from")
    to_utc: str = Field(alias="to")
    read_as: str = Field(description="the words that the stretch of time was read from; empty: all that was captured")
    frames_captured: int
    frames_processed: int
    frames_failed: int
    last_processed_utc: str | None


class Missing(Contract):
    """What could not be looked at, why, and the command that mends it `[answer-3]`."""

    artifact: str
    reason: Reason
    last_processed_utc: str | None
    remedy: str


class Dropped(Contract):
    """A statement that was left out because what it leaned on did not check."""

    record_id: str
    reason: str


class Answer(Contract):
    """A cited answer, or why there is none."""

    ok: bool
    query: str
    query_run_id: str
    state: State
    summary: str
    bullets: list[str]
    topic: str
    confidence_pct: float
    needs_processing: bool
    processing_blocked_reason: str
    scheduled_extract_job_id: str = Field(description="always empty: a query schedules nothing `[answer-2]`")
    claims: list[AnswerClaim]
    citations: list[Citation]
    coverage: AnswerCoverage
    missing: list[Missing]
    dropped: list[Dropped]
    parts_used: list[str] = Field(description="which ways of finding were used")
    latency_ms_total: float
