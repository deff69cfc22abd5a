"""What a handoff's result says of what was found in it, and what is said when it is rejected."""

from __future__ import annotations

import sqlite3

from pipeline.errors import ContractInvalid
from pipeline.ingest.check_handoff import Plan
from pipeline.ingest.commit_rows import Committed
from pipeline.ingest.look import path_text
from pipeline.ingest.result import HandoffResult


def report_plan(result: HandoffResult, plan: Plan) -> None:
    """Note what was found before anything was kept."""
    result.handoff_id = plan.handoff_id
    result.incomplete = plan.incomplete.count
    for notes in (plan.incomplete, plan.warnings):
        result.warnings += notes.lines
        result.warning_count += notes.count


def report_rows(result: HandoffResult, plan: Plan, committed: Committed) -> None:
    """Note what became of the rows."""
    result.rows, result.frames = plan.rows, plan.frames
    result.inserted, result.identical = committed.inserted, committed.identical
    result.quarantined, result.frames_complete = committed.quarantined, committed.frames_complete
    for record_id in sorted(plan.conflicts)[:10]:
        result.warn(f"{record_id[:160]!r}: quarantined: the id is kept with another payload")
    result.warnings += plan.faults.lines
    result.warning_count += plan.faults.count


def reject_unless_whole(plan: Plan, *, strict: bool) -> None:
    """Raises ContractInvalid for a handoff that cannot be kept as it is."""
    if plan.is_whole or not strict:
        return
    problems = list(plan.faults.lines[:3])
    if plan.conflicts:
        first = min(plan.conflicts)[:160]
        problems.append(f"rows whose id is kept with another payload: {len(plan.conflicts)} (first: {first!r})")
    more = plan.faults.count - min(3, len(plan.faults.lines))
    raise ContractInvalid(
        "; ".join(problems) + (f"; and {more} more" if more > 0 else ""),
        remedy="hand it off again whole; or keep what can be kept, unmarked: pipeline ingest --no-strict PATH",
    )


def describe(error: OSError | sqlite3.Error) -> str:
    """Say what a disk or file system refused, and where."""
    if isinstance(error, OSError):
        place = f": {path_text(error.filename)}" if isinstance(error.filename, str) else ""
        return f"{error.strerror or type(error).__name__}{place}"
    return f"SQLite: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
