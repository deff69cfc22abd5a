"""Who works on a handoff's files: this thread, or when there is much to do, a process of our own on another core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import orjson

from pipeline.ingest.file_operations import Link, Surveyed, link_files, mark_unchanged, survey
from pipeline.ingest.file_process import FileProcess, settle
from pipeline.ingest.hash_files import Syncs, hash_files
from pipeline.ingest.look import Entry, take_look
from pipeline.ingest.pace import Pace
from pipeline.ingest.reader_frames import Kind
from pipeline.stores.metadata import Value

BATCH = 32
"""Files, or handoffs, of one request: fewer cost more to hand over than to work on."""
_SURVEYED_VALUES = 4
_Result = TypeVar("_Result")


class Place(NamedTuple):
    """A handoff dir that is open here, and how another process finds the same."""

    root: int
    """Its descriptor."""
    path: Path
    inode: int
    device: int


class FileWork:
    """Does it at once, until there is more of it than a batch; from then on a process does, unless the user is there.

    Use as a context manager. Each result may raise StillBeingWritten, ContractInvalid, OSError; Blocked, Stopped.
    """

    def __init__(self, threads: int, pace: Pace) -> None:
        """`threads` are those of the process, which wait for the disk; with none there is no process."""
        self._threads = threads
        self._pace = pace
        self._process: FileProcess | None = None
        self._syncs: Syncs | None = None

    def __enter__(self) -> FileWork:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.end()
        if self._syncs is not None:
            self._syncs.threads.shutdown()

    def expect(self, items: int) -> None:
        """Say how many files or handoffs are to be worked on: with many, the process is started, if it can be."""
        if items > BATCH and self._threads and self._process is None and not self._pace.is_slow:
            with suppress(OSError):
                self._process = FileProcess(self._threads, self._pace.step)
                self._syncs = Syncs()

    def hash(self, place: Place, entries: Sequence[Entry], *, sync: bool) -> Future[list[str]]:
        """Hash files, and make them durable where asked; the hashes come in the order of the files."""
        return self._ask_listed(
            Kind.hash,
            (*_place(place), int(sync)),
            [tuple(entry) for entry in entries],
            _texts,
            lambda: self._hash(place.root, entries, sync),
        )

    def _hash(self, root: int, entries: Sequence[Entry], sync: bool) -> list[str] | Future[list[str]]:
        if sync and self._syncs is not None:
            return self._syncs.hash_files(root, entries, self._pace.turn)
        return hash_files(root, entries, sync, self._pace.turn)

    def link(self, place: Place, links: Sequence[Link]) -> Future[list[int]]:
        """Link files; the result are the positions of those that were not linked."""
        return self._ask_listed(
            Kind.link,
            _place(place),
            [(*link.entry, link.target, link.sync) for link in links],
            _numbers,
            lambda: link_files(place.root, links, self._pace.turn),
        )

    def look(self, place: Place) -> Future[str]:
        """Look at the handoff dir again: the `stat_sha256` of what is there now."""
        return self._ask(
            Kind.look,
            _place(place),
            lambda values: str(values[0]),
            lambda: take_look(place.root, 0.0).stat_sha256,
        )

    def mark(self, place: Place, stat_sha256: str, marker: bytes) -> Future[None]:
        """Write the marker if the handoff dir still looks so."""
        return self._ask(
            Kind.mark,
            (*_place(place), stat_sha256, marker),
            lambda _: None,
            lambda: mark_unchanged(place.root, place.path, stat_sha256, marker),
        )

    def survey(self, paths: Sequence[str]) -> Future[list[Surveyed | None]]:
        """Look at handoff dirs that hold a marker; None for all others, and for all when nobody has time for it."""
        if self._helper() is None:
            return _at_once(lambda: [None] * len(paths))
        named = [os.fsencode(path) for path in paths]
        return self._ask(Kind.survey, named, _surveyed, lambda: [survey(path) for path in map(os.fsdecode, named)])

    def _ask_listed(
        self,
        kind: Kind,
        values: tuple[Value, ...],
        files: list[tuple[object, ...]],
        make: Callable[[list[Value]], _Result],
        do: Callable[[], _Result | Future[_Result]],
    ) -> Future[_Result]:
        try:
            return self._ask(kind, (*values, orjson.dumps(files)), make, do)
        except orjson.JSONEncodeError:  # a name that is not UTF-8, a time beyond the year 2554
            return _at_once(do)

    def _ask(
        self,
        kind: Kind,
        values: Iterable[Value],
        make: Callable[[list[Value]], _Result],
        do: Callable[[], _Result | Future[_Result]],
    ) -> Future[_Result]:
        process = self._helper()
        return _at_once(do) if process is None else process.ask(kind, values, make, do)

    def _helper(self) -> FileProcess | None:
        is_there = self._process is not None and self._process.is_alive and not self._pace.is_slow
        return self._process if is_there else None


def _at_once(work: Callable[[], _Result | Future[_Result]]) -> Future[_Result]:
    answer: Future[_Result] = Future()
    settle(answer, work)
    return answer


def _place(place: Place) -> tuple[Value, ...]:
    return os.fsencode(place.path), place.inode, place.device


def _texts(values: list[Value]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _numbers(values: list[Value]) -> list[int]:
    return [value for value in values if isinstance(value, int)]


def _surveyed(values: list[Value]) -> list[Surveyed | None]:
    groups = (values[start : start + _SURVEYED_VALUES] for start in range(0, len(values), _SURVEYED_VALUES))
    return [_one_surveyed(*group) for group in groups]


def _one_surveyed(inode: Value, device: Value, marker: Value, stat_sha256: Value) -> Surveyed | None:
    if (
        isinstance(inode, int)
        and isinstance(device, int)
        and isinstance(marker, bytes)
        and isinstance(stat_sha256, str)
    ):
        return Surveyed(inode, device, marker, stat_sha256)
    return None
