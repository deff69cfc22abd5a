"""Types of the shared fixtures, to annotate tests with: `from command_line import Cli, RunCli, Spool`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from pipeline.cli.main import run


class Cli:
    """Runs a command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = run([str(item) for item in arguments])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def json(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(*arguments, "--json")
        content = json.loads(out)
        assert isinstance(content, dict)
        return code, content


class RunCli(Protocol):
    """Runs `python -m pipeline` with these arguments, as text, in a process of its own."""

    def __call__(
        self, *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]: ...


class Spool(Protocol):
    """Copies fixture handoffs into a fresh spool root and gives its path."""

    def __call__(self, *names: str, into: str = "spool") -> Path: ...
