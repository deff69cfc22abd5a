"""Everything about a handoff is checked here, before anything in the DataRoot changes `[handoff-3]`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipeline.dataroot import DataRoot, handoff_key
from pipeline.errors import ContractInvalid
from pipeline.ingest.check_rows import MediaClaim, RowCheck, check_row
from pipeline.ingest.foreign_rows import ForeignRows
from pipeline.ingest.frame_claims import FrameClaims
from pipeline.ingest.handoff_directory import DATABASE, Entry, HandoffDirectory, Look, path_text
from pipeline.ingest.look import is_there
from pipeline.ingest.manifest import ManifestDigest, handoff_id
from pipeline.ingest.place_files import Placement, holds
from pipeline.ingest.snapshot import Findings, Snapshot, database_files
from pipeline.stores.metadata import MetadataRow, MetadataStore, as_bytes
from schemas.handoff import COMPLETED, RETENTION_ELIGIBLE, STAGE1_COMPLETE, SYSTEM_RUN

_OURS = {COMPLETED, STAGE1_COMPLETE, RETENTION_ELIGIBLE}
_MOST_NOTES = 100
_MOST_CHUNKS_AHEAD = 40
"""Chunks of rows that wait for the hashes of files: 20,000 rows."""
_Checked = list[tuple[MetadataRow, RowCheck]]


@dataclass
class Notes:
    """Lines for a person, the first hundred of them, and how many there were."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: str) -> None:
        """Note a line."""
        self.count += 1
        if len(self.lines) < _MOST_NOTES:
            self.lines.append(line)

    def about(self, record_id: str, line: str) -> None:
        """Note a line about a row."""
        self.add(f"{record_id[:160]!r}: {line}")


@dataclass
class Plan:
    """What a handoff holds and what is to be done with it."""

    manifest_sha256: str = ""
    handoff_id: str = ""
    rows: int = 0
    new_rows: int = 0
    payload_bytes: int = 0
    frames: int = 0
    claims: FrameClaims = field(default_factory=FrameClaims)
    """Frames whose row and blob are in order; what they refer to is looked up once all rows are there."""
    placements: list[Placement] = field(default_factory=list)
    conflicts: set[str] = field(default_factory=set)
    """Ids that the DataRoot keeps with another payload."""
    faults: Notes = field(default_factory=Notes)
    """What speaks against the handoff: missing and wrong blobs, places that hold something else."""
    incomplete: Notes = field(default_factory=Notes)
    warnings: Notes = field(default_factory=Notes)

    @property
    def is_whole(self) -> bool:
        """Whether all of the handoff can be kept as it is."""
        return not self.conflicts and not self.faults.count

    @property
    def file_bytes(self) -> int:
        """Bytes of all files that are kept."""
        return sum(placement.source.size for placement in self.placements)


@dataclass(frozen=True)
class Kept:
    """What the DataRoot keeps already."""

    root: DataRoot
    store: MetadataStore


def check_handoff(
    directory: HandoffDirectory, look: Look, snapshot: Snapshot, foreign: ForeignRows, kept: Kept
) -> Plan:
    """Read all rows and hash all files of a handoff, and compare them with what the DataRoot keeps.

    Rows are read while files are being hashed by somebody else. Changes nothing. Raises ContractInvalid,
    StillBeingWritten, OSError, sqlite3.Error.
    """
    check: _HandoffCheck | None = None
    ahead: list[_Checked] = []
    for chunk in foreign.chunks():
        ahead.append([(row, check_row(row)) for row in chunk])
        if check is None and (directory.has_hashed() or len(ahead) >= _MOST_CHUNKS_AHEAD):
            check = _HandoffCheck(look, _hashes(directory, look, snapshot), snapshot.findings, kept)
        if check is not None:
            _work_off(check, ahead)
    if check is None:
        check = _HandoffCheck(look, _hashes(directory, look, snapshot), snapshot.findings, kept)
    _work_off(check, ahead)
    return check.finish(directory, foreign.holds_more)


def _hashes(directory: HandoffDirectory, look: Look, snapshot: Snapshot) -> dict[str, str]:
    others = {path: directory.hash_file(entry) for path, entry in look.files.items() if path not in snapshot.hashes}
    return {**snapshot.hashes, **others}


def _work_off(check: _HandoffCheck, ahead: list[_Checked]) -> None:
    for rows in ahead:
        check.add_rows(rows)
    ahead.clear()


class _HandoffCheck:
    """Builds a plan, row by row."""

    def __init__(self, look: Look, hashes: dict[str, str], findings: Findings, kept: Kept) -> None:
        self._look = look
        self._hashes = hashes
        self._kept = kept
        self._plan = Plan()
        self._used: set[str] = set()
        self._folder = ""
        self._is_folder_there = False
        self._faulty: Collection[str] = ()
        self._digest = ManifestDigest({path: (entry.size, hashes[path]) for path, entry in look.files.items()})
        self._add_findings(findings)

    def _add_findings(self, findings: Findings) -> None:
        """Take over what was found before there were rows, and compare the files that the producer vouches for."""
        for warning in findings.warnings:
            self._plan.warnings.add(warning)
        for subject, fault in findings.faults.items():
            self._plan.faults.about(subject, fault)
        self._faulty = findings.faults.keys()
        for path, digest in sorted(findings.sealed.items()):
            found = self._hashes.get(path)
            if found != digest:
                wrong = "is missing" if found is None else "does not hash to what its producer says"
                self._plan.faults.add(f"{path_text(path)[:160]!r} {wrong}")

    def add_rows(self, rows: _Checked) -> None:
        """Compare the next rows, in the order of ids, with files and with what is kept."""
        plan = self._plan
        known = self._kept.store.payloads([row.record_id for row, _ in rows])
        for row, found in rows:
            _require_not_ours(row)
            self._digest.add(row)
            plan.rows += 1
            plan.payload_bytes += len(row.payload_bytes)
            payload = known.get(row.record_id)
            if payload is None:
                plan.new_rows += 1
            elif as_bytes(payload) != row.payload_bytes:
                plan.conflicts.add(row.record_id)
            self._add_claims(row, found, is_conflict=row.record_id in plan.conflicts)

    def finish(self, directory: HandoffDirectory, keep_database: bool) -> Plan:
        """Plan where every file goes that no record claimed."""
        plan = self._plan
        plan.manifest_sha256 = self._digest.hexdigest()
        plan.handoff_id = handoff_id(directory.path, plan.manifest_sha256)
        for path, entry in sorted(self._look.files.items()):
            if path not in self._used and path != DATABASE:
                self._keep_aside(entry)
        if keep_database:
            plan.warnings.add("metadata.db holds more than the rows that are read: the whole database is kept too")
            for entry in database_files(self._look):
                self._keep_aside(entry)
        return plan

    def _add_claims(self, row: MetadataRow, check: RowCheck, is_conflict: bool) -> None:
        plan = self._plan
        plan.frames += check.is_frame
        for warning in check.warnings:
            plan.warnings.about(row.record_id, warning)
        if check.incomplete:
            plan.incomplete.about(row.record_id, f"incomplete row, kept as it is: {check.incomplete}")
            return
        is_sound = not is_conflict and row.record_id not in self._faulty
        has_blob = is_sound and (check.media is None or self._claim_blob(check.media))
        if has_blob and check.frame is not None:
            plan.claims.append(check.frame)

    def _claim_blob(self, claim: MediaClaim) -> bool:
        """Find a record's blob and plan its place; tells whether it is there and right."""
        source = self._find(claim)
        if source is None:
            return not claim.required or self._is_kept_already(claim)
        is_kept, fault = self._compare(claim, source)
        if fault:
            self._plan.faults.about(claim.record_id, fault)
            return False
        # Without a hash in its record, nothing would tell when a producer wrote to a shared inode later.
        may_link = claim.content_hash is not None and not source.path.startswith(DATABASE)
        self._plan.placements.append(
            Placement(source, self._hashes[source.path], claim.canonical, True, is_kept, may_link)
        )
        self._used.add(source.path)
        return True

    def _find(self, claim: MediaClaim) -> Entry | None:
        if claim.named is not None:
            for spelling in (claim.named, claim.named.replace("\\", "/")):
                entry = self._look.files.get(str(PurePosixPath(spelling)))
                if entry is not None:
                    return entry
            self._plan.warnings.about(claim.record_id, "blob_path names no file inside the handoff")
        return self._look.files.get(claim.canonical)

    def _is_kept_already(self, claim: MediaClaim) -> bool:
        """Without a blob in the handoff, one that the DataRoot holds in its place will do, if it is the right one."""
        digest = claim.content_hash
        if digest is not None and holds(self._kept.root, claim.canonical, None, digest):
            return True
        self._plan.faults.about(claim.record_id, "its blob is missing from the handoff")
        return False

    def _compare(self, claim: MediaClaim, source: Entry) -> tuple[bool, str]:
        """Tell whether the DataRoot holds the blob already, and what speaks against it."""
        if claim.content_size is not None and claim.content_size != source.size:
            return False, f"its blob has {source.size} bytes; its content_size says {claim.content_size}"
        if claim.content_hash is not None and claim.content_hash != self._hashes[source.path]:
            return False, "its blob does not hash to its content_hash"
        is_kept = self._holds(claim.canonical, source)
        return bool(is_kept), f"the DataRoot holds another content at {claim.canonical}" if is_kept is False else ""

    def _holds(self, target: str, source: Entry) -> bool | None:
        """As `holds`; where the whole directory is not there yet, each of its files need not be looked for."""
        folder = target.rpartition("/")[0]
        if folder != self._folder:
            self._folder, self._is_folder_there = folder, is_there(f"{self._kept.root}/{folder}")
        return holds(self._kept.root, target, source, self._hashes[source.path]) if self._is_folder_there else None

    def _keep_aside(self, entry: Entry) -> None:
        target = handoff_key(self._plan.handoff_id, entry.path)
        is_kept = self._holds(target, entry)
        if is_kept is False:
            self._plan.faults.add(f"the DataRoot holds another content at {path_text(target)}")
            return
        is_database = entry.path.startswith(DATABASE)
        is_media = entry.path.startswith("media/")
        self._plan.placements.append(
            Placement(entry, self._hashes[entry.path], target, is_media, bool(is_kept), may_link=not is_database)
        )


def _require_not_ours(row: MetadataRow) -> None:
    """Records that say what is safe are written by Stage 1 alone: a handoff cannot bring them."""
    parts = row.record_id.split("/", 2)
    if parts[0] == SYSTEM_RUN or row.record_type in _OURS or (len(parts) > 1 and parts[1] in _OURS):
        raise ContractInvalid(
            f"it holds a record that only Stage 1 may write: {row.record_id[:160]!r}",
            remedy="hand off what the sidecar wrote, not a DataRoot; it was left as it is",
        )
