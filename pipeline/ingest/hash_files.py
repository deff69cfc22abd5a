"""Files of one handoff hashed, and made durable while the next ones are being hashed. The same in any process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext

from pipeline.ingest.inside import Inside, hash_descriptor, require_finished, require_same
from pipeline.ingest.look import Entry

SYNCS_AT_ONCE = 16
"""Files that are synced side by side: a disk's flush costs the same for one as for all that wait for it."""
_FILES_A_SHARE = 8
"""What one thread syncs: to hand over one alone costs as much. A slow disk has all open batches to sync at once."""
_BATCHES_AT_ONCE = 6
"""Batches whose files are open in a process, being hashed or synced: no more than it may have open."""

FREE: AbstractContextManager[None] = nullcontext()
Turn = Callable[[], AbstractContextManager[None]]
"""Held for one file at a time, where somebody decides how fast it may go."""
_Opened = tuple[int, Entry]


def hash_files(root: int, entries: Iterable[Entry], sync: bool, turn: Turn = lambda: FREE) -> list[str]:
    """Hash files, and make them durable where asked. Raises StillBeingWritten, OSError."""
    files: list[_Opened] = []
    try:
        hashes = _hash_opened(root, entries, turn, files)
        if sync:
            _sync(files)
        _require_same(files)
    finally:
        _close(files)
    return hashes


class Syncs:
    """Threads that make files durable side by side: the disk takes many that wait for it in one go."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(SYNCS_AT_ONCE + _BATCHES_AT_ONCE, thread_name_prefix="ingest-sync")
        self._room = threading.BoundedSemaphore(_BATCHES_AT_ONCE)

    def hash_files(self, root: int, entries: Iterable[Entry], turn: Turn = lambda: FREE) -> Future[list[str]]:
        """Hash files, and have them made durable: the result comes when they are, and the next can be hashed before.

        The result may raise StillBeingWritten, OSError, as this may itself.
        """
        self._room.acquire()
        files: list[_Opened] = []
        try:
            hashes = _hash_opened(root, entries, turn, files)
            shares = max(1, len(files) // _FILES_A_SHARE)
            syncing = [self.threads.submit(_sync, files[start::shares]) for start in range(shares)]
            durable = self.threads.submit(_finish, files, hashes, syncing)  # threads take in turn: syncs begin before
        except BaseException:
            _close(files)
            self._room.release()
            raise
        durable.add_done_callback(lambda _: self._room.release())
        return durable


def _hash_opened(root: int, entries: Iterable[Entry], turn: Turn, files: list[_Opened]) -> list[str]:
    """Open files, which stay open in `files`, and hash them."""
    hashes = []
    with closing(Inside(root)) as inside:
        for entry in entries:
            with turn():
                descriptor = inside.open(entry.path)
                files.append((descriptor, entry))
                require_finished(descriptor, entry)
                hashes.append(hash_descriptor(descriptor))
    return hashes


def _finish(files: list[_Opened], hashes: list[str], syncing: list[Future[None]]) -> list[str]:
    wait(syncing)  # whoever closes a file is not to close it under another's sync
    try:
        for one in syncing:
            one.result()
        _require_same(files)
    finally:
        _close(files)
    return hashes


def _sync(files: Sequence[_Opened]) -> None:
    """A producer need not have synced what it wrote, and once linked it is our evidence.

    What is synced here is what is linked later: it is compared at both moments.
    """
    for descriptor, _ in files:
        os.fsync(descriptor)


def _require_same(files: list[_Opened]) -> None:
    for descriptor, entry in files:
        require_same(descriptor, entry)


def _close(files: list[_Opened]) -> None:
    for descriptor, _ in files:
        os.close(descriptor)
