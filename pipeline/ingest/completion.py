"""What Stage 1 says when a handoff is safe: records in the metadata store, a journal event, the marker.

All of it is a function of the completion record, so that a rerun says the same again `[handoff-2]`, `[handoff-5]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from pipeline.dataroot import REAP_MARKER, rid
from pipeline.errors import ContractInvalid
from pipeline.ingest.check_rows import FrameClaim
from pipeline.ingest.marker_file import marker_bytes
from pipeline.stores.atomic import fsync_directory
from pipeline.stores.metadata import MetadataRow, MetadataStore, as_bytes
from schemas.canonical import payload_hash, sha256_hex
from schemas.evidence import FRAME
from schemas.handoff import (
    COMPLETED,
    RETENTION_ELIGIBLE,
    STAGE1_COMPLETE,
    SYSTEM_RUN,
    HandoffCompleted,
    HandoffCounts,
    ReapMarker,
    SystemRecord,
)

_IN_MARKER = {"handoff_root", "ended_utc", "ingest_run_id", "counts", "handoff_manifest_sha256"}


class Marked(NamedTuple):
    """A handoff that was completed, as far as a marked one needs to be known."""

    manifest_sha256: str
    handoff_id: str
    rows: int
    stat_sha256: str
    marker: bytes


def completion_id(manifest_sha256: str) -> str:
    """Name a handoff's completion record by what the handoff held."""
    return f"{SYSTEM_RUN}/{COMPLETED}/{manifest_sha256}"


def completed_event_id(manifest_sha256: str) -> str:
    """Name a handoff's journal event `[hash-4]`."""
    return f"{SYSTEM_RUN}/handoff.completed/{manifest_sha256}"


def read_completion(store: MetadataStore, manifest_sha256: str) -> HandoffCompleted | None:
    """Look up the completion record of a manifest; None when the handoff was not completed.

    Raises ContractInvalid for one that is damaged, sqlite3.Error.
    """
    record_id = completion_id(manifest_sha256)
    payload = store.payloads([record_id]).get(record_id)
    try:
        return None if payload is None else HandoffCompleted.model_validate_json(as_bytes(payload))
    except ValidationError as error:
        raise ContractInvalid(
            f"the DataRoot's own record of it is damaged: {record_id}", remedy="pipeline verify says what else is"
        ) from error


def read_marked(store: MetadataStore, manifests: Iterable[str], dest_data_root: str) -> dict[str, Marked]:
    """Look up what many completion records say of the marked handoffs, by manifest; a damaged one is left out.

    They are not led through their model, which costs as much as all the rest. Raises sqlite3.Error.
    """
    found = store.payloads([completion_id(manifest) for manifest in manifests])
    marked = (_marked(record_id, payload, dest_data_root) for record_id, payload in found.items())
    return {one.manifest_sha256: one for one in marked if one is not None}


def _marked(record_id: str, payload: str | bytes, dest_data_root: str) -> Marked | None:
    """What is said to the user is looked at here; the marker that lies there must be the very bytes of this one."""
    try:
        record = orjson.loads(payload)
        counts = record["counts"]
        found = Marked(
            record["handoff_manifest_sha256"],
            record["handoff_id"],
            counts["metadata_rows_copied"],
            record["stat_manifest_sha256"],
            _render(record, dest_data_root),
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_sound = (
        record_id == completion_id(found.manifest_sha256)
        and counts.keys() == HandoffCounts.model_fields.keys()
        and type(found.handoff_id) is str
        and type(found.rows) is int
    )
    return found if is_sound else None


def completion_row(completed: dict[str, Any]) -> MetadataRow:
    """Make the completion record's row out of its fields."""
    record_id = completion_id(completed["handoff_manifest_sha256"])
    return _row(record_id, HandoffCompleted, {"record_type": COMPLETED, "run_id": SYSTEM_RUN, **completed})


def frame_rows(claim: FrameClaim) -> list[MetadataRow]:
    """Make the two records that say a frame is complete and may be let go of `[handoff-6]`.

    They carry the frame's own time: the same frame in another handoff gives the same records.
    """
    shared = {"schema_version": 1, "run_id": claim.run_id, "ts_utc": claim.ts_utc, "source_record_id": claim.frame_id}
    name = rid(claim.frame_id)
    complete = {"record_type": STAGE1_COMPLETE, **shared, "source_record_type": FRAME, "complete": True}
    eligible = {
        "record_type": RETENTION_ELIGIBLE,
        **shared,
        "stage1_contract_validated": True,
        "quarantine_pending": False,
    }
    return [_frame_row(claim, name, complete), _frame_row(claim, name, eligible)]


def _frame_row(claim: FrameClaim, name: str, body: dict[str, Any]) -> MetadataRow:
    """Two of these are made for every frame, so they are not led through their models; a test holds that they fit."""
    record_type = body["record_type"]
    payload = _json({**body, "payload_hash": _hash_of(body)}).decode()
    return MetadataRow(f"{claim.run_id}/{record_type}/{name}", payload, record_type, claim.ts_utc, claim.run_id)


def _hash_of(body: dict[str, Any]) -> str:
    plain = _json(body)
    return sha256_hex(plain) if plain.isascii() else payload_hash(body)


def render_marker(completed: HandoffCompleted, dest_data_root: str) -> bytes:
    """Write the marker that a completion record stands for: a `ReapMarker`."""
    return _render(completed.model_dump(include=_IN_MARKER), dest_data_root)


def _render(completed: Mapping[str, Any], dest_data_root: str) -> bytes:
    marker = {
        "schema": "autocapture.handoff.reap_eligible.v1",
        "handoff_root": completed["handoff_root"],
        "dest_data_root": dest_data_root,
        "ingested_at_utc": completed["ended_utc"],
        "ingest_run_id": completed["ingest_run_id"],
        "counts": completed["counts"],
        "integrity": {
            "dest_metadata_db_sha256": None,
            "handoff_manifest_sha256": completed["handoff_manifest_sha256"],
            "notes": None,
        },
    }
    return _json(marker) + b"\n"


def read_marker(handoff: Path) -> tuple[ReapMarker, bytes] | None:
    """Read the marker that lies in a handoff; None when there is none that we could have written."""
    data = marker_bytes(handoff)
    try:
        return None if data is None else (ReapMarker.model_validate_json(data), data)
    except ValidationError:
        return None


def marked_manifest(marker: bytes | None) -> str:
    """The manifest that a marker names, before anything else of it is believed; empty where it names none."""
    try:
        return str(orjson.loads(marker or b"")["integrity"]["handoff_manifest_sha256"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def withdraw_marker(handoff: Path, dest_data_root: str) -> bool:
    """Take back a marker of this DataRoot that can no longer be vouched for; tells whether there was one.

    The handoff changed after it was marked: a reaper that believes the old marker would delete what nobody kept.
    Raises OSError.
    """
    found = read_marker(handoff)
    if found is None or found[0].dest_data_root != dest_data_root:
        return False
    (handoff / REAP_MARKER).unlink(missing_ok=True)
    fsync_directory(handoff)
    return True


def _row(record_id: str, model: type[SystemRecord], fields: dict[str, Any]) -> MetadataRow:
    body = {"schema_version": 1, **fields}
    record = model.model_validate({**body, "payload_hash": payload_hash(body)})
    payload = _json(record.model_dump()).decode()
    return MetadataRow(record_id, payload, fields["record_type"], record.ts_utc, record.run_id)


def _json(value: dict[str, Any]) -> bytes:
    """Canonical JSON, but for the normalising: ids and paths stay as they are written where they come from."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
