"""Several handoffs committed at once, by one writer: one transaction, one sync of the journal, for all of them.

    check a ─ check b ─ check c ─ add rows ─┐
        └ place a └ place b └ place c ──────┴─ directories ── commit ── journal ── mark a, b, c
                                                                                   └ check d ─ …

For each handoff the order is the same as if it were alone: files and the directories that lead to them, then rows,
then journal, each durable before the next, and the marker last. Markers are written while the next are being checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import nullcontext, suppress

from pipeline.errors import Blocked, PipelineError
from pipeline.ingest.handoff_directory import StillBeingWritten
from pipeline.ingest.ingest_handoff import HandoffIngest
from pipeline.ingest.pace import Stopped
from pipeline.ingest.run_of_ingest import Ingest

_MOST_HANDOFFS = 64
_MOST_ROWS = 20_000
_MOST_BYTES = 16 << 20
_MOST_FILES = 20_000


class _NotAll(Exception):
    """Some handoffs of a group are out, after rows of theirs were added to a transaction."""


class Group:
    """Handoffs that were checked and wait to be committed; they share no record id."""

    def __init__(self, ingest: Ingest, on_end: Callable[[HandoffIngest], None]) -> None:
        self._ingest = ingest
        self._on_end = on_end
        self._members: list[HandoffIngest] = []
        self._marked: list[HandoffIngest] = []
        """Those whose markers are being written."""
        self._ids: set[str] = set()
        self._manifests: set[str] = set()
        self._rows = self._bytes = self._files = 0

    def add(self, handoff: HandoffIngest) -> None:
        """Check a handoff and take it in; commits the others first where it was checked against too little."""
        try:
            self._add(handoff)
        except BaseException:
            handoff.abandon()
            raise

    def _add(self, handoff: HandoffIngest) -> None:
        if not handoff.attempt(handoff.check):
            self._report(handoff)
            return
        if self._meets(handoff):
            self.commit()
            # What it was compared with has changed: it is compared again, with the others' rows in place.
            if not handoff.attempt(handoff.check_again):
                self._report(handoff)
                return
        if not handoff.attempt(handoff.place):
            self._report(handoff)
            return
        self._take(handoff)
        if self._is_full(handoff):
            self.commit()

    def commit(self) -> None:
        """Bring all members to where nothing but their markers is missing, and have those written."""
        members = self._members
        self._members, self._ids, self._manifests = [], set(), set()
        self._rows = self._bytes = self._files = 0
        try:
            unchanged = self._for_each(members, lambda handoff: handoff.require_unchanged)
            committed = self._place_and_commit(unchanged)
            journaled = self._for_all(committed, lambda: self._write_journal(committed))
            self.finish()  # those before them
            self._marked = self._for_each(journaled, lambda handoff: handoff.begin_marking)
        except BaseException:
            for handoff in members:
                handoff.abandon()
            raise

    def finish(self) -> None:
        """Wait for the markers that are being written."""
        while self._marked:
            handoff = self._marked.pop(0)
            try:
                handoff.attempt(handoff.mark)
            except BaseException:
                handoff.abandon()
                raise
            self._report(handoff)

    def abandon(self) -> None:
        """Let go of all members, as the work ends here; what is being marked is told, if it comes to that."""
        for handoff in self._members:
            handoff.abandon()
        self._members = []
        while self._marked:
            with suppress(Blocked, Stopped):
                self.finish()

    def _meets(self, handoff: HandoffIngest) -> bool:
        if handoff.plan.manifest_sha256 in self._manifests:
            return True
        if not self._members or not handoff.rows.has_all:
            return bool(self._members)
        return any(row.record_id in self._ids for chunk in handoff.rows.chunks() for row in chunk)

    def _take(self, handoff: HandoffIngest) -> None:
        self._members.append(handoff)
        self._manifests.add(handoff.plan.manifest_sha256)
        if handoff.rows.has_all:
            self._ids.update(row.record_id for chunk in handoff.rows.chunks() for row in chunk)
        self._rows += handoff.plan.rows
        self._bytes += handoff.rows.bytes
        self._files += len(handoff.plan.placements)

    def _is_full(self, last: HandoffIngest) -> bool:
        return (
            not last.rows.has_all
            or self._ingest.pace.is_slow
            or len(self._members) >= _MOST_HANDOFFS
            or self._rows >= _MOST_ROWS
            or self._bytes >= _MOST_BYTES
            or self._files >= _MOST_FILES
        )

    def _place_and_commit(self, members: list[HandoffIngest]) -> list[HandoffIngest]:
        """Add rows while files are being put in their places, and commit them once those are durable."""
        create, finish = self._ingest.store.create, self._ingest.placer.finish
        placed: list[HandoffIngest] = []

        def place() -> None:
            placed.extend(self._for_each(members, lambda handoff: handoff.finish_placing))
            if len(placed) < len(members):
                raise _NotAll
            finish()

        try:
            return self._for_all(members, create, lambda: self._commit_rows(members, place))
        except _NotAll:  # whose rows were added is taken back; the others go in without them
            return self._for_all(placed, lambda: self._commit_rows(placed, finish))

    def _commit_rows(self, members: list[HandoffIngest], make_files_durable: Callable[[], None]) -> None:
        adding = [handoff for handoff in members if handoff.needs_commit()]
        with self._ingest.store.transaction() if adding else nullcontext():
            for handoff in adding:
                handoff.add_rows()
            make_files_durable()
            for handoff in adding:
                handoff.complete()

    def _write_journal(self, members: list[HandoffIngest]) -> None:
        events = [event for handoff in members if (event := handoff.event()) is not None]
        if events:
            self._ingest.journal.append_all(events)

    def _for_each(
        self, members: list[HandoffIngest], step: Callable[[HandoffIngest], Callable[[], object]]
    ) -> list[HandoffIngest]:
        """Do a step for each; those for which it fails are out."""
        left = []
        for handoff in members:
            if handoff.attempt(step(handoff)):
                left.append(handoff)
            else:
                self._report(handoff)
        return left

    def _for_all(self, members: list[HandoffIngest], *steps: Callable[[], object]) -> list[HandoffIngest]:
        """Do steps that all members share; when one fails, so have all of them: nobody knows what is on the disk."""
        if not members:
            return []
        try:
            for step in steps:
                step()
        except (PipelineError, StillBeingWritten, OSError, sqlite3.Error) as error:
            for handoff in members:
                handoff.fail(error)
                self._report(handoff)
            return []
        return members

    def _report(self, handoff: HandoffIngest) -> None:
        handoff.close()
        self._on_end(handoff)
