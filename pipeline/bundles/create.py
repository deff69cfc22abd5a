"""Makes a bundle of a DataRoot, also while an ingest is at work in it.

    ends of journal and ledger → snapshot of metadata.db → list of files → checked → written → checked again → published

The journal's end comes first, so that it tells of nothing whose rows are not there. The rows come before the files: an
ingest makes blobs durable before it commits the rows that name them, so every blob of the snapshot lies in its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.bundles.check import Findings, check_rows, expect_files
from pipeline.bundles.files import find_files, left_out, line_ends, open_file
from pipeline.bundles.listing import UNPROVEN, Listed, Listing
from pipeline.bundles.names import LINES, Part, member_path
from pipeline.bundles.outcome import Outcome, State, Watch
from pipeline.bundles.writing import BundleWriter, read_blocks
from pipeline.bundles.zip_form import central_record_size, local_header_size
from pipeline.dataroot import DataRoot
from pipeline.errors import Busy, ContractInvalid, UsageError
from pipeline.ingest.check_handoff import Notes
from pipeline.ingest.foreign_rows import ForeignDatabase
from pipeline.ingest.handoff_directory import path_text
from pipeline.stores.atomic import TEMPORARY_PREFIX, fsync_directory
from pipeline.stores.evidence import EvidenceStore, open_database_read_only
from schemas.bundle import MOST_FAULTS, BundleCounts, BundleManifest
from schemas.canonical import canonical_json
from schemas.contract_version import CONTRACT_VERSION

_WORKPLACE = f"{TEMPORARY_PREFIX}bundle-"
_LINE_BYTES = 120
"""Bytes of a line in `members.ndjson`, but for the name."""
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_MEND = "ingest the handoffs or restore the backup that still hold them, or bundle what is there: --no-strict"


def create_bundle(root: DataRoot, out: Path, *, strict: bool = True, watch: Watch | None = None) -> Outcome:
    """Write a bundle of all that a DataRoot keeps; nothing in the DataRoot is changed.

    Unless `strict`, what is missing or wrong in the DataRoot is a warning, and told of in the bundle.
    Raises ContractInvalid for damage, for no room and for what the disk refuses, UsageError, Busy.
    """
    root.require()
    out = out.absolute()
    _require_free_name(root, out)
    outcome = Outcome(path_text(out), State.created)
    try:
        with _workplace(out.parent) as place:
            bundle = _Creation(root, place, strict, watch or Watch()).run(outcome)
            _publish(bundle, out)
    except OSError as error:
        raise ContractInvalid(
            f"the bundle could not be made: {error.strerror or type(error).__name__}",
            remedy="mend the disk or its permissions, or name another place for it; no bundle was written",
        ) from error
    return outcome


class _Creation:
    """The steps of one bundle."""

    def __init__(self, root: DataRoot, place: Path, strict: bool, watch: Watch) -> None:
        self._root, self._place, self._strict, self._watch = root, place, strict, watch
        self._snapshot = place / "snapshot"
        self._bundle = place / "bundle"
        self._ends: dict[Part, int] = {}

    def run(self, outcome: Outcome) -> Path:
        """Do all steps; returns the finished file, and fills the outcome."""
        self._ends = line_ends(self._root)
        _take_snapshot(self._root, self._snapshot)
        with Listing(self._place / "listing") as listing, ForeignDatabase(self._snapshot) as foreign:
            odd = self._list_files(listing)
            self._require(_together(odd, expect_files(foreign, listing)))
            _require_room(self._place, listing)
            with BundleWriter(self._bundle, self._place) as writer:
                unread = self._write_members(writer, listing)
                findings = check_rows(foreign, listing)
                faults = _together(odd, unread, findings.faults, _unproven(listing, findings))
                self._require(faults)
                self._finish(writer, listing, findings, faults, outcome)
        outcome.left_out = left_out(self._root)
        return self._bundle

    def _list_files(self, listing: Listing) -> Notes:
        faults = Notes()
        listing.add_member(Part.database, Part.database, self._snapshot.stat().st_size)
        for file in find_files(self._root, faults):
            member_path(file.name)  # what could not be restored is not bundled
            if file.part not in LINES:
                listing.add_member(file.name, file.part, file.size, source=file.path)
            elif self._ends[file.part]:
                listing.add_member(file.name, file.part, self._ends[file.part], source=file.path)
        return faults

    def _write_members(self, writer: BundleWriter, listing: Listing) -> Notes:
        """Write all of them in order, and note what each came to; tells which could not be read."""
        unread = Notes()
        self._watch.start("bundle", listing.totals()[0])
        for member in listing.members():
            if not self._write_member(writer, listing, member):
                listing.drop(member.path)
                unread.add(f"{member.path!r} is no regular file any more")
            self._watch.advance(1)
        return unread

    def _write_member(self, writer: BundleWriter, listing: Listing, member: Listed) -> bool:
        if member.part is Part.database:
            with self._snapshot.open("rb") as file:
                written = writer.add(member.path, read_blocks(file))
        else:
            with open_file(self._root, member.source) as found:
                if found is None:
                    return False
                limit = self._ends[member.part] if member.part in LINES else None
                written = writer.add(member.path, read_blocks(found, limit))
        listing.set_content(member.path, written.size, written.sha256)
        return True

    def _finish(
        self, writer: BundleWriter, listing: Listing, findings: Findings, faults: Notes, outcome: Outcome
    ) -> None:
        count, size, media, _ = listing.totals()
        counts = BundleCounts(rows=findings.rows, media_files=media, other_files=count - media, bytes=size)
        manifest = BundleManifest(
            schema="autocapture.bundle.v1",
            contract_version=CONTRACT_VERSION,
            counts=counts,
            members_sha256=writer.members_sha256,
            fault_count=faults.count,
            faults=faults.lines,
        )
        outcome.manifest_sha256 = writer.finish(canonical_json(manifest.model_dump(by_alias=True)) + b"\n")
        outcome.bundle_id = bundle_id(outcome.manifest_sha256)
        outcome.rows, outcome.frames, outcome.bytes = findings.rows, findings.frames, size
        outcome.media_files, outcome.other_files = media, count - media
        outcome.frames_complete = listing.frames_complete()
        outcome.warn(faults)

    def _require(self, faults: Notes) -> None:
        if not faults.count or not self._strict:
            return
        more = faults.count - len(faults.lines[:3])
        raise ContractInvalid(
            f"the DataRoot is damaged: {'; '.join(faults.lines[:3])}" + (f"; and {more} more" if more else ""),
            remedy=_MEND,
        )


def bundle_id(manifest_sha256: str) -> str:
    """Name a bundle by what it holds: also the folder in `handoffs/` for what has no other place."""
    return f"bundle-{manifest_sha256[:16]}"


def _together(*several: Notes) -> Notes:
    lines = [line for notes in several for line in notes.lines]
    return Notes(lines[:MOST_FAULTS], sum(notes.count for notes in several))


def _unproven(listing: Listing, findings: Findings) -> Notes:
    """Where blobs are missing or wrong, what was said about their frames says nothing more."""
    notes = Notes()
    for record_id in () if findings.faults.count else listing.faulty(UNPROVEN):
        notes.about(record_id, UNPROVEN)
    return notes


def _take_snapshot(root: DataRoot, target: Path) -> None:
    """Copy the database as it is at one moment, WAL included, into one file. Raises ContractInvalid, Busy."""
    with EvidenceStore(root):  # says what is wrong with it, and lets SQLite undo what a killed writer left
        pass
    try:
        with closing(open_database_read_only(root.metadata_db)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise Busy(f"{root.metadata_db} is locked by a writer", remedy="wait until it ends") from error
        raise ContractInvalid(
            f"{root.metadata_db} could not be copied ({getattr(error, 'sqlite_errorname', 'error')})",
            remedy="pipeline doctor says more; see that there is room for the bundle",
        ) from error


def _require_free_name(root: DataRoot, out: Path) -> None:
    if os.path.lexists(out):
        raise UsageError(f"{path_text(out)} is there already; a bundle overwrites nothing", remedy="name a new file")
    if not out.parent.is_dir():
        raise UsageError(f"there is no directory {path_text(out.parent)}", remedy=f"mkdir -p {path_text(out.parent)}")
    if out.parent.resolve().is_relative_to(root.path.resolve()):
        raise UsageError("a bundle inside the DataRoot would be lost with it", remedy="name a file on another disk")


def _require_room(place: Path, listing: Listing) -> None:
    count, size, _, _ = listing.totals()
    headers = sum(
        local_header_size(member.path) + 2 * central_record_size(member.path) + _LINE_BYTES + len(member.path)
        for member in listing.members()
    )
    free = shutil.disk_usage(place).free
    if free < size + headers:
        raise ContractInvalid(
            f"the bundle needs {size + headers:,} bytes for {count} files; {free:,} are free",
            remedy="name a file on a disk with more room",
        )


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A private directory beside the bundle, held by a lock; what killed ones left there is removed."""
    for leftover in folder.glob(f"{_WORKPLACE}*"):
        _remove_if_abandoned(leftover)
    place = Path(tempfile.mkdtemp(prefix=_WORKPLACE, dir=folder))
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield place
    finally:
        os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)


def _remove_if_abandoned(place: Path) -> None:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _publish(bundle: Path, out: Path) -> None:
    """Give a durable file its name, unless somebody else took that name meanwhile. Raises OSError."""
    try:
        os.link(bundle, out)
    except OSError as error:
        if error.errno not in _NO_LINK or os.path.lexists(out):
            raise
        bundle.rename(out)
    fsync_directory(out.parent)
