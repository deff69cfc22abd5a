"""What a program that starts runs for somebody else gives and gets: `AP_RUN_ID`, `AP_OUT_DIR`, a ready file.

AP_OUT_DIR/manifest.json     what a command made: artifacts with their hashes, versions, how it ended
--ready-file PATH            is there while the command is set up and able to work: after its locks, before its work
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline import __version__
from pipeline.dataroot import DataRoot
from pipeline.errors import PipelineError, Terminated, UsageError
from pipeline.stores.atomic import replace_bytes
from schemas.contract_version import CONTRACT_VERSION, SCHEMA_HASH
from schemas.fields import utc_text

OUTPUT_SCHEMA = "autocapture.run.output.v1"
RUN_ID, OUT_DIR = "AP_RUN_ID", "AP_OUT_DIR"

_MOST_RUNS = 1_000
_RUN_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


def hypervisor_run_id(environment: Mapping[str, str] = os.environ) -> str | None:
    """The hypervisor's own name for this run; None without one. Raises UsageError for one that is no plain word."""
    given = environment.get(RUN_ID, "")
    if given and not _RUN_ID.fullmatch(given):
        raise UsageError(f"{RUN_ID} is not 1 to 128 letters, digits or . _ : @ -", remedy=f"give another {RUN_ID}")
    return given or None


class ReadyFile:
    """A file that is there while the command can work; who waits for it reads it whole or not at all."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_there = False

    def write(self, root: DataRoot) -> None:
        """Say that all is set up. Raises UsageError where the file cannot be written."""
        if self._path is None or self._is_there:
            return
        content = {"state": "ready", "pid": os.getpid(), "ap_run_id": hypervisor_run_id(), "data_root": str(root),
                   "ready_utc": utc_text(datetime.now(UTC))}  # fmt: skip
        try:
            replace_bytes(self._path.absolute(), orjson.dumps(content, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise UsageError(
                f"the ready file {self._path} cannot be written: {error.strerror}", remedy="give another --ready-file"
            ) from error
        self._is_there = True

    def remove(self) -> None:
        """The command ends."""
        if self._path is not None and self._is_there:
            self._path.unlink(missing_ok=True)
            self._is_there = False


class Output:
    """Collects what a command made, and writes it to `AP_OUT_DIR` at its end, where that is set: a context manager."""

    def __init__(self, root: DataRoot, command: str, environment: Mapping[str, str] = os.environ) -> None:
        """Raises UsageError for an `AP_RUN_ID` that cannot be one, or an `AP_OUT_DIR` that is no directory."""
        given = environment.get(OUT_DIR, "")
        self.folder = Path(given).absolute() if given else None
        if self.folder is not None and not self.folder.is_dir():
            raise UsageError(f"{OUT_DIR} {self.folder} is not a directory", remedy=f"make it: mkdir -p {self.folder}")
        self._runs: deque[dict[str, Any]] = deque(maxlen=_MOST_RUNS)
        self.exit_code = 0
        """That of a command that ends without an error."""
        self._root = root
        self._began = datetime.now(UTC)
        self._about = {"ap_run_id": hypervisor_run_id(environment), "command": command}

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Raises OSError."""
        self._write(self.exit_code if error is None else _exit_code_of(error))

    def add_run(self, run_id: str, stages: dict[str, Any]) -> None:
        """A run has ended; of very many the last ones are told."""
        self._runs.append({"run_id": run_id, "stages": stages})

    def _write(self, exit_code: int) -> None:
        if self.folder is None:
            return
        content = {
            "schema": OUTPUT_SCHEMA,
            **self._about,
            "data_root": str(self._root),
            "started_utc": utc_text(self._began),
            "ended_utc": utc_text(datetime.now(UTC)),
            "exit_code": exit_code,
            "versions": {
                "pipeline": __version__,
                "python": platform.python_version(),
                "contract_version": CONTRACT_VERSION,
                "schema_hash": SCHEMA_HASH,
            },
            "runs": list(self._runs),
            "artifacts": list(self._artifacts()),
        }
        replace_bytes(self.folder / "manifest.json", orjson.dumps(content, option=orjson.OPT_INDENT_2))

    def _artifacts(self) -> Iterator[dict[str, Any]]:
        """What was written since the command began, with its hash: facts, indexes, manifests, marks of handoffs."""
        since = self._began.timestamp() - 1.0  # file systems count in coarser steps
        for kind, paths in self._places():
            for path in sorted(paths):
                status = path.lstat()
                if path.is_symlink() or not path.is_file() or status.st_mtime < since:
                    continue
                name = path.relative_to(self._root.path).as_posix()
                yield {"kind": kind, "path": name, "size": status.st_size, "sha256": _sha256(path)}

    def _places(self) -> list[tuple[str, Iterable[Path]]]:
        root = self._root
        if self._about["command"] == "ingest":
            return [("evidence", [path for path in (root.metadata_db, root.journal) if path.exists()])]
        return [
            ("facts", root.facts.rglob("*.parquet")),
            ("index", root.index.rglob("*")),
            ("run_manifest", root.manifests.glob("*.json")),
        ]


def _exit_code_of(error: BaseException) -> int:
    """The code with which the command ends that an error ends."""
    if isinstance(error, PipelineError):
        return int(error.exit_code)
    if isinstance(error, Terminated):
        return 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 1


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
