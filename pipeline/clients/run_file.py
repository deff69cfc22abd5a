"""Which server a run file tells of: the process that wrote it, and not a later one of its number."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from schemas.serving import RunFile


def read_run_file(path: Path) -> RunFile | None:
    """Read how to reach a server; None where there is no file, or the process that wrote it is gone.

    Whatever has its address since must not get its token, nor what it would have been sent.
    """
    try:
        server = RunFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return server if server.created_at == started_at(server.pid) else None


def started_at(pid: int) -> float | None:
    """When a process was started, in seconds since the machine was: no clock that is set changes it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
