"""Types of the shared fixtures, to annotate tests with: `from command_line import RunCli, Spool`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class RunCli(Protocol):
    """Runs `python -m pipeline` with these arguments, as text, in a process of its own."""

    def __call__(
        self, *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]: ...


class Spool(Protocol):
    """Copies fixture handoffs into a fresh spool root and gives its path."""

    def __call__(self, *names: str, into: str = "spool") -> Path: ...
