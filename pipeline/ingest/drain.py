"""Handoffs one after the other: finds them, takes the lock, looks at all of them first, then ingests each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ulid import ULID

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, ExitCode, combine_exit_codes
from pipeline.ingest.chronicle import is_sealed_folder, is_session_folder
from pipeline.ingest.handoff_directory import DATABASE, HandoffDirectory, StillBeingWritten, path_text
from pipeline.ingest.ingest_handoff import Ingest, ingest_handoff
from pipeline.ingest.place_files import FilePlacer, Mode, remove_staging
from pipeline.ingest.reader import ReaderPool
from pipeline.ingest.result import HandoffResult, State
from pipeline.ingest.settle import Clock, FirstLook
from pipeline.stores.atomic import fsync_directory, make_directories
from pipeline.stores.journal import Journal
from pipeline.stores.lock import hold_lock
from pipeline.stores.metadata import MetadataStore
from pipeline.stores.variants import Backend

_PARTS_OF_A_HANDOFF = ("media", "activity")


@dataclass(frozen=True)
class Found:
    """What some PATHs lead to."""

    handoffs: list[Path] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    """Directories that have no `metadata.db`, or as chronicle sessions no `COMPLETE.json` (yet)."""
    unusable: list[HandoffResult] = field(default_factory=list)


@dataclass
class DrainResult:
    """What became of all handoffs."""

    results: list[HandoffResult] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """The one code for all of them."""
        if not self.results:
            return ExitCode.NOTHING_TO_DO
        return combine_exit_codes(result.exit_code for result in self.results)


def find_handoffs(paths: Sequence[Path]) -> Found:
    """Find the handoffs that PATHs name: each is one, or a spool root whose direct children are, in name order.

    A handoff is a handoff dir or a chronicle session. Links to directories inside a spool are not followed.
    Raises OSError.
    """
    found = Found()
    seen: set[Path] = set()
    for path in paths:
        for handoff in _below(path.absolute(), found):
            if handoff.resolve() not in seen:
                seen.add(handoff.resolve())
                found.handoffs.append(handoff)
    return found


def drain(
    root: DataRoot,
    paths: Sequence[Path],
    *,
    mode: Mode = Mode.hardlink,
    strict: bool = True,
    settle_s: float = 2.0,
    backend: Backend = Backend.auto,
    clock: Clock | None = None,
    on_found: Callable[[int], None] = lambda _: None,
    on_result: Callable[[HandoffResult], None] = lambda _: None,
) -> DrainResult:
    """Ingest every handoff that PATHs lead to; one that is rejected does not keep the others from going through.

    Creates the DataRoot if there is work for it. `on_found` is told how many handoffs there are, `on_result` each
    result as it comes. Raises Busy, DataRootReadOnly, ContractInvalid for a DataRoot that is not Stage 1's own.
    """
    clock = clock or Clock()
    found = find_handoffs(paths)
    outcome = DrainResult(list(found.unusable), [path_text(path) for path in found.passed_over])
    on_found(len(found.handoffs))
    for result in found.unusable:
        on_result(result)
    if not found.handoffs:
        return outcome
    with _open(root, mode, strict, settle_s, clock, backend) as ingest:
        looks = [_first_look(path, clock) for path in found.handoffs]
        for path, first in zip(found.handoffs, looks, strict=True):
            result = ingest_handoff(ingest, path, first)
            outcome.results.append(result)
            on_result(result)
    return outcome


@contextmanager
def _open(
    root: DataRoot, mode: Mode, strict: bool, settle_s: float, clock: Clock, backend: Backend
) -> Iterator[Ingest]:
    if not root.path.exists():
        with suppress(OSError):  # what is wrong with it, `create` says better
            make_directories(root.path)
    root.create()
    with hold_lock(root.ingest_lock, "ingest"):
        _clear_up_after_a_crash(root)
        store = MetadataStore(root.metadata_db)
        try:
            journal = Journal(root.journal, root.quarantine)
            placer, run_id = FilePlacer(root, mode), f"ingest_{ULID()}"
            root.scratch.mkdir(parents=True, exist_ok=True)
            with ReaderPool(root.scratch) as readers:
                yield Ingest(root, store, journal, placer, mode, strict, settle_s, clock, run_id, readers, backend)
        finally:
            store.close()
            remove_staging(root)


def _clear_up_after_a_crash(root: DataRoot) -> None:
    """Remove what a dead process left half-done, and make durable what it did.

    It may have committed by removing SQLite's journal, or made the DataRoot, and died before that was durable.
    """
    remove_staging(root)
    try:
        fsync_directory(root.path)
        with suppress(PermissionError):
            fsync_directory(root.path.parent)
    except OSError as error:
        raise ContractInvalid(
            f"the DataRoot {root} cannot be made durable ({error.strerror})", remedy="mend the disk, then run again"
        ) from error


def _first_look(path: Path, clock: Clock) -> FirstLook | None:
    """See all handoffs before the first is ingested, so that they settle while others are worked on."""
    try:
        with HandoffDirectory(path) as directory:
            look = directory.look(clock.monotonic)
    except (OSError, ContractInvalid, StillBeingWritten):
        return None  # its own turn says what is wrong
    return FirstLook(look.stat_sha256, look.seen_at)


def _below(path: Path, found: Found) -> list[Path]:
    if not path.is_dir():
        found.unusable.append(_unusable(path, "is not a directory" if path.exists() else "does not exist"))
        return []
    children = sorted(path.iterdir(), key=lambda child: child.name)
    folders = [child for child in children if child.is_dir() and not child.is_symlink()]
    handoffs = [child for child in folders if os.path.lexists(child / DATABASE) or is_sealed_folder(child)]
    if os.path.lexists(path / DATABASE) and not (handoffs and _is_empty_file(path / DATABASE)):
        return [path]
    if is_session_folder(path):
        if is_sealed_folder(path):
            return [path]
        found.passed_over.append(path)
        return []
    if not handoffs and _looks_like_a_handoff(children):
        found.unusable.append(_unusable(path, f"has no {DATABASE}, nor has any directory in it"))
        return []
    found.passed_over.extend(child for child in folders if child not in set(handoffs))
    return handoffs


def _is_empty_file(path: Path) -> bool:
    """An SQLite client that was pointed at a spool root by mistake leaves an empty database there."""
    return path.is_file() and path.stat().st_size == 0


def _looks_like_a_handoff(children: list[Path]) -> bool:
    return any(child.is_file() or child.name in _PARTS_OF_A_HANDOFF for child in children)


def _unusable(path: Path, found: str) -> HandoffResult:
    return HandoffResult(
        path_text(path),
        State.rejected,
        error=(
            f"{path_text(path)} {found};"
            f" expected a handoff dir (with {DATABASE}), a chronicle session, or a spool root full of them"
        ),
        remedy="check the path; pipeline ingest PATH…",
    )
