"""The process that hashes, syncs, links and marks files for ingest: our own code on our own files, on another core.

Takes requests on stdin, answers on stdout in the order in which they are done (`reader_frames`). Ends when stdin does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ContractInvalid
from pipeline.ingest.file_operations import Link, Surveyed, link_files, mark_unchanged, survey
from pipeline.ingest.hash_files import Syncs, hash_files
from pipeline.ingest.look import Entry, StillBeingWritten, take_look
from pipeline.ingest.reader_frames import Kind, pack, read_frame, unpack
from pipeline.rare_collections import collect_rarely
from pipeline.stores.metadata import Value


def main(threads: str) -> None:
    """Serve requests until there are no more."""
    collect_rarely()
    with os.fdopen(0, "rb") as requests, FileIO(1, "wb") as replies:
        syncs, hashes, others = Syncs(), ThreadPoolExecutor(int(threads)), ThreadPoolExecutor(1)
        # What does not wait for the disk would only wait for each other's hold of the interpreter.
        executors = {Kind.hash: hashes, Kind.mark: syncs.threads}
        worker = _Worker(replies, syncs)
        while (frame := read_frame(requests)) is not None:
            executors.get(frame[0], others).submit(worker.serve, *frame)
        for one in (hashes, others, syncs.threads):
            one.shutdown(cancel_futures=True)  # nobody waits for what was not begun


class _Worker:
    def __init__(self, replies: FileIO, syncs: Syncs) -> None:
        self._replies = replies
        self._syncs = syncs
        self._sending = threading.Lock()

    def serve(self, kind: Kind, body: bytes) -> None:
        """Do what is asked for and answer; whatever goes wrong is an answer too."""
        number, *values = unpack(body)
        if kind is Kind.hash:
            self._answer(number, lambda: self._hash(number, values))
        else:
            self._answer(number, lambda: _do(kind, values))

    def _hash(self, number: Value, values: list[Value]) -> list[Value] | None:
        """Hash files; the hashes come with the answer, or when the files are durable."""
        path, inode, device, sync, files = values
        entries = [Entry(*fields) for fields in _listed(files)]
        with _opened(_path(path), (inode, device)) as root:
            if not sync:
                return [*hash_files(root, entries, sync=False)]
            durable = self._syncs.hash_files(root, entries)
        durable.add_done_callback(lambda _: self._answer(number, lambda: [*durable.result()]))
        return None

    def _answer(self, number: Value, do: Callable[[], list[Value] | None]) -> None:
        try:
            values = do()
            if values is not None:
                self._send(Kind.done, number, *values)
        except StillBeingWritten as error:
            self._send(Kind.unfinished, number, _text(str(error)))
        except ContractInvalid as error:
            self._send(Kind.rejected, number, _text(error.message), _text(error.remedy))
        except OSError as error:
            self._send(Kind.refused, number, error.errno or 0, os.fsencode(error.filename or b""))
        except BaseException as error:  # noqa: BLE001 whoever asked is to hear that nothing more comes
            self._send(Kind.failed, number, type(error).__name__)

    def _send(self, kind: Kind, *values: Value) -> None:
        with self._sending:
            frame = memoryview(pack(kind, values))
            while frame:
                frame = frame[self._replies.write(frame) :]


def _do(kind: Kind, values: list[Value]) -> list[Value]:
    if kind is Kind.survey:
        return [value for path in values for value in _surveyed(survey(_path(path)))]
    path, inode, device, *rest = values
    with _opened(_path(path), (inode, device)) as root:
        if kind is Kind.link:
            links = [Link(Entry(*fields), target, sync) for *fields, target, sync in _listed(rest[0])]
            return [*link_files(root, links)]
        if kind is Kind.look:
            return [take_look(root, 0.0).stat_sha256]
        stat_sha256, marker = rest
        assert isinstance(marker, bytes)
        mark_unchanged(root, Path(_path(path)), str(stat_sha256), marker)
        return []


@contextmanager
def _opened(path: str, identity: tuple[Value, Value]) -> Iterator[int]:
    """Open the handoff dir that ingest has open, and no other. Raises StillBeingWritten, OSError."""
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(root)
        if (status.st_ino, status.st_dev) != identity:
            raise StillBeingWritten("another directory is in its place")
        yield root
    finally:
        os.close(root)


def _listed(files: Value) -> list[Any]:
    """The fields of each file, as they were sent."""
    assert isinstance(files, bytes)
    listed: list[Any] = orjson.loads(files)
    return listed


def _path(value: Value) -> str:
    """A path as it was sent: its bytes, since not each is text."""
    assert isinstance(value, bytes)
    return os.fsdecode(value)


def _surveyed(found: Surveyed | None) -> tuple[Value, ...]:
    return (None, None, None, None) if found is None else tuple(found)


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
