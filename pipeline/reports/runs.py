"""The runs that there were, as they wrote it down."""

from __future__ import annotations

from typing import Any

import psutil

from pipeline.dataroot import DataRoot
from pipeline.runs.run_files import CRASHED, RUNNING, find_run, newest_runs

_TOLD = ("run_id", "state", "exit_code", "started_utc", "ended_utc", "reason")


def list_runs(root: DataRoot, at_most: int) -> dict[str, Any]:
    """The newest runs, the newest first: when, how they ended, and how many samples or days each stage took."""
    return {"runs": [_brief(_judged(content)) for content in newest_runs(root.require(), at_most)]}


def show_run(root: DataRoot, name: str) -> dict[str, Any]:
    """All that is written of a run. Raises UsageError for a name that means no run, or several."""
    return _judged(find_run(root.require(), name))


def _brief(content: dict[str, Any]) -> dict[str, Any]:
    stages = content.get("stages") or {}
    did = {name: sum((entry.get("counts") or {}).values()) for name, entry in stages.items()}
    told = {name: content.get(name) for name in _TOLD}
    return {**told, "run_id": told["run_id"] or "", "state": told["state"] or "unreadable",
            "started_utc": told["started_utc"] or "", "reason": told["reason"] or "", "did": did}  # fmt: skip


def _judged(content: dict[str, Any]) -> dict[str, Any]:
    """Of a run that has not ended: whether its process still lives. The next run writes down that it crashed."""
    if content.get("state") != RUNNING or psutil.pid_exists(int(content.get("pid") or 0)):
        return content
    return {**content, "state": CRASHED, "reason": "the process ended without a word"}
