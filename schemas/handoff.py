"""What Stage 1 writes: the reap marker, its completion records, the journal `[handoff-2]`–`[handoff-6]`, `[hash-4]`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.fields import Contract, Sha256

COMPLETED = "system.ingest.handoff.completed"
STAGE1_COMPLETE = "derived.ingest.stage1.complete"
RETENTION_ELIGIBLE = "retention.eligible"
SYSTEM_RUN = "system.ingest"


class HandoffCounts(Contract):
    """The handoff as it is kept, not the attempt that kept it."""

    metadata_rows_copied: int = Field(ge=0)
    media_files_linked: int = Field(ge=0)
    media_files_copied: int = Field(ge=0)
    bytes_ingested: int = Field(ge=0)


class HandoffIntegrity(Contract):
    dest_metadata_db_sha256: Sha256 | None = None
    handoff_manifest_sha256: Sha256
    notes: str | None = None


class ReapMarker(Contract):
    """`reap_eligible.json`: everything in this handoff is safe in the DataRoot `[handoff-2]`."""

    schema_: Literal["autocapture.handoff.reap_eligible.v1"] = Field(alias="schema")
    handoff_root: str
    dest_data_root: str
    ingested_at_utc: str
    ingest_run_id: str
    counts: HandoffCounts
    integrity: HandoffIntegrity


class SystemRecord(Contract):
    """What every record that Stage 1 adds has."""

    schema_version: Literal[1] = 1
    run_id: str
    ts_utc: str
    payload_hash: Sha256


class HandoffCompleted(SystemRecord):
    """`system.ingest.handoff.completed` under run_id `system.ingest` `[handoff-5]`."""

    record_type: Literal["system.ingest.handoff.completed"]
    handoff_id: str
    ingest_run_id: str
    counts: HandoffCounts
    bytes: int = Field(ge=0)
    started_utc: str
    ended_utc: str
    errors: list[str]
    handoff_manifest_sha256: Sha256
    handoff_root: str
    stat_manifest_sha256: Sha256
    """Over paths, sizes, times and inodes: while it holds, a rerun need not read the files again."""
    kept_files_sha256: Sha256 | None = None
    """Over path, size and sha256 of the files below `handoffs/<handoff_id>/`; None where it was not noted."""


class Stage1Complete(SystemRecord):
    """`derived.ingest.stage1.complete`: a frame's row, blob, hash and references are all here `[handoff-6]`."""

    record_type: Literal["derived.ingest.stage1.complete"]
    source_record_id: str
    source_record_type: str
    complete: Literal[True]


class RetentionEligible(SystemRecord):
    """`retention.eligible`: the sidecar may let go of its copy of this frame `[handoff-6]`."""

    record_type: Literal["retention.eligible"]
    source_record_id: str
    stage1_contract_validated: Literal[True]
    quarantine_pending: Literal[False]


class JournalEvent(Contract):
    """One line of `journal.ndjson` `[hash-4]`."""

    schema_version: Literal[1] = 1
    event_id: str
    sequence: int = Field(ge=0)
    ts_utc: str
    tzid: str
    offset_minutes: int
    event_type: str
    payload: dict[str, Any]
    run_id: str
