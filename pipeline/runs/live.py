"""What a run does at this moment: a small file that `pipeline status` reads, replaced as a whole every two seconds.

It is not synced to disk and is removed when the run ends. One that a crash left is known by its process, which is gone.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from pipeline.budget.tree import process_start
from pipeline.dataroot import DataRoot

_LARGEST = 1 << 20


def write_live(root: DataRoot, content: dict[str, Any]) -> None:
    """Replace what is said of the run. Raises OSError."""
    told = {**content, "pid": os.getpid(), "process_started": process_start(os.getpid())}
    descriptor, name = tempfile.mkstemp(prefix=".tmp-run-", dir=root.derived)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(orjson.dumps(told))
        temporary.replace(root.run_live)
    finally:
        temporary.unlink(missing_ok=True)


def remove_live(root: DataRoot) -> None:
    """The run has ended."""
    with suppress(OSError):
        root.run_live.unlink(missing_ok=True)


def read_live(root: DataRoot) -> dict[str, Any] | None:
    """What the run of this DataRoot does now; None when there is none."""
    try:
        with root.run_live.open("rb") as file:
            content = orjson.loads(file.read(_LARGEST))
        started = process_start(content["pid"])
        is_alive = started is not None and started == content.pop("process_started")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if is_alive else None
