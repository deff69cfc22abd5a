"""What became of one handoff, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.errors import ExitCode


class State(StrEnum):
    """How far a handoff came."""

    ingested = "ingested"
    """All of it is kept, and it is marked."""
    already = "already ingested"
    """All of it was kept before; it is marked."""
    waiting = "still being written"
    """Nothing was kept; the next run looks again."""
    unmarked = "changed meanwhile"
    """What it held is kept, but it changed before it could be marked; the next run finishes it."""
    partial = "kept in part"
    """`--no-strict`: rows are quarantined or blobs missing; it is not marked."""
    rejected = "rejected"
    """It breaks the contract; nothing changed."""
    failed = "failed"
    """A disk or file system said no; it is not marked, and the next run tries again."""
    busy = "busy"
    """A long reader held the metadata store; the next run tries again."""


_EXIT_CODES = {
    State.ingested: ExitCode.OK,
    State.already: ExitCode.NOTHING_TO_DO,
    State.waiting: ExitCode.NOTHING_TO_DO,
    State.unmarked: ExitCode.OK,
    State.partial: ExitCode.OK,
    State.rejected: ExitCode.CONTRACT_INVALID,
    State.failed: ExitCode.CONTRACT_INVALID,
    State.busy: ExitCode.BUSY,
}


@dataclass
class HandoffResult:
    """One handoff's outcome; `inserted + identical + quarantined` are all its rows."""

    path: str
    state: State = State.waiting
    handoff_id: str = ""
    metadata_backend: str = ""
    """The table that its rows were read from `[meta-2]`; empty when they were not read."""
    rows: int = 0
    inserted: int = 0
    identical: int = 0
    quarantined: int = 0
    incomplete: int = 0
    frames: int | None = None
    """None when the handoff was recognised by its marker and not read again."""
    frames_complete: int | None = None
    files_linked: int = 0
    files_copied: int = 0
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    warning_count: int = 0
    error: str = ""
    remedy: str = ""
    stat_sha256: str = ""
    """As what the handoff was seen; for who waits for it to change."""

    @property
    def exit_code(self) -> ExitCode:
        """What this handoff alone would make the command exit with."""
        return _EXIT_CODES[self.state]

    @property
    def is_marked(self) -> bool:
        """Whether a true marker lies in the handoff."""
        return self.state in (State.ingested, State.already)

    def warn(self, line: str) -> None:
        """Add one warning."""
        self.warnings.append(line)
        self.warning_count += 1

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        told = {name: value for name, value in vars(self).items() if name != "stat_sha256"}
        return {**told, "state": self.state.name, "warnings": list(self.warnings)}
