"""A handoff dir on disk, open: what lies in it is looked at, hashed, copied and linked, and never changed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from pipeline.ingest.file_work import BATCH, FileWork, Place
from pipeline.ingest.inside import READ_BYTES, Inside, require_finished, require_same
from pipeline.ingest.inside import hash_descriptor as hash_descriptor
from pipeline.ingest.look import DATABASE as DATABASE
from pipeline.ingest.look import WAL as WAL
from pipeline.ingest.look import Entry as Entry
from pipeline.ingest.look import Look as Look
from pipeline.ingest.look import StillBeingWritten as StillBeingWritten
from pipeline.ingest.look import path_text as path_text
from pipeline.ingest.look import take_look
from pipeline.ingest.pace import Pace


class HandoffDirectory:
    """An open handoff dir. Use as a context manager; what it opens stays inside it."""

    def __init__(self, path: Path, pace: Pace | None = None) -> None:
        """Raises OSError when it cannot be opened as a directory."""
        self.path = path
        self._pace = pace or Pace()
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._inside = Inside(self._root)
        self._opening = threading.Lock()
        self._hashing: list[Future[list[str]]] = []
        self._ahead: dict[str, tuple[Future[list[str]], int]] = {}
        self._synced: set[str] = set()

    def __enter__(self) -> HandoffDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory, once no thread reads in it any more."""
        for future in self._hashing:
            if not future.cancel():
                future.exception()
        self._hashing, self._ahead = [], {}
        self._inside.close()
        os.close(self._root)

    @property
    def identity(self) -> tuple[int, int]:
        """The directory's own inode and device."""
        found = os.fstat(self._root)
        return found.st_ino, found.st_dev

    def look(self, monotonic: Callable[[], float] = time.monotonic) -> Look:
        """List what is there. Raises ContractInvalid for a link or device, StillBeingWritten, OSError."""
        return take_look(self._root, monotonic())

    def hash_ahead(self, entries: Iterable[Entry], work: FileWork, *, sync: bool) -> None:
        """Have files hashed ahead, and made durable too where asked; `hash_file` waits for its own."""
        remaining = list(entries)
        work.expect(len(remaining))
        for start in range(0, len(remaining), BATCH):
            batch = remaining[start : start + BATCH]
            hashes = work.hash(self.place, batch, sync=sync)
            self._hashing.append(hashes)
            self._ahead.update((entry.path, (hashes, position)) for position, entry in enumerate(batch))
            if sync:
                self._synced.update(entry.path for entry in batch)

    @property
    def place(self) -> Place:
        """The open directory, and how another process finds it."""
        return Place(self._root, self.path, *self.identity)

    def has_hashed(self) -> bool:
        """Tell whether no file that is being hashed ahead has to be waited for."""
        return all(hashes.done() for hashes in self._hashing)

    def is_synced(self, entry: Entry) -> bool:
        """Tell whether a file was made durable when it was hashed."""
        return entry.path in self._synced

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[int]:
        """Open a file that a look found, and prove before and after that it is the same, unchanged.

        Raises StillBeingWritten, also where a producer still has it open for writing; OSError.
        """
        with self._opening:
            descriptor = self._inside.open(entry.path)
        try:
            require_finished(descriptor, entry)
            yield descriptor
            require_same(descriptor, entry)
        finally:
            os.close(descriptor)

    def hash_file(self, entry: Entry) -> str:
        """Hash a file. Raises StillBeingWritten, OSError."""
        if entry.path in self._ahead:
            hashes, position = self._ahead[entry.path]
            return hashes.result()[position]
        with self._pace.turn(), self.opened(entry) as descriptor:
            return hash_descriptor(descriptor)

    def copy_file(self, entry: Entry, target: int) -> str:
        """Copy a file into an open descriptor; returns its hash. Raises StillBeingWritten, OSError."""
        digest = hashlib.sha256()
        with self.opened(entry) as descriptor:
            while block := os.read(descriptor, READ_BYTES):
                digest.update(block)
                _write_all(target, block)
                self._pace.step()
        return digest.hexdigest()


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
