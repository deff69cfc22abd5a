"""A bundle is read and checked as a whole before anything comes of it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from pipeline.bundles.check import Findings, Kept, check_rows
from pipeline.bundles.create import bundle_id
from pipeline.bundles.listing import CONFLICT, UNPROVEN, Listing
from pipeline.bundles.names import REMEDY, Part, member_path
from pipeline.bundles.outcome import Outcome, State, Watch
from pipeline.bundles.reading import BundleReader
from pipeline.errors import ContractInvalid
from pipeline.ingest.check_handoff import Notes
from pipeline.ingest.handoff_directory import DATABASE, path_text
from pipeline.ingest.place_files import STAGING
from pipeline.ingest.reader import ReaderPool
from pipeline.stores.variants import Backend


def verify_bundle(file: Path, *, watch: Watch | None = None) -> Outcome:
    """Read a whole bundle and check it as a restore into an empty DataRoot would; changes nothing.

    Raises ContractInvalid when it could not be restored as it is.
    """
    outcome = Outcome(path_text(file.absolute()), State.whole)
    with (
        told_of_disks(file),
        BundleReader(file) as bundle,
        tempfile.TemporaryDirectory() as scratch,
        CheckedBundle(bundle, Path(scratch), None, watch or Watch()) as checked,
    ):
        report(checked, bundle, outcome)
        reject_unless_whole(checked.faults(Notes()), strict=True)
    return outcome


class CheckedBundle:
    """A bundle that was read and checked, and changed nothing so far. Use as a context manager.

    Its database is read by a process of its own, as a handoff's is.
    """

    def __init__(self, bundle: BundleReader, scratch: Path, kept: Kept | None, watch: Watch) -> None:
        """`scratch` is a directory for work in progress. Raises ContractInvalid, OSError, sqlite3.Error."""
        with ExitStack() as opened:
            private = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=f"{STAGING}-", dir=scratch)))
            self.listing = opened.enter_context(Listing(private / "listing"))
            database = private / "rows"
            _list_members(bundle, self.listing, database, watch)
            readers = opened.enter_context(ReaderPool(scratch))
            reader = opened.enter_context(readers.borrow(database.stat().st_size, is_session=False))
            seen = opened.enter_context(reader.private()) / DATABASE
            database.rename(seen)
            self.rows = opened.enter_context(reader.open(seen, Backend.metadata_table))
            self.findings: Findings = check_rows(self.rows, self.listing, kept)
            if self.findings.rows != bundle.manifest.counts.rows:
                raise ContractInvalid("the bundle does not hold as many rows as it says", remedy=REMEDY)
            self._opened = opened.pop_all()

    def __enter__(self) -> CheckedBundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What went wrong is told on: a reader that was left in the middle of its answer is not asked again.
        self._opened.__exit__(kind, error, trace)

    def faults(self, places: Notes) -> list[str]:
        """Everything that speaks against the bundle: the first of each kind, for a person."""
        lines = []
        for notes in (self.findings.faults, places):
            lines += notes.lines[:3]
            if notes.count > len(notes.lines[:3]):
                lines.append(f"and {notes.count - 3} more")
        for fault in (CONFLICT, UNPROVEN):
            ids = self.listing.faulty(fault)
            if ids and not (fault == UNPROVEN and self.findings.faults.count):
                lines.append(f"{len(ids)} rows of which {fault} (first: {ids[0][:160]!r})")
        return lines


def report(checked: CheckedBundle, bundle: BundleReader, outcome: Outcome) -> None:
    """Say in an outcome what was found."""
    counts, findings = bundle.manifest.counts, checked.findings
    outcome.manifest_sha256 = bundle.manifest_sha256
    outcome.bundle_id = bundle_id(bundle.manifest_sha256)
    outcome.media_files, outcome.other_files, outcome.bytes = counts.media_files, counts.other_files, counts.bytes
    outcome.rows, outcome.frames = findings.rows, findings.frames
    outcome.frames_complete = checked.listing.frames_complete()


def reject_unless_whole(faults: list[str], *, strict: bool) -> None:
    """Raises ContractInvalid when anything speaks against a bundle."""
    if faults and strict:
        raise ContractInvalid(
            f"the bundle cannot be restored whole: {'; '.join(faults)}",
            remedy="restore into a DataRoot of its own, or keep what can be kept: pipeline bundle restore --no-strict",
        )


def _list_members(bundle: BundleReader, listing: Listing, database: Path, watch: Watch) -> None:
    """Prove all members, list them, and take the database out. Raises ContractInvalid, OSError."""
    counts = bundle.manifest.counts
    watch.start("check", counts.media_files + counts.other_files)
    for member, content in bundle.walk():
        part, _ = member_path(member.path)
        if listing.has_file_above(member.path):
            raise ContractInvalid(f"the bundle has a file and a folder of one name: {member.path!r}", remedy=REMEDY)
        listing.add_member(member.path, part, member.size, sha256=member.sha256)
        if part is Part.database:
            with database.open("xb") as file:
                file.writelines(content.blocks())
        watch.advance(1)
    if not database.exists():
        raise ContractInvalid("the bundle has no metadata.db", remedy=REMEDY)
    count, size, media, _ = listing.totals()
    if (media, count - media, size) != (counts.media_files, counts.other_files, counts.bytes):
        raise ContractInvalid("the bundle does not hold what it says", remedy=REMEDY)


@contextmanager
def told_of_disks(file: Path) -> Iterator[None]:
    """Turn what a disk or SQLite refuses into an error that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename is not None and Path(error.filename) == file:
            raise ContractInvalid(f"there is no file {path_text(file)}", remedy="check the path") from error
        raise _refused(error) from error
    except (OSError, sqlite3.Error) as error:
        raise _refused(error) from error


def _refused(error: OSError | sqlite3.Error) -> ContractInvalid:
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
    else:
        reason = getattr(error, "sqlite_errorname", "SQLite")
    return ContractInvalid(
        f"the disk or its permissions did not allow it: {reason}", remedy="mend that, then run the same command again"
    )
