"""`pipeline verify`: is the evidence still what was ingested? Names what has changed since."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.kept_files import check_kept_files
from pipeline.reports.deep.logs import check_logs, journal_events
from pipeline.reports.deep.rows import RowChecks
from pipeline.reports.deep.scratch import Scratch
from pipeline.reports.deep.survey import Copied, Progress, hash_blobs, note_claims, opened_copy
from pipeline.reports.deep.tables import FoundRow, payload_bytes
from schemas.fields import parse_utc
from schemas.handoff import COMPLETED, SYSTEM_RUN, HandoffCompleted

_ADVANCE_EVERY = 1_000
_MOST_NAMED = 10_000
_CHANGED = frozenset({
    "metadata_missing", "layout_not_a_file", "layout_unreadable", "database_unreadable", "database_damaged",
    "database_busy", "variant_none", "payload_unreadable", "payload_hash_differs", "payload_hash_unverifiable",
    "blob_missing", "blob_not_a_file", "blob_unreadable", "blob_outside", "blob_size_differs", "blob_hash_differs",
})  # fmt: skip
"""What speaks of a change; that a record is incomplete, or refers to nothing, was so when it came."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What to verify: records whose time lies in [since, until), and of their blobs an even sample."""

    since: datetime | None = None
    until: datetime | None = None
    sample: int | None = None

    def hold(self, moment: datetime | None) -> bool:
        """Tell whether a moment lies within; a record without a time is always looked at."""
        if moment is None:
            return True
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


@dataclass
class _Known:
    """What Stage 1 said of the handoffs it took."""

    completed: list[HandoffCompleted] = field(default_factory=list)
    faulty_then: set[str] = field(default_factory=set)
    """Records, as Stage 1 names them in its notes, that were incomplete or without their blob when they came."""


def verify_evidence(root: DataRoot, progress: Progress, bounds: Bounds) -> Findings:
    """Hash rows, blobs and kept files again and compare them with what was noted of them; changes nothing.

    Raises DataRootMissing.
    """
    root.require()
    findings = Findings(most_examples=_MOST_NAMED)
    journal = next(iter(check_logs(root, findings).journal), None)
    with opened_copy(root, findings, progress) as copied:
        if copied is not None:
            known = _read_known(root, copied, journal)
            _verify_records(root, copied, known, bounds, findings, progress)
            _verify_handoffs(root, known, bounds, journal, findings, progress)
    return findings


def _verify_records(
    root: DataRoot, copied: Copied, known: _Known, bounds: Bounds, findings: Findings, progress: Progress
) -> None:
    noticed = _Noticed(findings, known.faulty_then)
    with Scratch(copied.folder) as scratch:
        checks = RowChecks(noticed)
        with _tolerated(findings):
            progress.start("rows", copied.database.count(copied.variant))
            for number, row in enumerate(copied.database.rows(copied.variant), 1):
                if bounds.hold(_moment(row)):
                    claims = checks.check(row)
                    if claims is not None and bounds.hold(claims.moment):
                        note_claims(root, scratch, claims, noticed)
                if number % _ADVANCE_EVERY == 0:
                    progress.advance(_ADVANCE_EVERY)
        scratch.finish()
        findings.seen("records", f"{sum(checks.types.values())} read")
        findings.seen("payload hashes", f"{checks.hashed} compared")
        totals = hash_blobs(root, scratch, noticed, progress, bounds.sample)
        linked = (
            f"; {totals.linked} share an inode, so that another program can write into them" if totals.linked else ""
        )
        of_all = f" of {scratch.blob_count()}" if bounds.sample is not None else ""
        findings.seen("blobs", f"{totals.blobs}{of_all} hashed, {totals.bytes:,} bytes{linked}")
    if noticed.known_then:
        findings.add("faulty_when_ingested", noticed.example, noticed.known_then)


def _verify_handoffs(
    root: DataRoot, known: _Known, bounds: Bounds, journal: str | None, findings: Findings, progress: Progress
) -> None:
    """The files that handoffs brought beside their media, and the journal's word for each handoff."""
    wanted = [item for item in known.completed if bounds.hold(_read_time(item.ended_utc))]
    events = (
        {event.event_id for event in journal_events(root, journal) if event.event_type == COMPLETED}
        if journal
        else set()
    )
    progress.start("kept files", len(wanted))
    files = 0
    for completed in wanted:
        if f"{SYSTEM_RUN}/handoff.completed/{completed.handoff_manifest_sha256}" not in events:
            findings.add("journal_event_missing", completed.handoff_id)
        files += check_kept_files(root, completed, findings)
        progress.advance(1)
    findings.seen("kept files", f"{files} of {len(wanted)} handoffs")


class _Noticed(Findings):
    """Passes on what speaks of a change since a record was ingested, and counts what was known already then."""

    def __init__(self, findings: Findings, faulty_then: set[str]) -> None:
        super().__init__()
        self._findings = findings
        self._faulty_then = faulty_then
        self.known_then = 0
        self.example = ""

    def add(self, code: str, example: str = "", count: int = 1) -> None:
        if code not in _CHANGED:
            return
        if code != "payload_hash_unverifiable" and repr(example[:160]) in self._faulty_then:
            self.known_then += count
            self.example = self.example or example
            return
        self._findings.add(code, example, count)


def _read_known(root: DataRoot, copied: Copied, journal: str | None) -> _Known:
    """Read the completion records, and the notes of handoffs that were kept in part."""
    known = _Known()
    with contextlib.suppress(sqlite3.Error):
        for row in copied.database.rows(copied.variant, record_type=COMPLETED):
            try:
                completed = HandoffCompleted.model_validate_json(payload_bytes(row.payload))
            except ValidationError:
                continue  # that it is damaged is told with the rows
            known.completed.append(completed)
            known.faulty_then |= _named(completed.errors)
    for event in journal_events(root, journal) if journal else ():
        faults: Any = event.payload.get("faults")
        if event.run_id == SYSTEM_RUN and isinstance(faults, list):
            known.faulty_then |= _named([line for line in faults if isinstance(line, str)])
    return known


def _named(notes: list[str]) -> set[str]:
    """The records that notes of Stage 1 are about; each begins with the id in quotes and a colon."""
    return {note.partition(": ")[0] for note in notes}


def _moment(row: FoundRow) -> datetime | None:
    return _read_time(row.ts_utc) if isinstance(row.ts_utc, str) else None


def _read_time(text: str) -> datetime | None:
    try:
        return parse_utc(text).astimezone(UTC)
    except ValueError:
        return None


@contextlib.contextmanager
def _tolerated(findings: Findings) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        findings.add("database_unreadable", getattr(error, "sqlite_errorname", ""))
