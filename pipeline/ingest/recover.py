"""A DataRoot opened for ingest: locked, and what a crash left in it completed or cleared away `[root-2]`.

What a crash leaves, and what becomes of it:

- copies and private databases in progress (`.tmp-ingest*`): our own temporary files, removed;
- a transaction that was not committed: SQLite rolls it back when the store is opened;
- a torn line at the end of the journal: set aside in `derived/quarantine`, cut off;
- files in their places without rows, rows without their journal event, an unpublished marker: the handoff has no
  marker, so this run takes it from the start and completes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.ingest.place_files import remove_staging, staging_folders
from pipeline.ingest.settle import Clock
from pipeline.stores.atomic import fsync_directory, make_directories
from pipeline.stores.journal import Journal
from pipeline.stores.lock import hold_lock
from schemas.canonical import canonical_sha256
from schemas.handoff import SYSTEM_RUN

RECOVERED = "system.ingest.recovered"


@contextmanager
def open_data_root(root: DataRoot, clock: Clock) -> Iterator[Journal]:
    """Make the DataRoot if need be, hold the ingest lock, clear up after a crash and note it in the journal.

    Raises Busy, DataRootReadOnly, ContractInvalid.
    """
    if not root.path.exists():
        with suppress(OSError):  # what is wrong with it, `create` says better
            make_directories(root.path)
    root.create()
    with hold_lock(root.ingest_lock, "ingest") as lock:
        journal = Journal(root.journal, root.quarantine)
        try:
            _recover(root, journal, clock, lock.left_by)
        except OSError as error:
            raise ContractInvalid(
                f"the DataRoot {root} cannot be made durable ({error.strerror})",
                remedy="mend the disk, then run again",
            ) from error
        root.scratch.mkdir(parents=True, exist_ok=True)
        try:
            yield journal
        finally:
            remove_staging(root)


def _recover(root: DataRoot, journal: Journal, clock: Clock, left_by: str) -> None:
    """Remove what a dead process left half-done, make durable what it did, and say so once.

    It may have committed by removing SQLite's journal, or made the DataRoot, and died before that was durable.
    """
    left = sorted(str(folder.relative_to(root.path)) for folder in staging_folders(root))
    files = sum(sum(item.is_file() for item in (root.path / folder).rglob("*")) for folder in left)
    rollback = root.metadata_db.with_name("metadata.db-journal").exists()
    remove_staging(root)
    fsync_directory(root.path)
    with suppress(PermissionError):
        fsync_directory(root.path.parent)
    if left_by and root.journal.exists():
        moment = clock.now()
        payload = {"process": left_by, "temporary_files_removed": files, "transaction_rolled_back": rollback}
        event_id = f"{SYSTEM_RUN}/recovered/{canonical_sha256([left_by, moment.isoformat()])[:32]}"
        journal.append(event_id, RECOVERED, SYSTEM_RUN, moment, payload)
