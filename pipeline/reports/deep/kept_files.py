"""The files under `handoffs/<handoff_id>/`, against what the handoff's completion record notes of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.ingest.manifest import kept_files_digest
from pipeline.reports.deep.blobs import hash_open_file
from pipeline.reports.deep.findings import Findings
from schemas.fields import parse_utc
from schemas.handoff import HandoffCompleted

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_kept_files(root: DataRoot, completed: HandoffCompleted, findings: Findings) -> int:
    """Hash what is kept of a handoff and compare the whole; returns how many files there are.

    When the whole differs, the files that were written since are named; else (one is gone, or its time was set back)
    the handoff is.
    """
    if "/" in completed.handoff_id or completed.handoff_id in ("", ".", ".."):
        findings.add("kept_file_changed", completed.handoff_id)
        return 0
    folder = root.handoff(completed.handoff_id)
    place = f"{root.handoffs.name}/{completed.handoff_id}"
    files: dict[str, tuple[int, str]] = {}
    touched = []
    for path in _walk(folder, ""):
        found = _read(folder / path)
        if found is None:
            findings.add("kept_file_changed", f"{place}/{path}")
            continue
        size, digest, written = found
        files[path] = size, digest
        if written > parse_utc(completed.ended_utc).timestamp() + 1:
            touched.append(f"{place}/{path}")
    _compare(completed, place, files, touched, findings)
    return len(files)


def _compare(
    completed: HandoffCompleted, place: str, files: dict[str, tuple[int, str]], touched: list[str], findings: Findings
) -> None:
    noted = completed.kept_files_sha256
    if noted is None:
        for path in touched:
            findings.add("kept_file_touched", path)
    elif kept_files_digest(files) != noted:
        if not files:
            findings.add("kept_file_missing", place)
        for path in touched or ([place] if files else []):
            findings.add("kept_file_changed", path)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Paths of all that is no directory, below a folder, in order."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((item.name, item.is_dir(follow_symlinks=False)) for item in entries)
    except OSError:
        return
    for name, is_directory in found:
        if is_directory:
            yield from _walk(folder / name, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"


def _read(path: Path) -> tuple[int, str, float] | None:
    """Size, hash and time of the last write of a regular file; None when it is none, or cannot be read."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        return (found.st_size, hash_open_file(descriptor), found.st_mtime) if stat.S_ISREG(found.st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
