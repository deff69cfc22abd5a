"""What became of a bundle, and how its progress is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.errors import ExitCode
from pipeline.ingest.check_handoff import Notes


class State(StrEnum):
    """How far it came."""

    created = "created"
    whole = "whole"
    """Looked at with `verify`: all of it can be restored."""
    restored = "restored"
    already = "already restored"
    partial = "restored in part"
    """`--no-strict`: rows are quarantined, or blobs were missing or wrong."""


@dataclass
class Outcome:
    """One bundle's outcome; of a restore, `inserted + identical + quarantined` are all its rows."""

    path: str
    state: State
    bundle_id: str = ""
    manifest_sha256: str = ""
    rows: int = 0
    media_files: int = 0
    other_files: int = 0
    bytes: int = 0
    frames: int = 0
    frames_complete: int = 0
    inserted: int = 0
    identical: int = 0
    quarantined: int = 0
    files_added: int = 0
    warnings: list[str] = field(default_factory=list)
    warning_count: int = 0
    left_out: list[str] = field(default_factory=list)
    """What lies in the DataRoot and goes into no bundle."""

    @property
    def exit_code(self) -> ExitCode:
        """What the command exits with."""
        return ExitCode.NOTHING_TO_DO if self.state is State.already else ExitCode.OK

    def warn(self, notes: Notes) -> None:
        """Add warnings."""
        self.warnings += notes.lines
        self.warning_count += notes.count

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON can hold it."""
        return {**asdict(self), "state": self.state.name}


@dataclass(frozen=True)
class Watch:
    """Told how many members there are when a pass over them begins, and of each that is done."""

    start: Callable[[str, int], None] = lambda _what, _count: None
    advance: Callable[[int], None] = lambda _count: None
