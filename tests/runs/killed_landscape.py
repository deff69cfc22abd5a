"""A run, as a process, that is killed while it writes the landscape: `ROOT folder|table|manifest` says after what."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedding_model import Embedder
from screen_memory import InProcessModel, open_gate

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from pipeline.stores import landscape_build


def main() -> None:
    """Run until killed."""
    root, at = DataRoot(Path(sys.argv[1])), sys.argv[2]
    name = {"folder": "_write_folder", "table": "_write_table", "manifest": "replace_bytes"}[at]
    setattr(landscape_build, name, _killed_after(getattr(landscape_build, name), root))
    run(root, Settings(), RunOptions(until_done=True), LocalEngine(root), open_gate(root), InProcessModel(root),
        LogProgress(), Embedder(root), lambda: time.time_ns() // 1000)  # fmt: skip


def _killed_after(write: Callable[..., Any], root: DataRoot) -> Callable[..., Any]:
    def killed(*arguments: Any, **named: Any) -> Any:
        found = write(*arguments, **named)
        if write.__name__ != "replace_bytes" or arguments[0] == root.landscape_manifest:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return killed


if __name__ == "__main__":
    main()
