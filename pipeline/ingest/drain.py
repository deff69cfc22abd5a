"""Handoffs one after the other: finds them, takes the lock, looks at each, has them checked and committed in groups."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from ulid import ULID

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ContractInvalid, ExitCode, PipelineError, combine_exit_codes
from pipeline.ingest.file_operations import Surveyed
from pipeline.ingest.file_work import BATCH, FileWork
from pipeline.ingest.find_handoffs import Found, find_handoffs
from pipeline.ingest.groups import Group
from pipeline.ingest.handoff_directory import StillBeingWritten, path_text
from pipeline.ingest.ingest_handoff import HandoffIngest
from pipeline.ingest.pace import Pace, Stopped
from pipeline.ingest.place_files import FilePlacer, Mode
from pipeline.ingest.reader import ReaderPool
from pipeline.ingest.recognise import recognise
from pipeline.ingest.recover import open_data_root
from pipeline.ingest.report_handoff import describe
from pipeline.ingest.result import HandoffResult
from pipeline.ingest.run_of_ingest import Ingest
from pipeline.ingest.settle import Clock, FirstLook
from pipeline.stores.metadata import MetadataStore
from pipeline.stores.variants import Backend

_OPENED_AHEAD = 3
"""Handoffs whose databases are opened while the rows of the one before them are read."""
_AHEAD, _FILES_AHEAD = 24, 500
"""Handoffs whose files are hashed ahead, also while others are committed; fewer where they hold many."""
_BATCHES_AHEAD = 16
"""Batches of handoffs that are surveyed while the one before them is gone through."""


@dataclass(frozen=True)
class _Terms:
    """How handoffs are to be ingested."""

    mode: Mode
    strict: bool
    settle_s: float
    backend: Backend
    clock: Clock
    pace: Pace
    threads: int


@dataclass
class DrainResult:
    """What became of all handoffs."""

    results: list[HandoffResult] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    left: int = 0
    """Handoffs that nobody came to, as the gate closed or the work was stopped."""
    blocked: str = ""
    """Why the gate closed."""

    @property
    def exit_code(self) -> ExitCode:
        """The one code for all of them."""
        codes = [result.exit_code for result in self.results]
        if self.blocked:
            codes.append(ExitCode.BLOCKED)
        return combine_exit_codes(codes) if codes else ExitCode.NOTHING_TO_DO


def drain(
    root: DataRoot,
    paths: Sequence[Path],
    *,
    mode: Mode = Mode.hardlink,
    strict: bool = True,
    settle_s: float = 2.0,
    backend: Backend = Backend.auto,
    clock: Clock | None = None,
    pace: Pace | None = None,
    threads: int = 2,
    on_found: Callable[[int], None] = lambda _: None,
    on_result: Callable[[HandoffResult], None] = lambda _: None,
) -> DrainResult:
    """Ingest every handoff that PATHs lead to; one that is rejected does not keep the others from going through.

    Creates the DataRoot if there is work for it. `on_found` is told how many handoffs there are, `on_result` each
    result as it comes. Raises Busy, DataRootReadOnly, ContractInvalid for a DataRoot that is not Stage 1's own.
    """
    terms = _Terms(mode, strict, settle_s, backend, clock or Clock(), pace or Pace(), threads)
    with FileWork(terms.threads, terms.pace) as files:
        refusal = _refusal(terms.pace)
        found = find_handoffs(paths, files.expect) if refusal is None else find_handoffs(paths)
        return _drain(root, found, refusal, terms, files, on_found, on_result)


def _refusal(pace: Pace) -> Blocked | Stopped | None:
    """Why nothing may be done now; what there would be to do is told all the same."""
    try:
        pace.step()
    except (Blocked, Stopped) as reason:
        return reason
    return None


def _drain(
    root: DataRoot,
    found: Found,
    refusal: Blocked | Stopped | None,
    terms: _Terms,
    files: FileWork,
    on_found: Callable[[int], None],
    on_result: Callable[[HandoffResult], None],
) -> DrainResult:
    outcome = DrainResult([], [path_text(path) for path in found.passed_over])

    def report(result: HandoffResult) -> None:
        outcome.results.append(result)
        on_result(result)

    on_found(len(found.handoffs))
    for result in found.unusable:
        report(result)
    if not found.handoffs:
        return outcome
    known = len(outcome.results)
    try:
        if refusal is not None:
            raise refusal
        with _open(root, terms, files) as ingest:
            _Drain(ingest, report).run(found.handoffs)
    except Blocked as reason:
        outcome.blocked = reason.message
    except Stopped:
        pass
    except BrokenPipeError:  # whoever read our results has gone
        raise
    except (OSError, sqlite3.Error) as error:
        raise _refused(root, error) from error
    outcome.left = len(found.handoffs) - (len(outcome.results) - known)
    return outcome


def _refused(root: DataRoot, error: OSError | sqlite3.Error) -> ContractInvalid:
    return ContractInvalid(
        f"the DataRoot {root} cannot be worked on ({describe(error)}); what was marked is safe",
        remedy="mend the disk or its permissions, then run the same command again",
    )


class _Drain:
    """One pass over some handoffs."""

    def __init__(self, ingest: Ingest, report: Callable[[HandoffResult], None]) -> None:
        self._ingest = ingest
        self._results = report
        self._group = Group(ingest, self._report)
        self._begun: deque[HandoffIngest] = deque()
        self._turns: deque[HandoffIngest | HandoffResult] = deque()
        self._ended: set[HandoffIngest] = set()

    def run(self, paths: Sequence[str]) -> None:
        """Ingest them; those that must be watched first come last. Raises Blocked, Stopped."""
        watched: list[tuple[str, FirstLook]] = []
        try:
            for path, known in self._surveyed(paths):
                self._ingest.pace.step()
                if known is not None:
                    self._turns.append(known)
                    self._report_ended()
                elif (first := self._begin(path, HandoffIngest.begin)) is not None:
                    watched.append((path, first))
            for path, first in watched:
                self._ingest.pace.step()
                self._begin(path, partial(HandoffIngest.begin_watched, first=first))
            while self._begun:
                self._work_off_first()
            self._group.commit()
            self._group.finish()
        finally:
            for handoff in self._begun:
                handoff.abandon()
            self._group.abandon()

    def _surveyed(self, paths: Sequence[str]) -> Iterator[tuple[str, HandoffResult | None]]:
        """Look ahead at those that are marked, in the order of the handoffs; the results of those that are known."""
        self._ingest.files.expect(len(paths))
        ahead: deque[tuple[Sequence[str], Future[list[Surveyed | None]]]] = deque()
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            ahead.append((batch, self._ingest.files.survey(batch)))
            if len(ahead) > _BATCHES_AHEAD:
                yield from self._recognised(*ahead.popleft())
        for batch, surveys in ahead:
            yield from self._recognised(batch, surveys)

    def _recognised(
        self, paths: Sequence[str], surveys: Future[list[Surveyed | None]]
    ) -> Iterator[tuple[str, HandoffResult | None]]:
        try:
            return zip(paths, recognise(self._ingest, paths, surveys.result()), strict=True)
        except (PipelineError, StillBeingWritten, OSError, sqlite3.Error):  # each is looked at when its turn comes
            return ((path, None) for path in paths)

    def _begin(self, path: str, begin: Callable[[HandoffIngest], FirstLook | None]) -> FirstLook | None:
        """Begin with a handoff, and work on those before it; returns a look where it must be watched first."""
        handoff = HandoffIngest(self._ingest, Path(path))
        firsts: list[FirstLook | None] = []
        is_sound = handoff.attempt(lambda: firsts.append(begin(handoff)))
        if is_sound and firsts[0] is not None:
            handoff.close()
            return firsts[0]
        self._turns.append(handoff)
        if is_sound and not handoff.result.is_marked:
            self._begun.append(handoff)
            while self._has_enough_ahead():
                self._work_off_first()
        else:
            self._report(handoff)
        return None

    def _has_enough_ahead(self) -> bool:
        if len(self._begun) <= _OPENED_AHEAD:
            return False
        files = sum(len(handoff.look.files) for handoff in self._begun)
        return len(self._begun) > _AHEAD or files > _FILES_AHEAD or self._ingest.pace.is_slow

    def _work_off_first(self) -> None:
        for handoff in islice(self._begun, _OPENED_AHEAD + 1):
            handoff.read_ahead()
        self._group.add(self._begun.popleft())

    def _report(self, handoff: HandoffIngest) -> None:
        """Hand on the results in the order of the handoffs, whichever ended first."""
        self._ended.add(handoff)
        self._report_ended()

    def _report_ended(self) -> None:
        while self._turns and (isinstance(self._turns[0], HandoffResult) or self._turns[0] in self._ended):
            ended = self._turns.popleft()
            if isinstance(ended, HandoffIngest):
                self._ended.remove(ended)
            self._results(ended if isinstance(ended, HandoffResult) else ended.result)


@contextmanager
def _open(root: DataRoot, terms: _Terms, files: FileWork) -> Iterator[Ingest]:
    with open_data_root(root, terms.clock) as journal:
        store = MetadataStore(root.metadata_db)
        try:
            with ReaderPool(root.scratch) as readers:
                yield Ingest(
                    root=root,
                    store=store,
                    journal=journal,
                    placer=FilePlacer(root, terms.mode),
                    mode=terms.mode,
                    strict=terms.strict,
                    settle_s=terms.settle_s,
                    clock=terms.clock,
                    run_id=f"ingest_{ULID()}",
                    readers=readers,
                    files=files,
                    pace=terms.pace,
                    above=_above(root),
                    backend=terms.backend,
                )
        finally:
            store.close()


def _above(root: DataRoot) -> frozenset[tuple[int, int]]:
    resolved = root.path.resolve()
    found = (folder.stat() for folder in (resolved, *resolved.parents))
    return frozenset((status.st_ino, status.st_dev) for status in found)
