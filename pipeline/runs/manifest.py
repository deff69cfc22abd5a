"""The run manifest: what a run was made of, when it began, what came of it, how it ended.

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
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import psutil

from pipeline import __version__
from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ExitCode, NothingToDo, PipelineError, Terminated
from pipeline.runs.run_files import BLOCKED, COMPLETED, FAILED, RUNNING, write_ended, write_started
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from schemas.canonical import canonical_sha256, sha256_hex
from schemas.fields import utc_text

_ATTEMPT_MARK = "last_attempt"
_REQUIREMENT_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_OUR_PACKAGES = ("pipeline", "schemas", "workers")


class RunManifest:
    """Written when a run begins to work and again when it ends: a context manager around it, for the lock's holder."""

    def __init__(self, root: DataRoot, settings: Settings, options: dict[str, Any]) -> None:
        from ulid import ULID

        self.run_id = f"run_{ULID()}"
        self._root = root
        self.content: dict[str, Any] = {
            "schema_version": 1,
            "run_id": self.run_id,
            "state": RUNNING,
            "started_utc": utc_text(datetime.now(UTC)),
            "ended_utc": None,
            "exit_code": None,
            "pid": os.getpid(),
            "pipeline_version": __version__,
            "python": platform.python_version(),
            "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "memory": psutil.virtual_memory().total},
            "settings": settings.model_dump(),
            "options": options,
            "packages": _packages(),
            "models": {},
            "prompts": {},
            "stages": {},
        }
        self.content["packages_sha256"] = canonical_sha256(self.content["packages"])
        self.begun = False

    def begin(self) -> None:
        """Write how the run began, once: there is something to do. Raises OSError."""
        if not self.begun:
            self.begun = True
            self.content.update(code_sha256=code_sha256(), installed_sha256=installed_sha256())
            write_started(self._root, self.content)

    def __enter__(self) -> RunManifest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.content["exit_code"] = _exit_code(error)
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
        """Note how the run ended, and write it if there is anything to tell. Raises OSError."""
        self.content.update(state=state, reason=reason, ended_utc=utc_text(datetime.now(UTC)))
        if state == FAILED:
            self.begin()
        if self.begun:
            write_ended(self._root, self.content)


def note_attempt(catalog: Catalog, manifest: RunManifest) -> None:
    """Leave in the catalog when a run last ended and how, also one that leaves no manifest."""
    told = {name: manifest.content.get(name) for name in ("run_id", "state", "reason", "started_utc", "ended_utc")}
    with catalog.transaction():
        catalog.set_mark(_ATTEMPT_MARK, orjson.dumps(told).decode())


def last_attempt(catalog: Catalog) -> dict[str, Any]:
    """When a run last ended and how; empty before the first one."""
    found: dict[str, Any] = orjson.loads(catalog.mark(_ATTEMPT_MARK) or "{}")
    return found


def _packages() -> dict[str, str]:
    """Versions of the packages that we name as dependencies, as far as they are installed."""
    lines = importlib.metadata.requires("autocapture-pipeline") or ()
    names = {match[0] for line in lines if (match := _REQUIREMENT_NAME.match(line))}
    found = {}
    for name in sorted(names):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@lru_cache(maxsize=1)
def installed_sha256() -> str:
    """A hash over name and version of every installed package: equal where the same lock file was installed."""
    found = {(item.name.lower(), item.version) for item in importlib.metadata.distributions() if item.name}
    return canonical_sha256(sorted(map(list, found)))


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """A hash over our own source files, by name and content: a version number says less while something is tried."""
    hashes = {}
    for package in _OUR_PACKAGES:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in Path(folder).rglob("*.py"):
                hashes[f"{package}/{path.relative_to(folder)}"] = sha256_hex(path.read_bytes())
    return canonical_sha256(hashes)


def _exit_code(error: BaseException | None) -> int:
    """The code with which a command ends that is ended by this error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, Terminated):
        return 128 + error.signal
    if isinstance(error, PipelineError):
        return int(error.exit_code)
    return int(ExitCode.OK if error is None else ExitCode.BUG)
