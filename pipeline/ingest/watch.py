"""Ingest for ever: what is there, then what arrives, while the user is idle `[gate-4]`.

    drain ── wait for a change ── wait until idle ── drain ── …
             nothing is held, nothing runs

The lock is held only while handoffs are worked on, so an ingest by hand can run in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Busy, ContractInvalid
from pipeline.gate import Gate
from pipeline.ingest.arrivals import Arrivals
from pipeline.ingest.drain import DrainResult
from pipeline.ingest.find_handoffs import find_handoffs
from pipeline.ingest.handoff_directory import HandoffDirectory, StillBeingWritten, path_text
from pipeline.ingest.result import State

_RETRY_S = {State.waiting: 2.0, State.unmarked: 2.0, State.busy: 5.0, State.failed: 60.0}
"""When to look again at a handoff that nobody touched meanwhile; one that was rejected waits for a change."""
_BUSY_S = 5.0
_ASK_S = 1.0
_WHOLE_PASS_S = 600.0
"""Events can be lost; so often all handoffs are looked at anyhow."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far a handoff came, and as what it was seen then."""

    state: State
    stat_sha256: str
    retry_at: float


class Watch:
    """Keeps a DataRoot up to some PATHs until `stop` is called."""

    def __init__(
        self,
        paths: Sequence[Path],
        drain: Callable[[Sequence[Path]], DrainResult],
        gate: Gate,
        arrivals: Arrivals,
        *,
        resume_hold_s: float,
        on_blocked: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = paths
        self._drain = drain
        self._gate = gate
        self._arrivals = arrivals
        self._hold_s = resume_hold_s
        self._on_blocked = on_blocked
        self._monotonic = monotonic
        self._seen: dict[Path, _Seen] = {}
        self._is_stopped = False

    def stop(self) -> None:
        """End at the next safe point; may be called from a signal handler."""
        self._is_stopped = True
        self._arrivals.wake()

    def run(self) -> None:
        """Drain and wait until stopped. Raises DataRootReadOnly, ContractInvalid for a DataRoot that is not ours."""
        for path in self._paths:
            if not path.is_dir():
                raise ContractInvalid(
                    f"{path} is no directory that could be watched", remedy="make it, or check the path"
                )
        whole_pass_at = self._monotonic() + _WHOLE_PASS_S
        has_paused = False
        while not self._is_stopped:
            due = self._due()
            if due and not self._wait_until_idle(has_paused):
                return
            has_paused = bool(due) and self._work(due)
            if has_paused:
                continue
            now = self._monotonic()
            if now >= whole_pass_at:
                whole_pass_at = now + _WHOLE_PASS_S
                self._seen = {path: seen for path, seen in self._seen.items() if seen.state is State.rejected}
                continue
            soonest = min((seen.retry_at for seen in self._seen.values()), default=whole_pass_at)
            changed = self._arrivals.wait(max(0.0, min(soonest, whole_pass_at) - now))
            self._forget(changed)

    def _due(self) -> list[Path]:
        found = find_handoffs(self._paths)
        handoffs = [Path(path) for path in found.handoffs]
        unfinished = [path for path in handoffs if not self._is_marked(path)]
        self._arrivals.follow(self._paths, [*unfinished, *found.passed_over])
        now = self._monotonic()
        self._seen = {path: self._seen[path] for path in handoffs if path in self._seen}
        return [path for path in handoffs if path not in self._seen or self._seen[path].retry_at <= now]

    def _is_marked(self, path: Path) -> bool:
        seen = self._seen.get(path)
        return seen is not None and seen.state in (State.ingested, State.already)

    def _work(self, due: list[Path]) -> bool:
        """Drain; tells whether it was interrupted, so that there is still work and the gate is to be waited for."""
        try:
            outcome = self._drain(due)
        except Busy:
            later = self._monotonic() + _BUSY_S
            self._seen.update((path, _Seen(State.busy, "", later)) for path in due)
            return False
        by_name = {path_text(path): path for path in due}
        for result in outcome.results:
            path = by_name.get(result.path)
            if path is None:
                continue
            retry_at = self._monotonic() + _RETRY_S.get(result.state, float("inf"))
            self._seen[path] = _Seen(result.state, result.stat_sha256, retry_at)
        return bool(outcome.blocked)

    def _forget(self, changed: set[Path]) -> None:
        """Have those looked at again that changed; what reading them brought about is no change."""
        for path in changed:
            for handoff in (path, *path.parents):
                seen = self._seen.get(handoff)
                if seen is not None and seen.state is not State.failed and _look_at(handoff) != seen.stat_sha256:
                    del self._seen[handoff]

    def _wait_until_idle(self, has_paused: bool) -> bool:
        """Wait for the gate; after a pause it must have been open for `resume_hold_s`. False when stopped meanwhile."""
        open_since = float("-inf") if not has_paused else None
        told = ""
        while not self._is_stopped:
            verdict = self._gate.ask()
            now = self._monotonic()
            if not verdict.open:
                open_since = None
                if verdict.reason != told:
                    told = verdict.reason
                    self._on_blocked(told)
            elif open_since is None:
                open_since = now
            if open_since is not None and now - open_since >= self._hold_s:
                return True
            self._arrivals.pause(_ASK_S)
        return False


def _look_at(path: Path) -> str:
    try:
        with HandoffDirectory(path) as directory:
            return directory.look().stat_sha256
    except (OSError, ContractInvalid, StillBeingWritten):
        return ""
