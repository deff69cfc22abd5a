"""One handoff, from the first look to the marker, in the order that makes the marker true."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.dataroot import DataRoot, handoff_key
from pipeline.errors import Busy, ContractInvalid
from pipeline.ingest.check_handoff import Kept, Plan, check_handoff
from pipeline.ingest.chronicle import is_session, take_session
from pipeline.ingest.commit_rows import Committed, commit_rows, count_complete, quarantine_rows
from pipeline.ingest.completion import (
    completed_event_id,
    completion_row,
    read_completion,
    read_marker,
    render_marker,
    withdraw_marker,
    write_marker,
)
from pipeline.ingest.foreign_rows import ForeignRows
from pipeline.ingest.handoff_directory import HandoffDirectory, Look, StillBeingWritten, path_text
from pipeline.ingest.handshake import shake_hands_with_producer
from pipeline.ingest.manifest import kept_files_digest
from pipeline.ingest.place_files import FilePlacer, Mode, kept_as
from pipeline.ingest.read_rows import ReadRows
from pipeline.ingest.reader import Reader, ReaderPool
from pipeline.ingest.result import HandoffResult, State
from pipeline.ingest.settle import Clock, FirstLook, settled_look
from pipeline.ingest.snapshot import Snapshot, foreign_bytes, take_snapshot
from pipeline.stores.journal import Journal
from pipeline.stores.metadata import MetadataRow, MetadataStore
from pipeline.stores.variants import Backend
from schemas.fields import parse_utc, utc_text
from schemas.handoff import COMPLETED, SYSTEM_RUN, HandoffCompleted

PARTIAL = "system.ingest.handoff.partial"


@dataclass(frozen=True)
class Ingest:
    """One run of Stage 1 over a DataRoot; the ingest lock is held."""

    root: DataRoot
    store: MetadataStore
    journal: Journal
    placer: FilePlacer
    mode: Mode
    strict: bool
    settle_s: float
    clock: Clock
    run_id: str
    readers: ReaderPool
    backend: Backend = Backend.auto


def ingest_handoff(ingest: Ingest, path: Path, first: FirstLook | None) -> HandoffResult:
    """Bring one handoff into the DataRoot and mark it; whatever is wrong with it is in the result, not raised."""
    result = HandoffResult(path_text(path))
    try:
        with HandoffDirectory(path) as directory:
            _HandoffIngest(ingest, directory, result).run(first)
    except StillBeingWritten as reason:
        result.warn(f"not marked: {reason}; the next run finishes it")
    except ContractInvalid as error:
        result.state, result.error, result.remedy = State.rejected, error.message, error.remedy
    except Busy as error:
        result.state, result.error, result.remedy = State.busy, error.message, error.remedy
    except (OSError, sqlite3.Error) as error:
        result.state, result.error = State.failed, _describe(error)
        result.remedy = "mend the disk or its permissions, then run the same command again"
    if not result.is_marked:
        _withdraw(ingest, path, result)
    return result


class _HandoffIngest:
    """The steps for one handoff."""

    def __init__(self, ingest: Ingest, directory: HandoffDirectory, result: HandoffResult) -> None:
        self._ingest = ingest
        self._directory = directory
        self._result = result
        self._started = ingest.clock.now()

    def run(self, first: FirstLook | None) -> None:
        """Do all steps. Raises StillBeingWritten, ContractInvalid, Busy, OSError, sqlite3.Error."""
        self._refuse_to_swallow_the_data_root()
        if self._is_recognised():
            return
        look = settled_look(self._directory, first, self._ingest.settle_s, self._ingest.clock)
        warning = shake_hands_with_producer(self._directory, look)
        readers = self._ingest.readers
        with readers.borrow(foreign_bytes(look), is_session=is_session(look)) as reader, reader.private() as private:
            snapshot = self._take(look, private, reader)
            backend = Backend.metadata_table if is_session(look) else self._ingest.backend
            with reader.open(snapshot.database, backend) as foreign:
                self._report_backend(foreign)
                plan = check_handoff(
                    self._directory, look, snapshot, foreign, Kept(self._ingest.root, self._ingest.store)
                )
                self._report_plan(plan)
                if warning:
                    self._result.warn(warning)
                self._reject_unless_whole(plan)
                self._require_unchanged(look)
                completed = self._keep(look, foreign, plan)
        if completed is not None:
            self._require_unchanged(look)
            write_marker(self._directory.path, render_marker(completed, self._data_root_text()))

    def _take(self, look: Look, private: Path, reader: Reader) -> Snapshot:
        if is_session(look):
            return take_session(self._directory, look, private, reader)
        return take_snapshot(self._directory, look, private)

    def _report_backend(self, foreign: ReadRows) -> None:
        self._result.metadata_backend = foreign.backend.value
        if foreign.why:
            self._result.warn(f"its records were read from the table records: {foreign.why}")
        if foreign.repeated:
            self._result.warn(f"{foreign.repeated} rows of it stand there more than once: each is kept once")

    def _is_recognised(self) -> bool:
        """Tell whether a marker, its completion record and the files as they lie there agree: nothing is read then."""
        found = read_marker(self._directory.path)
        completed = found and read_completion(self._ingest.store, found[0].integrity.handoff_manifest_sha256)
        if not found or not completed:
            return False
        look = self._directory.look(self._ingest.clock.monotonic)
        if look.stat_sha256 != completed.stat_manifest_sha256:
            return False
        write_marker(self._directory.path, render_marker(completed, self._data_root_text()))
        rows = completed.counts.metadata_rows_copied
        self._result.state, self._result.handoff_id = State.already, completed.handoff_id
        self._result.rows = self._result.identical = rows
        return True

    def _keep(self, look: Look, foreign: ForeignRows, plan: Plan) -> HandoffCompleted | None:
        """Files, then rows, then journal, each durable before the next; returns what the marker is written from."""
        ingest = self._ingest
        self._place_files(plan)
        if plan.conflicts:
            folder = ingest.root.quarantine / plan.handoff_id
            ingest.placer.make(folder)
            quarantine_rows(foreign, plan, folder, self._handoff_root_text())
        ingest.placer.finish()
        ingest.store.create()
        known = read_completion(ingest.store, plan.manifest_sha256)
        committed = self._commit(look, foreign, plan, is_completed=known is not None)
        self._report_rows(committed, plan)
        if not plan.is_whole:
            self._journal_partial(plan)
            return None
        completed = read_completion(ingest.store, plan.manifest_sha256)
        if completed is None:
            raise RuntimeError("the completion record that was committed is not there")
        self._journal_completed(completed, may_be_there=known is not None)
        self._result.state = State.already if known is not None and not committed.inserted else State.ingested
        return completed

    def _place_files(self, plan: Plan) -> None:
        for placement in plan.placements:
            if self._ingest.placer.place(self._directory, placement):
                if kept_as(self._ingest.root, placement) == "linked":
                    self._result.files_linked += 1
                else:
                    self._result.files_copied += 1
                self._result.bytes += placement.source.size

    def _commit(self, look: Look, foreign: ForeignRows, plan: Plan, is_completed: bool) -> Committed:
        store = self._ingest.store
        if is_completed and not plan.new_rows and plan.is_whole:
            return Committed(0, plan.rows, 0, count_complete(store, plan))

        def completion() -> MetadataRow:
            return completion_row(self._completion_fields(look, plan))

        return commit_rows(store, foreign, plan, completion if plan.is_whole and not is_completed else None)

    def _completion_fields(self, look: Look, plan: Plan) -> dict[str, Any]:
        root = self._ingest.root
        ways = [kept_as(root, placement) for placement in plan.placements if placement.is_media]
        total = plan.file_bytes + plan.payload_bytes
        ended = utc_text(self._ingest.clock.now())
        return {
            "ts_utc": ended,
            "handoff_id": plan.handoff_id,
            "ingest_run_id": self._ingest.run_id,
            "counts": {
                "metadata_rows_copied": plan.rows,
                "media_files_linked": ways.count("linked"),
                "media_files_copied": ways.count("copied"),
                "bytes_ingested": total,
            },
            "bytes": total,
            "started_utc": utc_text(self._started),
            "ended_utc": ended,
            "errors": plan.incomplete.lines,
            "handoff_manifest_sha256": plan.manifest_sha256,
            "kept_files_sha256": kept_files_digest(self._kept_files(plan)),
            "handoff_root": self._handoff_root_text(),
            "stat_manifest_sha256": look.stat_sha256,
        }

    def _kept_files(self, plan: Plan) -> dict[str, tuple[int, str]]:
        """What the handoff's own folder in the DataRoot holds of it, by path in there."""
        folder = handoff_key(plan.handoff_id, "")
        return {
            placement.target.removeprefix(folder): (placement.source.size, placement.sha256)
            for placement in plan.placements
            if placement.target.startswith(folder)
        }

    def _journal_completed(self, completed: HandoffCompleted, may_be_there: bool) -> None:
        journal = self._ingest.journal
        event_id = completed_event_id(completed.handoff_manifest_sha256)
        if may_be_there and journal.has(event_id):
            journal.make_durable()
            return
        fields = {"handoff_id", "ingest_run_id", "counts", "bytes", "started_utc", "ended_utc", "errors"}
        payload = completed.model_dump(include=fields)
        journal.append(event_id, COMPLETED, SYSTEM_RUN, parse_utc(completed.ended_utc), payload)

    def _journal_partial(self, plan: Plan) -> None:
        self._result.state = State.partial
        event_id = f"{SYSTEM_RUN}/handoff.partial/{plan.manifest_sha256}"
        if self._ingest.journal.has(event_id):
            return
        payload = {
            "handoff_id": plan.handoff_id,
            "ingest_run_id": self._ingest.run_id,
            "rows": plan.rows,
            "quarantined": len(plan.conflicts),
            "faults": plan.faults.lines,
        }
        self._ingest.journal.append(event_id, PARTIAL, SYSTEM_RUN, self._now(), payload)

    def _report_plan(self, plan: Plan) -> None:
        result = self._result
        result.handoff_id = plan.handoff_id
        result.incomplete = plan.incomplete.count
        for notes in (plan.incomplete, plan.warnings):
            result.warnings += notes.lines
            result.warning_count += notes.count

    def _report_rows(self, committed: Committed, plan: Plan) -> None:
        result = self._result
        result.rows, result.frames = plan.rows, plan.frames
        result.inserted, result.identical = committed.inserted, committed.identical
        result.quarantined, result.frames_complete = committed.quarantined, committed.frames_complete
        for record_id in sorted(plan.conflicts)[:10]:
            result.warn(f"{record_id[:160]!r}: quarantined: the id is kept with another payload")
        result.warnings += plan.faults.lines
        result.warning_count += plan.faults.count

    def _reject_unless_whole(self, plan: Plan) -> None:
        if plan.is_whole or not self._ingest.strict:
            return
        problems = list(plan.faults.lines[:3])
        if plan.conflicts:
            first = min(plan.conflicts)[:160]
            problems.append(f"rows whose id is kept with another payload: {len(plan.conflicts)} (first: {first!r})")
        more = plan.faults.count - min(3, len(plan.faults.lines))
        raise ContractInvalid(
            "; ".join(problems) + (f"; and {more} more" if more > 0 else ""),
            remedy="hand it off again whole; or keep what can be kept, unmarked: pipeline ingest --no-strict PATH",
        )

    def _require_unchanged(self, look: Look) -> None:
        if self._directory.look(self._ingest.clock.monotonic).stat_sha256 != look.stat_sha256:
            if self._result.state is not State.waiting:
                self._result.state = State.unmarked
            raise StillBeingWritten("it changed while it was ingested")

    def _refuse_to_swallow_the_data_root(self) -> None:
        if self._ingest.root.path.resolve().is_relative_to(self._directory.path.resolve()):
            raise ContractInvalid(
                f"{self._handoff_root_text()} holds the DataRoot itself",
                remedy="name the handoff dir, not the DataRoot",
            )

    def _now(self) -> datetime:
        return self._ingest.clock.now()

    def _handoff_root_text(self) -> str:
        return path_text(self._directory.path.absolute())

    def _data_root_text(self) -> str:
        return path_text(self._ingest.root.path)


def _withdraw(ingest: Ingest, path: Path, result: HandoffResult) -> None:
    try:
        if withdraw_marker(path, path_text(ingest.root.path)):
            result.warn("its old marker was taken back: it no longer tells what the handoff holds")
    except OSError as error:
        result.warn(f"its old marker could not be taken back: {_describe(error)}")


def _describe(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, OSError):
        place = f": {path_text(error.filename)}" if isinstance(error.filename, str) else ""
        return f"{error.strerror or type(error).__name__}{place}"
    return f"SQLite: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
