"""The run manifest: what a run was made of, when it began, how it ended. `derived/manifests/run-<ULID>.json`.

There is one for each run that did something or failed, and it is kept for good: nothing else says what made the rows.
A run that found nothing to do, or the user at the keyboard, leaves none; the catalog says when it was.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil

from pipeline import __version__
from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, NothingToDo, PipelineError
from pipeline.settings import Settings
from pipeline.stores.atomic import make_directories, replace_bytes
from pipeline.stores.catalog import Catalog
from schemas.canonical import canonical_sha256
from schemas.fields import utc_text

_ATTEMPT_MARK = "last_attempt"
_REQUIREMENT_NAME = re.compile(r"^[A-Za-z0-9._-]+")

RUNNING, COMPLETED, BLOCKED, FAILED, CRASHED = "running", "completed", "blocked", "failed", "crashed"


class RunManifest:
    """Written when a run begins to work and again when it ends: a context manager around it, for the lock's holder."""

    def __init__(self, root: DataRoot, settings: Settings, options: dict[str, Any]) -> None:
        from ulid import ULID

        self.run_id = f"run_{ULID()}"
        self._path = root.manifests / f"run-{self.run_id.removeprefix('run_')}.json"
        self.content: dict[str, Any] = {
            "schema_version": 1,
            "run_id": self.run_id,
            "state": RUNNING,
            "started_utc": utc_text(datetime.now(UTC)),
            "ended_utc": None,
            "pid": os.getpid(),
            "pipeline_version": __version__,
            "python": platform.python_version(),
            "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "memory": psutil.virtual_memory().total},
            "settings": settings.model_dump(),
            "options": options,
            "packages": _packages(),
            "models": {},
            "stages": {},
        }
        self.content["packages_sha256"] = canonical_sha256(self.content["packages"])
        self.begun = False

    def begin(self) -> None:
        """Write the manifest, once: there is something to do."""
        if not self.begun:
            self.begun = True
            make_directories(self._path.parent)
            self._write()

    def __enter__(self) -> RunManifest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, NothingToDo):
            self.end(COMPLETED, "" if error is None else "nothing to do")
        elif isinstance(error, Blocked):
            self.end(BLOCKED, error.message)
        else:
            self.end(FAILED, error.message if isinstance(error, PipelineError) else type(error).__name__)

    def stage(self, name: str, fingerprint: str, counts: dict[str, int], elapsed_s: float) -> None:
        """Note what a stage did in one pass; the counts of several passes add up."""
        entry = self.content["stages"].setdefault(name, {"counts": {}, "elapsed_ms": 0})
        entry["fingerprint"] = fingerprint
        entry["elapsed_ms"] += round(elapsed_s * 1000)
        for status, number in counts.items():
            entry["counts"][status] = entry["counts"].get(status, 0) + number

    def end(self, state: str, reason: str = "") -> None:
        """Note how the run ended, and write it if there is anything to tell."""
        self.content.update(state=state, reason=reason, ended_utc=utc_text(datetime.now(UTC)))
        if state == FAILED:
            self.begin()
        if self.begun:
            self._write()

    def _write(self) -> None:
        replace_bytes(self._path, orjson.dumps(self.content, option=orjson.OPT_INDENT_2))


def note_crashes(root: DataRoot) -> list[str]:
    """Mark manifests of runs that ended without a word as crashed; returns their ids. Needs the run lock."""
    crashed = []
    for path in sorted(root.manifests.glob("run-*.json")):
        content = read_manifest(path)
        if content.get("state") == RUNNING:
            content.update(state=CRASHED, reason="the process ended without a word")
            replace_bytes(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
            crashed.append(str(content.get("run_id")))
    return crashed


def note_attempt(catalog: Catalog, manifest: RunManifest) -> None:
    """Leave in the catalog when a run last ended and how, also one that leaves no manifest."""
    told = {name: manifest.content.get(name) for name in ("run_id", "state", "reason", "started_utc", "ended_utc")}
    with catalog.transaction():
        catalog.set_mark(_ATTEMPT_MARK, orjson.dumps(told).decode())


def last_attempt(catalog: Catalog) -> dict[str, Any]:
    """When a run last ended and how; empty before the first one."""
    found: dict[str, Any] = orjson.loads(catalog.mark(_ATTEMPT_MARK) or "{}")
    return found


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a run manifest; an unreadable one is empty."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _packages() -> dict[str, str]:
    """Versions of the packages that we name as dependencies, as far as they are installed."""
    lines = importlib.metadata.requires("autocapture-pipeline") or ()
    names = {match[0] for line in lines if (match := _REQUIREMENT_NAME.match(line))}
    found = {}
    for name in sorted(names):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
