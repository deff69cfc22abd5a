"""Handoffs where PATHs lead: each is one, or a spool root whose direct children are."""

from __future__ import annotations

import os
from collections.abc import Sequence
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

    handoffs: list[Path] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    """Directories that have no `metadata.db`, or as chronicle sessions no `COMPLETE.json` (yet)."""
    unusable: list[HandoffResult] = field(default_factory=list)


def find_handoffs(paths: Sequence[Path]) -> Found:
    """Find the handoffs that PATHs name: each is one, or a spool root whose direct children are, in name order.

    A handoff is a handoff dir or a chronicle session. Links to directories inside a spool are not followed. What the
    disk does not let us look at is `unusable`, never passed over.
    """
    found = Found()
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for handoff in _below(path.absolute(), found):
            try:
                status = handoff.stat()
            except OSError as error:
                found.unusable.append(_refused(handoff, error))
                continue
            identity = (status.st_ino, status.st_dev)
            if identity not in seen:
                seen.add(identity)
                found.handoffs.append(handoff)
    return found


def _below(path: Path, found: Found) -> list[Path]:
    try:
        if path.is_dir():
            return _inside(path, found)
        found.unusable.append(_unusable(path, "is not a directory" if is_there(path) else "does not exist"))
    except OSError as error:
        found.unusable.append(_refused(path, error))
    return []


def _inside(path: Path, found: Found) -> list[Path]:
    with os.scandir(path) as entries:
        children = sorted(entries, key=lambda child: child.name)
    folders = [child for child in children if child.is_dir(follow_symlinks=False)]
    handoffs: list[Path] = []
    others: list[Path] = []
    refused: list[HandoffResult] = []  # told only where this is a spool: of a handoff's folders nobody asks
    for child in folders:
        folder = Path(child.path)
        try:
            is_one = is_there(f"{child.path}/{DATABASE}") or is_sealed_folder(folder)
            (handoffs if is_one else others).append(folder)
        except OSError as error:
            refused.append(_refused(folder, error))
    if is_there(path / DATABASE) and not (handoffs and _is_empty_file(path / DATABASE)):
        return [path]
    if is_session_folder(path):
        if is_sealed_folder(path):
            return [path]
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


def _refused(path: Path, error: OSError) -> HandoffResult:
    """The disk's refusal ends this path only."""
    return _unusable(path, f"cannot be looked into ({error.strerror})")


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
