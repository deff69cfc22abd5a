"""A handoff's rows and what Stage 1 says about them, in one transaction `[handoff-3]`, `[handoff-5]`, `[handoff-6]`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.ingest.check_handoff import Plan
from pipeline.ingest.check_rows import FrameClaim
from pipeline.ingest.completion import frame_rows
from pipeline.ingest.foreign_rows import ForeignRows
from pipeline.stores.atomic import replace_bytes
from pipeline.stores.metadata import MetadataRow, MetadataStore
from schemas.canonical import sha256_hex


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a handoff's rows: `inserted + identical + quarantined` are all of them."""

    inserted: int
    identical: int
    quarantined: int
    frames_complete: int


def add_rows(store: MetadataStore, foreign: ForeignRows, plan: Plan) -> Committed:
    """Add the rows that are new, and the records of the frames that are complete.

    Inside a transaction of the caller's. Raises sqlite3.Error.
    """
    inserted = sum(store.insert_new(chunk) for chunk in foreign.chunks())
    complete = sum(_add_frame_records(store, claims, plan.conflicts) for claims in plan.claims.chunks())
    quarantined = len(plan.conflicts)
    return Committed(inserted, plan.rows - inserted - quarantined, quarantined, complete)


def count_complete(store: MetadataStore, plan: Plan) -> int:
    """Count the frames of a plan that are complete by what the store holds."""
    return sum(len(_complete(store, claims, plan.conflicts)) for claims in plan.claims.chunks())


def quarantine_rows(foreign: ForeignRows, plan: Plan, folder: Path, handoff_root: str) -> None:
    """Write each row that conflicts as a JSON file, the same on every run. The folder must exist. Raises OSError."""
    for chunk in foreign.chunks():
        for row in chunk:
            if row.record_id in plan.conflicts:
                name = f"{sha256_hex(row.record_id.encode())[:32]}.json"
                replace_bytes(folder / name, _quarantined(row, plan.handoff_id, handoff_root))


def _add_frame_records(store: MetadataStore, claims: list[FrameClaim], conflicts: set[str]) -> int:
    complete = _complete(store, claims, conflicts)
    store.insert_new(row for claim in complete for row in frame_rows(claim))
    return len(complete)


def _complete(store: MetadataStore, claims: list[FrameClaim], conflicts: set[str]) -> list[FrameClaim]:
    """Keep the frames for which every record they refer to is in the store, the handoff's own rows included."""
    wanted = sorted({reference for claim in claims for reference in claim.references})
    found = store.existing(wanted) - conflicts
    return [claim for claim in claims if found.issuperset(claim.references)]


def _quarantined(row: MetadataRow, handoff_id: str, handoff_root: str) -> bytes:
    is_text = isinstance(row.payload, str)
    payload = row.payload if is_text else base64.b64encode(row.payload_bytes).decode()
    return orjson.dumps(  # not canonical JSON, which would normalise the payload's text
        {
            "reason": "the id is kept with another payload",
            "handoff_id": handoff_id,
            "handoff_root": handoff_root,
            "id": row.record_id,
            "record_type": None if row.record_type is None else str(row.record_type),
            "ts_utc": None if row.ts_utc is None else str(row.ts_utc),
            "run_id": None if row.run_id is None else str(row.run_id),
            "payload_encoding": "text" if is_text else "base64",
            "payload": payload,
            "payload_sha256": sha256_hex(row.payload_bytes),
        },
        option=orjson.OPT_SORT_KEYS,
    )
