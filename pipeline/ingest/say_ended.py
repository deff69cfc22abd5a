"""What is said of a handoff when it ends: the fields of its completion record, or the event of one kept in part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipeline.dataroot import handoff_key
from pipeline.ingest.check_handoff import Plan
from pipeline.ingest.manifest import kept_files_digest
from pipeline.stores.journal import NewEvent
from schemas.fields import utc_text
from schemas.handoff import SYSTEM_RUN

_PARTIAL = "system.ingest.handoff.partial"


def completed_fields(plan: Plan, ways: Sequence[str], started: datetime, ended: datetime) -> dict[str, Any]:
    """What a plan and the ways in which its media were kept, `linked` or `copied`, say about it `[handoff-5]`."""
    total = plan.file_bytes + plan.payload_bytes
    return {
        "ts_utc": utc_text(ended),
        "handoff_id": plan.handoff_id,
        "counts": {
            "metadata_rows_copied": plan.rows,
            "media_files_linked": ways.count("linked"),
            "media_files_copied": ways.count("copied"),
            "bytes_ingested": total,
        },
        "bytes": total,
        "started_utc": utc_text(started),
        "ended_utc": utc_text(ended),
        "errors": plan.incomplete.lines,
        "handoff_manifest_sha256": plan.manifest_sha256,
        "kept_files_sha256": kept_files_digest(_kept_files(plan)),
    }


def partial_event_id(plan: Plan) -> str:
    """Name the journal event of a handoff that was kept in part."""
    return f"{SYSTEM_RUN}/handoff.partial/{plan.manifest_sha256}"


def partial_event(plan: Plan, ingest_run_id: str, moment: datetime) -> NewEvent:
    """Say of a handoff that it was kept in part: what was quarantined, what speaks against it `[handoff-3]`."""
    payload = {
        "handoff_id": plan.handoff_id,
        "ingest_run_id": ingest_run_id,
        "rows": plan.rows,
        "quarantined": len(plan.conflicts),
        "faults": plan.faults.lines,
    }
    return NewEvent(partial_event_id(plan), _PARTIAL, SYSTEM_RUN, moment, payload)


def _kept_files(plan: Plan) -> dict[str, tuple[int, str]]:
    """What the handoff's own folder in the DataRoot holds of it, by path in there."""
    folder = handoff_key(plan.handoff_id, "")
    return {
        placement.target.removeprefix(folder): (placement.source.size, placement.sha256)
        for placement in plan.placements
        if placement.target.startswith(folder)
    }
