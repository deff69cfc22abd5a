"""A bundle's rows against its files, and against what a DataRoot keeps: the rules of a handoff `[handoff-3]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from pipeline.bundles.listing import CONFLICT, UNPROVEN, Listed, Listing
from pipeline.bundles.names import REMEDY, member_name, member_path
from pipeline.dataroot import DataRoot, handoff_key
from pipeline.errors import ContractInvalid
from pipeline.ingest.check_handoff import Notes
from pipeline.ingest.check_rows import FrameClaim, MediaClaim, check_row
from pipeline.ingest.completion import completion_id, frame_rows
from pipeline.ingest.foreign_rows import ForeignRows
from pipeline.ingest.manifest import kept_files_digest
from pipeline.ingest.place_files import holds
from pipeline.stores.metadata import MetadataRow, MetadataStore, as_bytes
from schemas.bundle import RESTORED, BundleRestored
from schemas.handoff import (
    COMPLETED,
    RETENTION_ELIGIBLE,
    STAGE1_COMPLETE,
    SYSTEM_RUN,
    HandoffCompleted,
    RetentionEligible,
    Stage1Complete,
)

_OURS = {COMPLETED, RESTORED, STAGE1_COMPLETE, RETENTION_ELIGIBLE}


@dataclass(frozen=True)
class Kept:
    """What a DataRoot keeps already."""

    root: DataRoot
    store: MetadataStore


@dataclass
class Findings:
    """What came of a check; which row or member it is about is in the listing."""

    rows: int = 0
    frames: int = 0
    faults: Notes = field(default_factory=Notes)
    """What is missing or wrong: a bundle with any is not whole."""
    warnings: Notes = field(default_factory=Notes)


def restored_id(manifest_sha256: str) -> str:
    """Name the record that says a bundle was restored by what the bundle holds."""
    return f"{SYSTEM_RUN}/{RESTORED}/{manifest_sha256}"


def check_rows(foreign: ForeignRows, listing: Listing, kept: Kept | None = None) -> Findings:
    """Compare every row with the members that are listed, and with what a DataRoot keeps.

    A member whose hash is not known yet is compared by size alone. Changes nothing but the listing. Raises
    ContractInvalid for a record of Stage 1's that it would not have written, OSError, sqlite3.Error.
    """
    check = _Check(listing, kept)
    for chunk in foreign.chunks():
        check.add(chunk)
    check.settle()
    return check.findings


def expect_files(foreign: ForeignRows, listing: Listing) -> Notes:
    """Find the blob of every row among the files of a DataRoot, and list it in its canonical place; returns faults."""
    faults = Notes()
    for chunk in foreign.chunks():
        for row in chunk:
            claim = None if is_ours(row) else check_row(row).media
            if claim is None or listing.member(claim.canonical) is not None:
                continue
            found = None if claim.named is None else listing.member(member_name(claim.named.replace("\\", "/")))
            if found is not None:
                listing.claim_elsewhere(claim.canonical, found)
            elif claim.required:
                faults.about(row.record_id, "its blob is missing")
    listing.drop_moved()
    return faults


def is_ours(row: MetadataRow) -> bool:
    """Tell whether a row is, or passes for, one of those that Stage 1 alone writes."""
    parts = row.record_id.split("/", 2)
    return parts[0] == SYSTEM_RUN or row.record_type in _OURS or (len(parts) > 1 and parts[1] in _OURS)


class Said(NamedTuple):
    """What a record of Stage 1's says: the id that it has by its content, and the frame or handoff it speaks of."""

    record_id: str
    frame_id: str = ""
    handoff: HandoffCompleted | None = None


class _Check:
    """Looks at rows in the order of their ids."""

    def __init__(self, listing: Listing, kept: Kept | None) -> None:
        self.findings = Findings()
        self._listing = listing
        self._kept = kept
        self._handoffs: dict[str, tuple[str, str]] = {}

    def add(self, rows: list[MetadataRow]) -> None:
        known = self._kept.store.payloads([row.record_id for row in rows]) if self._kept else {}
        self._listing.add_rows([(row.record_id, self._look_at(row, known.get(row.record_id))) for row in rows])

    def settle(self) -> None:
        """Decide which frames are complete, once all rows are known, and with them what is said about frames."""
        missing = list(self._listing.missing_references())
        found = self._kept.store.existing(sorted({reference for _, reference in missing})) if self._kept else set()
        self._listing.drop_frames(frame for frame, reference in missing if reference not in found)
        self._listing.settle_statements()
        for record_id, (handoff_id, digest) in self._handoffs.items():
            if kept_files_digest(self._kept_files(handoff_id)) != digest:
                self.findings.faults.add(f"files kept of the handoff {handoff_id[:160]!r} are not as they were")
                self._listing.refuse(record_id, UNPROVEN)

    def _kept_files(self, handoff_id: str) -> dict[str, tuple[int, str]]:
        folder = handoff_key(handoff_id, "")
        members = self._listing.members_below(member_name(folder))
        return {member_path(item.path)[1].removeprefix(folder): (item.size, item.sha256 or "") for item in members}

    def _look_at(self, row: MetadataRow, known: str | bytes | None) -> str | None:
        """Check one row; tells why it is not taken."""
        self.findings.rows += 1
        if is_ours(row):
            self._look_at_ours(row, is_known=known is not None)
            return None
        if known is not None and as_bytes(known) != row.payload_bytes:
            return CONFLICT
        check = check_row(row)
        self.findings.frames += check.is_frame
        has_blob = not check.incomplete and (check.media is None or self._has_blob(check.media))
        if has_blob and check.frame is not None:
            self._listing.add_frame(row.record_id, sorted(set(check.frame.references)))
        return None

    def _has_blob(self, claim: MediaClaim) -> bool:
        member = self._listing.member(claim.canonical)
        if member is None:
            if not claim.required or self._is_kept_already(claim):
                return True
            self.findings.faults.about(claim.record_id, "its blob is missing")
            return False
        fault = _compare(claim, member) or self._conflict(claim, member)
        if fault:
            self.findings.faults.about(claim.record_id, fault)
            return False
        self._listing.claim(member.path)
        return True

    def _conflict(self, claim: MediaClaim, member: Listed) -> str:
        if self._kept is None or holds(self._kept.root, claim.canonical, None, member.sha256 or "") is not False:
            return ""
        return f"the DataRoot holds another content at {claim.canonical}"

    def _is_kept_already(self, claim: MediaClaim) -> bool:
        digest = claim.content_hash
        return self._kept is not None and digest is not None and bool(
            holds(self._kept.root, claim.canonical, None, digest)
        )  # fmt: skip

    def _look_at_ours(self, row: MetadataRow, *, is_known: bool) -> None:
        """Take a record of Stage 1's only in the form in which it writes them, about what it names.

        Of one that is known, the DataRoot's own word stays: which run said it, and when, is all that can differ.
        """
        try:
            said = _said_by(row)
        except ValidationError:
            said = Said("")
        if row.record_id != said.record_id:
            raise ContractInvalid(
                f"the bundle holds a record that Stage 1 would not have written: {row.record_id[:160]!r}", remedy=REMEDY
            )
        if said.frame_id and not is_known:
            self._listing.add_statement(row.record_id, said.frame_id)
        if said.handoff is not None and said.handoff.kept_files_sha256 is not None and not is_known:
            self._handoffs[row.record_id] = (said.handoff.handoff_id, said.handoff.kept_files_sha256)


def _said_by(row: MetadataRow) -> Said:
    """Read a record of Stage 1's. Raises ValidationError."""
    payload = row.payload_bytes
    if row.record_type == COMPLETED:
        handoff = HandoffCompleted.model_validate_json(payload)
        return Said(completion_id(handoff.handoff_manifest_sha256), handoff=handoff)
    if row.record_type == RESTORED:
        return Said(restored_id(BundleRestored.model_validate_json(payload).bundle_manifest_sha256))
    if row.record_type not in (STAGE1_COMPLETE, RETENTION_ELIGIBLE):
        return Said("")
    is_complete = row.record_type == STAGE1_COMPLETE
    model = Stage1Complete if is_complete else RetentionEligible
    said = model.model_validate_json(payload)
    if not said.source_record_id.startswith(f"{said.run_id}/"):
        return Said("")
    complete, eligible = frame_rows(FrameClaim(said.source_record_id, said.run_id, said.ts_utc, ()))
    return Said((complete if is_complete else eligible).record_id, said.source_record_id)


def _compare(claim: MediaClaim, member: Listed) -> str:
    if claim.content_size is not None and claim.content_size != member.size:
        return f"its blob has {member.size} bytes; its content_size says {claim.content_size}"
    if claim.content_hash is not None and member.sha256 not in (None, claim.content_hash):
        return "its blob does not hash to its content_hash"
    return ""
