"""A bundle becomes evidence: by the rules and in the order of an ingest, so that it can be killed at any time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
from ulid import ULID

from pipeline.bundles.check import Kept, restored_id
from pipeline.bundles.listing import CONFLICT, UNPROVEN
from pipeline.bundles.outcome import Outcome, State, Watch
from pipeline.bundles.places import plan_places
from pipeline.bundles.placing import MemberPlacer, require_room
from pipeline.bundles.reading import BundleReader
from pipeline.bundles.verify import CheckedBundle, reject_unless_whole, report, told_of_disks
from pipeline.dataroot import DataRoot
from pipeline.ingest.check_handoff import Notes, Plan
from pipeline.ingest.commit_rows import quarantine_rows
from pipeline.ingest.handoff_directory import path_text
from pipeline.ingest.recover import open_data_root
from pipeline.ingest.settle import Clock
from pipeline.stores.atomic import make_directories
from pipeline.stores.journal import Journal
from pipeline.stores.metadata import MetadataRow, MetadataStore, as_bytes
from schemas.bundle import RESTORED, BundleRestored
from schemas.canonical import payload_hash
from schemas.fields import parse_utc, utc_text
from schemas.handoff import SYSTEM_RUN

PARTIAL = "system.ingest.bundle.partial"


def restore_bundle(
    root: DataRoot, file: Path, *, strict: bool = True, clock: Clock | None = None, watch: Watch | None = None
) -> Outcome:
    """Bring all that a bundle holds into a DataRoot, which need not exist.

    Nothing that is there is changed. Unless `strict`, rows that conflict are quarantined and frames whose blob is
    missing or wrong are kept without it, and no completion record is written. Raises ContractInvalid, and then nothing
    of the bundle is in the DataRoot that a rerun would not put there; Busy, DataRootReadOnly.
    """
    outcome = Outcome(path_text(file.absolute()), State.restored)
    clock, watch = clock or Clock(), watch or Watch()
    with (
        told_of_disks(file),
        BundleReader(file) as bundle,
        open_data_root(root, clock) as journal,
        closing(MetadataStore(root.metadata_db)) as store,
    ):
        kept = Kept(root, store)
        with CheckedBundle(bundle, root.scratch, kept, watch) as checked:
            _Restore(kept, journal, bundle, checked, outcome, clock, watch).run(strict)
    return outcome


@dataclass
class _Restore:
    """The steps of one restore; the ingest lock is held."""

    kept: Kept
    journal: Journal
    bundle: BundleReader
    checked: CheckedBundle
    outcome: Outcome
    clock: Clock
    watch: Watch

    def run(self, strict: bool) -> None:
        """Check the places, then files, then rows, then journal, each durable before the next."""
        root, store, listing = self.kept.root, self.kept.store, self.checked.listing
        started = utc_text(self.clock.now())
        report(self.checked, self.bundle, self.outcome)
        quarantined = listing.faulty(CONFLICT) + listing.faulty(UNPROVEN)
        known = _payload(store, restored_id(self.bundle.manifest_sha256))
        keep_database = self.checked.rows.holds_more or bool(quarantined)
        places = plan_places(
            root, listing, self.outcome.bundle_id, keep_database=keep_database, files_only=known is not None
        )
        faults = self.checked.faults(places)
        reject_unless_whole(faults, strict=strict)
        require_room(root, listing)
        self.outcome.files_added = self._place_files(known_durable=known is not None)
        self._quarantine(listing.faulty(CONFLICT))
        store.create()
        is_whole = not faults
        record = _completion(self.bundle, self.outcome, started, self.clock) if is_whole and known is None else None
        self._commit(record)
        self._write_journal(is_whole)
        if not is_whole:
            self.outcome.state = State.partial
            self.outcome.warn(Notes(faults, len(faults)))
        elif known is not None and not self.outcome.inserted and not self.outcome.files_added:
            self.outcome.state = State.already

    def _place_files(self, *, known_durable: bool) -> int:
        placer = MemberPlacer(self.kept.root, self.checked.listing, known_durable=known_durable)
        return placer.place_all(self.bundle, self.watch)

    def _quarantine(self, conflicts: list[str]) -> None:
        if not conflicts:
            return
        folder = self.kept.root.quarantine / self.outcome.bundle_id
        make_directories(folder)
        plan = Plan(handoff_id=self.outcome.bundle_id, conflicts=set(conflicts))
        quarantine_rows(self.checked.rows, plan, folder, self.outcome.path)

    def _commit(self, record: MetadataRow | None) -> None:
        """Add the rows that are new and taken, and the record that says so, or nothing. Raises Busy, sqlite3.Error."""
        store, listing, outcome = self.kept.store, self.checked.listing, self.outcome
        with store.transaction():
            for chunk in self.checked.rows.chunks():
                left = listing.refused([row.record_id for row in chunk])
                outcome.inserted += store.insert_new(row for row in chunk if row.record_id not in left)
                outcome.quarantined += len(left)
            if record is not None:
                store.insert([record])
        outcome.identical = outcome.rows - outcome.inserted - outcome.quarantined

    def _write_journal(self, is_whole: bool) -> None:
        outcome, journal = self.outcome, self.journal
        said = "bundle.restored" if is_whole else "bundle.partial"
        event_id = f"{SYSTEM_RUN}/{said}/{self.bundle.manifest_sha256}"
        if journal.has(event_id):
            journal.make_durable()
            return
        if not is_whole:
            payload = {"bundle_id": outcome.bundle_id, "rows": outcome.rows, "quarantined": outcome.quarantined}
            journal.append(event_id, PARTIAL, SYSTEM_RUN, self.clock.now(), payload)
            return
        completed = _payload(self.kept.store, restored_id(self.bundle.manifest_sha256))
        if completed is None:
            raise RuntimeError("the record of the restore that was committed is not there")
        fields = {"bundle_id", "bundle_manifest_sha256", "ingest_run_id", "counts", "started_utc", "ended_utc"}
        moment = parse_utc(completed.ended_utc)
        journal.append(event_id, RESTORED, SYSTEM_RUN, moment, completed.model_dump(include=fields))


def _completion(bundle: BundleReader, outcome: Outcome, started: str, clock: Clock) -> MetadataRow:
    ended = utc_text(clock.now())
    fields = {
        "schema_version": 1,
        "record_type": RESTORED,
        "run_id": SYSTEM_RUN,
        "ts_utc": ended,
        "bundle_id": outcome.bundle_id,
        "bundle_manifest_sha256": bundle.manifest_sha256,
        "ingest_run_id": f"ingest_{ULID()}",
        "counts": bundle.manifest.counts.model_dump(),
        "started_utc": started,
        "ended_utc": ended,
    }
    record = BundleRestored.model_validate({**fields, "payload_hash": payload_hash(fields)})
    payload = orjson.dumps(record.model_dump(), option=orjson.OPT_SORT_KEYS).decode()
    return MetadataRow(restored_id(bundle.manifest_sha256), payload, RESTORED, ended, SYSTEM_RUN)


def _payload(store: MetadataStore, record_id: str) -> BundleRestored | None:
    payload = store.payloads([record_id]).get(record_id)
    return None if payload is None else BundleRestored.model_validate_json(as_bytes(payload))
