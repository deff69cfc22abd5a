"""Runs the implementation under test: `PIPELINE_COMMAND`, or this one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
COMMAND = shlex.split(os.environ.get("PIPELINE_COMMAND", "")) or [sys.executable, "-m", "pipeline"]


def stage1(
    root: Path, *arguments: object, command: str = "ingest", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `ingest PATH --data-root ROOT` with more arguments, in a process of its own."""
    return subprocess.run(
        [*COMMAND, command, *map(str, arguments), "--data-root", str(root)],
        env={**os.environ, **(env or {})},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
