"""Handoffs where PATHs lead: each is one, or a spool root whose direct children are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.ingest.chronicle import is_sealed_folder, is_session_folder
from pipeline.ingest.handoff_directory import DATABASE, path_text
from pipeline.ingest.look import is_there
from pipeline.ingest.result import HandoffResult, State

_PARTS_OF_A_HANDOFF = ("media", "activity")


@dataclass(frozen=True)
class Found:
    """What some PATHs lead to."""

    handoffs: list[str] = field(default_factory=list)
    """As text: of many, most are known by a look and need no more than their name."""
    passed_over: list[Path] = field(default_factory=list)
    """Directories that have no `metadata.db`, or as chronicle sessions no `COMPLETE.json` (yet)."""
    unusable: list[HandoffResult] = field(default_factory=list)


def find_handoffs(paths: Sequence[Path], expect: Callable[[int], None] = lambda _: None) -> Found:
    """Find the handoffs that PATHs name: each is one, or a spool root whose direct children are, in name order.

    `expect` is told early how many there may be in a spool.

    A handoff is a handoff dir or a chronicle session. Links to directories inside a spool are not followed. What the
    disk does not let us look at is `unusable`, never passed over.
    """
    found = Found()
    for path in paths:
        found.handoffs.extend(_below(path.absolute(), found, expect))
    return found if len(paths) == 1 else _each_once(found)


def _each_once(found: Found) -> Found:
    """Several PATHs may lead to the same handoff."""
    once: dict[tuple[int, int], str] = {}
    for handoff in found.handoffs:
        try:
            status = Path(handoff).stat()
            once.setdefault((status.st_ino, status.st_dev), handoff)
        except OSError as error:
            found.unusable.append(_refused(handoff, error))
    return Found(list(once.values()), found.passed_over, found.unusable)


def _below(path: Path, found: Found, expect: Callable[[int], None]) -> list[str]:
    try:
        if path.is_dir():
            return _inside(path, found, expect)
        found.unusable.append(_unusable(path, "is not a directory" if is_there(path) else "does not exist"))
    except OSError as error:
        found.unusable.append(_refused(path, error))
    return []


def _inside(path: Path, found: Found, expect: Callable[[int], None]) -> list[str]:
    with os.scandir(path) as entries:
        children = sorted(entries, key=lambda child: child.name)
    folders = [child for child in children if child.is_dir(follow_symlinks=False)]
    expect(len(folders))
    handoffs: list[str] = []
    others: list[Path] = []
    refused: list[HandoffResult] = []  # told only where this is a spool: of a handoff's folders nobody asks
    for child in folders:
        try:
            if is_there(f"{child.path}/{DATABASE}") or is_sealed_folder(Path(child.path)):
                handoffs.append(child.path)
            else:
                others.append(Path(child.path))
        except OSError as error:
            refused.append(_refused(child.path, error))
    if is_there(path / DATABASE) and not (handoffs and _is_empty_file(path / DATABASE)):
        return [str(path)]
    if is_session_folder(path):
        if is_sealed_folder(path):
            return [str(path)]
        found.passed_over.append(path)
        return []
    found.unusable.extend(refused)
    is_torn_handoff = any(child.is_file() or child.name in _PARTS_OF_A_HANDOFF for child in children)
    if is_torn_handoff and not handoffs and not refused:
        found.unusable.append(_unusable(path, f"has no {DATABASE}, nor has any directory in it"))
        return []
    found.passed_over.extend(others)
    return handoffs


def _is_empty_file(path: Path) -> bool:
    """An SQLite client that was pointed at a spool root by mistake leaves an empty database there."""
    return path.is_file() and path.stat().st_size == 0


def _refused(path: str | Path, error: OSError) -> HandoffResult:
    """The disk's refusal ends this path only."""
    return _unusable(path, f"cannot be looked into ({error.strerror})")


def _unusable(path: str | Path, found: str) -> HandoffResult:
    return HandoffResult(
        path_text(path),
        State.rejected,
        error=(
            f"{path_text(path)} {found};"
            f" expected a handoff dir (with {DATABASE}), a chronicle session, or a spool root full of them"
        ),
        remedy="check the path; pipeline ingest PATH…",
    )
