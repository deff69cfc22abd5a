"""What is written down of each run, once and never changed: how it began, how it ended, and that it crashed.

    derived/manifests/started/run-<ULID>.json     when it begins to work
    derived/manifests/run-<ULID>.json             when it has ended; of a run that was killed, at the next one's start
    audit/runs.ndjson                             a line for each of the two, append-only

The second file holds all that the first one says, and what came of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.dataroot import DataRoot
from pipeline.errors import UsageError
from pipeline.stores.atomic import make_directories, replace_file
from pipeline.stores.journal import Journal
from schemas.fields import parse_utc, utc_text

RUNNING, COMPLETED, BLOCKED, FAILED, CRASHED = "running", "completed", "blocked", "failed", "crashed"

_RUN = "system.run"
_TOLD = ("run_id", "state", "reason", "exit_code")
_SHORTEST_NAME = 4


def write_started(root: DataRoot, content: dict[str, Any]) -> None:
    """Write how a run began. Raises OSError."""
    _write_once(root.run_started(content["run_id"]), content)
    _note(root, "started", content, content["started_utc"])


def write_ended(root: DataRoot, content: dict[str, Any]) -> None:
    """Write how a run ended; what is there already stays. Raises OSError."""
    _write_once(root.run_manifest(content["run_id"]), content)
    _note(root, "ended", content, content["ended_utc"])


def note_crashes(root: DataRoot, now: datetime) -> list[str]:
    """Write how runs ended that could not say so themselves; returns their ids. Needs the run lock."""
    ended = {path.name for path in root.manifests.glob("run-*.json")}
    crashed = []
    for path in sorted(root.manifests_started.glob("run-*.json")):
        if path.name in ended:
            continue
        run_id = f"run_{path.stem.removeprefix('run-')}"
        content = {**read_manifest(path), "run_id": run_id, "state": CRASHED, "exit_code": None, "ended_utc": None,
                   "reason": "the process ended without a word", "noted_utc": utc_text(now)}  # fmt: skip
        _note(root, "crashed", content, content["noted_utc"])
        _write_once(root.run_manifest(run_id), content)
        crashed.append(run_id)
    return crashed


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a run manifest; an unreadable one is empty."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def newest_runs(root: DataRoot, at_most: int) -> Iterator[dict[str, Any]]:
    """The manifests of the newest runs, the newest first; of one that has not ended, how it began."""
    folders = root.manifests_started, root.manifests
    paths = {path.name: path for folder in folders for path in folder.glob("run-*.json")}
    for name in sorted(paths, reverse=True)[:at_most]:
        yield read_manifest(paths[name])


def last_run(root: DataRoot) -> dict[str, Any]:
    """The manifest of the newest run; empty before the first one."""
    return next(newest_runs(root, 1), {})


def find_run(root: DataRoot, name: str) -> dict[str, Any]:
    """The manifest of the run that is meant: by its id or the beginning or end of it. Raises UsageError."""
    given = name.removeprefix("run_").upper()
    folders = root.manifests_started, root.manifests
    paths = {path.stem.removeprefix("run-"): path for folder in folders for path in folder.glob("run-*.json")}
    found = [ulid for ulid in sorted(paths) if ulid == given] or [
        ulid for ulid in sorted(paths)
        if len(given) >= _SHORTEST_NAME and (ulid.startswith(given) or ulid.endswith(given))
    ]  # fmt: skip
    if len(found) == 1:
        return read_manifest(paths[found[0]])
    what = f"means {len(found)} runs" if found else "means no run"
    raise UsageError(f"{name!r} {what}", remedy="pipeline runs list names them")


def _write_once(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is not there yet, whole or not at all; one that is there is left as it is."""
    make_directories(path.parent)
    if not os.path.lexists(path):
        replace_file(path, lambda temporary: _fill(temporary, orjson.dumps(content, option=orjson.OPT_INDENT_2)))


def _fill(temporary: Path, data: bytes) -> None:
    temporary.write_bytes(data)
    temporary.chmod(0o400)


def _note(root: DataRoot, what: str, content: dict[str, Any], ts_utc: str) -> None:
    make_directories(root.audit)
    journal, event = Journal(root.run_events, root.quarantine), f"{_RUN}.{what}"
    event_id = f"{_RUN}/{event}/{content['run_id']}"
    if not journal.has(event_id):
        told = {name: content.get(name) for name in _TOLD if content.get(name) is not None}
        journal.append(event_id, event, _RUN, parse_utc(ts_utc), told)
