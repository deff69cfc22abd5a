"""One handoff, from the first look to the marker, in the order that makes the marker true.

begin ── check ── place ──┬── commit ── journal ── mark
(looks, hashes, refuses)  └ several handoffs at once: `groups.py`
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import Busy, ContractInvalid, PipelineError
from pipeline.ingest.check_handoff import Kept, Plan, check_handoff
from pipeline.ingest.chronicle import is_session, take_session
from pipeline.ingest.commit_rows import Committed, add_rows, count_complete, quarantine_rows
from pipeline.ingest.completion import (
    completed_event_id,
    completion_row,
    marked_manifest,
    read_completion,
    render_marker,
    withdraw_marker,
)
from pipeline.ingest.handoff_directory import HandoffDirectory, Look, StillBeingWritten, path_text
from pipeline.ingest.handshake import shake_hands_with_producer
from pipeline.ingest.marker_file import marker_bytes, write_marker
from pipeline.ingest.place_files import Mode, Placed, Placement, kept_as
from pipeline.ingest.read_rows import ReadRows
from pipeline.ingest.reader import Opening, Reader
from pipeline.ingest.recognise import known_result
from pipeline.ingest.remember_rows import RememberedRows
from pipeline.ingest.report_handoff import describe, reject_unless_whole, report_plan, report_rows
from pipeline.ingest.result import HandoffResult, State
from pipeline.ingest.run_of_ingest import Ingest
from pipeline.ingest.say_ended import completed_fields, partial_event, partial_event_id
from pipeline.ingest.settle import FirstLook, look_if_settled, settled_look
from pipeline.ingest.snapshot import Snapshot, foreign_bytes, is_database_file, take_snapshot
from pipeline.stores.journal import NewEvent
from pipeline.stores.metadata import MetadataRow
from pipeline.stores.variants import Backend
from schemas.fields import parse_utc
from schemas.handoff import COMPLETED, SYSTEM_RUN, HandoffCompleted

_MOST_BYTES_AHEAD = 16 << 20
"""A larger database is copied and opened when its turn comes."""


class _Opened(NamedTuple):
    """A snapshot, and the reader that has been asked to open it."""

    snapshot: Snapshot
    opening: Opening


class HandoffIngest:
    """The steps for one handoff. Whatever is wrong with it is in the result: `attempt` raises only what ends all."""

    def __init__(self, ingest: Ingest, path: Path) -> None:
        self.path = path
        self.result = HandoffResult(path_text(path))
        self._ingest = ingest
        self._open = ExitStack()
        self._started = ingest.clock.now()
        self._known: HandoffCompleted | None = None
        self._committed: Committed | None = None
        self._placed = Placed()
        self._marking: Future[None] | None = None
        self._warning: str | None = None
        self._reading = ExitStack()
        self._opened: _Opened | None = None

    directory: HandoffDirectory
    look: Look
    _looking: Future[str]
    plan: Plan
    rows: RememberedRows

    def attempt(self, *steps: Callable[[], object]) -> bool:
        """Do some steps; tells whether all were done and there is more to do. If not, it is over with this handoff."""
        try:
            for step in steps:
                step()
        except (PipelineError, StillBeingWritten, OSError, sqlite3.Error) as error:
            self.fail(error)
        else:
            return True
        return False

    def fail(self, error: Exception) -> None:
        """Note what ended this handoff, and let go of it. Raises what is no fault of the handoff or the disk."""
        result = self.result
        self.close()
        if isinstance(error, StillBeingWritten):
            result.warn(f"not marked: {error}; the next run finishes it")
        elif isinstance(error, Busy):
            result.state, result.error, result.remedy = State.busy, error.message, error.remedy
        elif isinstance(error, ContractInvalid):
            result.state, result.error, result.remedy = State.rejected, error.message, error.remedy
        elif isinstance(error, OSError | sqlite3.Error):
            result.state, result.error = State.failed, describe(error)
            result.remedy = "mend the disk or its permissions, then run the same command again"
        else:
            raise error
        self._withdraw_marker()

    def close(self) -> None:
        """Let go of the directory and of what reads it."""
        self._open.close()

    def open(self) -> None:
        """Raises OSError when it is no directory any more, ContractInvalid."""
        self.directory = self._open.enter_context(HandoffDirectory(self.path, self._ingest.pace))
        if self.directory.identity in self._ingest.above:
            raise ContractInvalid(
                f"{self._handoff_root_text()} holds the DataRoot itself",
                remedy="name the handoff dir, not the DataRoot",
            )

    def begin(self) -> FirstLook | None:
        """Recognise it, or look at it and have its files hashed; returns the look where it must be watched first.

        Raises ContractInvalid, StillBeingWritten, OSError.
        """
        self.open()
        if self._is_recognised():
            self.close()
            return None
        look = look_if_settled(self.directory, self._ingest.settle_s, self._ingest.clock)
        self.result.stat_sha256 = look.stat_sha256
        if isinstance(look, FirstLook):
            return look
        self._begin(look)
        return None

    def begin_watched(self, first: FirstLook) -> None:
        """Wait until it has been unchanged for long enough since the first look. Raises StillBeingWritten, OSError."""
        self.open()
        self._begin(settled_look(self.directory, first, self._ingest.settle_s, self._ingest.clock))

    def read_ahead(self) -> None:
        """Have a small database opened before its turn comes; what goes wrong with it comes out then."""
        look, is_slow = self.look, self._ingest.pace.is_slow
        if self._opened is None and not is_slow and not is_session(look) and foreign_bytes(look) < _MOST_BYTES_AHEAD:
            with suppress(PipelineError, StillBeingWritten, OSError, sqlite3.Error):
                self._opened = self._start_reading(self._reading)

    def check(self) -> None:
        """Read all of it, and compare it with what the DataRoot keeps. Changes nothing.

        Raises ContractInvalid, StillBeingWritten, OSError, sqlite3.Error.
        """
        with self._reading.pop_all() as reading:
            self._read(reading)
            if not self.rows.has_all:
                self._open.push(reading.pop_all())
        report_plan(self.result, self.plan)
        if self._warning:
            self.result.warn(self._warning)
        reject_unless_whole(self.plan, strict=self._ingest.strict)
        self._looking = self._ingest.files.look(self.directory.place)
        self._open.callback(self._looking.cancel)

    def check_again(self) -> None:
        """Check it anew, now that others were committed that share ids with it. Raises as `check`."""
        self.close()
        self.result = HandoffResult(path_text(self.path))
        self.open()
        self._begin(self.look)
        self.check()

    def place(self) -> None:
        """Begin to put the files in their places. Raises OSError."""
        self._placed = self._ingest.placer.place(self.directory, self.plan.placements, self._ingest.files)
        self._open.callback(self._placed.give_up)

    def require_unchanged(self) -> None:
        """Compare how it looked after all of it was read. Raises StillBeingWritten, ContractInvalid, OSError."""
        if self._looking.result() != self.look.stat_sha256:
            self._is_not_marked()
            raise StillBeingWritten("it changed while it was ingested")

    def finish_placing(self) -> None:
        """Wait until all files are in their places and durable. Raises StillBeingWritten, OSError."""
        ingest = self._ingest
        ingest.placer.finish_placing(self.directory, self._placed)
        for placement in self._placed.new:
            if self._kept_as(placement) == "linked":
                self.result.files_linked += 1
            else:
                self.result.files_copied += 1
            self.result.bytes += placement.source.size
        if self.plan.conflicts:
            folder = ingest.root.quarantine / self.plan.handoff_id
            ingest.placer.make(folder)
            quarantine_rows(self.rows, self.plan, folder, self._handoff_root_text())

    def needs_commit(self) -> bool:
        """Tell whether there are rows to add; asked when all before it is committed."""
        self._known = read_completion(self._ingest.store, self.plan.manifest_sha256)
        return self._known is None or bool(self.plan.new_rows) or not self.plan.is_whole

    def add_rows(self) -> None:
        """Add the rows and what is said of frames, inside a transaction that others share. Raises sqlite3.Error."""
        self._committed = add_rows(self._ingest.store, self.rows, self.plan)

    def complete(self) -> None:
        """Add the completion record, now that all files are durable. Raises sqlite3.Error, OSError."""
        if self.plan.is_whole and self._known is None:
            self._ingest.store.insert([self._completion_row()])

    def event(self) -> NewEvent | None:
        """What the journal is to say, now that the rows are durable; None where it says so already."""
        plan, journal = self.plan, self._ingest.journal
        if self._committed is None:
            self._committed = Committed(0, plan.rows, 0, count_complete(self._ingest.store, plan))
        report_rows(self.result, plan, self._committed)
        if not plan.is_whole:
            self.result.state = State.partial
            return self._partial_event()
        completed = read_completion(self._ingest.store, plan.manifest_sha256)
        if completed is None:
            raise RuntimeError("the completion record that was committed is not there")
        is_known = self._known is not None
        self.result.state = State.already if is_known and not self._committed.inserted else State.ingested
        self._known = completed
        event_id = completed_event_id(completed.handoff_manifest_sha256)
        if is_known and journal.has(event_id):
            journal.make_durable()
            return None
        fields = {"handoff_id", "ingest_run_id", "counts", "bytes", "started_utc", "ended_utc", "errors"}
        payload = completed.model_dump(include=fields)
        return NewEvent(event_id, COMPLETED, SYSTEM_RUN, parse_utc(completed.ended_utc), payload)

    def begin_marking(self) -> None:
        """Have the marker written, if it is still as it was looked at; or withdraw the one that lies there."""
        self.rows.forget()  # others are kept in memory while this one is being marked
        if self.plan.is_whole and self._known is not None:
            marker = render_marker(self._known, self._data_root_text())
            self._marking = self._ingest.files.mark(self.directory.place, self.look.stat_sha256, marker)
        else:
            self._withdraw_marker()

    def mark(self) -> None:
        """Wait for the marker. Raises StillBeingWritten, ContractInvalid, OSError."""
        try:
            if self._marking is not None:
                self._marking.result()
        except StillBeingWritten:
            self._is_not_marked()
            raise

    def abandon(self) -> None:
        """Leave it for another run, as the gate closed or the work was stopped."""
        self.close()
        if not self.result.is_marked:
            self._withdraw_marker()

    def _is_recognised(self) -> bool:
        """Tell whether a marker, its completion record and the files as they lie there agree: nothing is read then."""
        manifest = marked_manifest(marker_bytes(self.path))
        completed = read_completion(self._ingest.store, manifest) if manifest else None
        if completed is None:
            return False
        look = self.directory.look(self._ingest.clock.monotonic)
        self.result.stat_sha256 = look.stat_sha256
        if look.stat_sha256 != completed.stat_manifest_sha256:
            return False
        write_marker(self.path, render_marker(completed, self._data_root_text()), look.leftovers)
        self.result = known_result(self.path, completed, look.stat_sha256)
        return True

    def _begin(self, look: Look) -> None:
        self.look = look
        self.result.stat_sha256 = look.stat_sha256
        if not self._ingest.pace.is_slow and not is_session(look):
            files = [entry for path, entry in look.files.items() if not is_database_file(path)]
            self.directory.hash_ahead(files, self._ingest.files, sync=self._ingest.mode is Mode.hardlink)
        self._warning = shake_hands_with_producer(self.directory, look)
        self._reading = self._open.enter_context(ExitStack())
        self._opened = None

    def _read(self, reading: ExitStack) -> None:
        opened = self._opened or self._start_reading(reading)
        foreign = opened.opening.rows()
        self._report_backend(foreign)
        self.rows = RememberedRows(foreign, self._ingest.pace)
        kept = Kept(self._ingest.root, self._ingest.store)
        self.plan = check_handoff(self.directory, self.look, opened.snapshot, self.rows, kept)
        self._open.callback(self.plan.claims.close)

    def _start_reading(self, reading: ExitStack) -> _Opened:
        ingest, look = self._ingest, self.look
        reader = reading.enter_context(ingest.readers.borrow(foreign_bytes(look), is_session=is_session(look)))
        snapshot = self._take(reading.enter_context(reader.private()), reader)
        backend = Backend.metadata_table if is_session(look) else ingest.backend
        return _Opened(snapshot, reading.enter_context(reader.begin_opening(snapshot.database, backend)))

    def _take(self, private: Path, reader: Reader) -> Snapshot:
        if is_session(self.look):
            return take_session(self.directory, self.look, private, reader)
        return take_snapshot(self.directory, self.look, private)

    def _completion_row(self) -> MetadataRow:
        ways = [self._kept_as(placement) for placement in self.plan.placements if placement.is_media]
        return completion_row(
            {
                **completed_fields(self.plan, ways, self._started, self._now()),
                "ingest_run_id": self._ingest.run_id,
                "handoff_root": self._handoff_root_text(),
                "stat_manifest_sha256": self.look.stat_sha256,
            }
        )

    def _kept_as(self, placement: Placement) -> str:
        way = self._placed.ways.get(placement.target)
        return way or kept_as(self._ingest.root, placement)

    def _partial_event(self) -> NewEvent | None:
        if self._ingest.journal.has(partial_event_id(self.plan)):
            return None
        return partial_event(self.plan, self._ingest.run_id, self._now())

    def _report_backend(self, foreign: ReadRows) -> None:
        self.result.metadata_backend = foreign.backend.value
        if foreign.why:
            self.result.warn(f"its records were read from the table records: {foreign.why}")
        if foreign.repeated:
            self.result.warn(f"{foreign.repeated} rows of it stand there more than once: each is kept once")

    def _is_not_marked(self) -> None:
        if self.result.state is not State.waiting:
            self.result.state = State.unmarked

    def _withdraw_marker(self) -> None:
        try:
            if withdraw_marker(self.path, self._data_root_text()):
                self.result.warn("its old marker was taken back: it no longer tells what the handoff holds")
        except OSError as error:
            self.result.warn(f"its old marker could not be taken back: {describe(error)}")

    def _now(self) -> datetime:
        return self._ingest.clock.now()

    def _handoff_root_text(self) -> str:
        return path_text(self.path.absolute())

    def _data_root_text(self) -> str:
        return path_text(self._ingest.root.path)
