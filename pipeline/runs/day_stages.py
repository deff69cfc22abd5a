"""Day stages in a run: each (run, day) whose inputs changed is built again."""

from __future__ import annotations

from pipeline.dag import STAGES, Stage
from pipeline.engines.days import build_day
from pipeline.runs.commit import given_samples
from pipeline.runs.interruption import while_open
from pipeline.runs.pace import PaceMeter
from pipeline.runs.work import Work


def build_days(work: Work, stage: Stage) -> bool:
    """Build a stage's pending days, newest first; tells whether there were any. Raises Blocked, ContractInvalid."""
    fingerprint = work.fingerprints[stage.name] = stage.fingerprint()
    pending = work.catalog.pending_days(stage.name, stage.sources, fingerprint)
    if not pending:
        return False
    work.progress.start(stage.name, len(pending))
    pace = PaceMeter(work.catalog, stage.name, fingerprint, work.now_us)
    try:
        for run_id, day, inputs in pending:
            work.begin()
            _build(work, stage, fingerprint, run_id, day, inputs)
            work.report.days[stage.name] += 1
            pace.worked(1)
            work.progress.advance(1)
    finally:
        pace.end()
    return True


def _build(work: Work, stage: Stage, fingerprint: str, run_id: str, day: str, inputs: str) -> None:
    rows, hours = while_open(work.gate, lambda: build_day(stage, run_id, day, work.facts, work.evidence, work.catalog))
    work.facts.replace_day(stage.table, run_id, day, stage.name, rows, hours)
    with work.catalog.transaction():
        work.catalog.record_day(stage.name, run_id, day, fingerprint, inputs, rows.num_rows)
        if stage.gives:
            takers = [item.name for item in STAGES if item.record_type == stage.gives]
            samples = given_samples(stage, run_id, day, rows, hours)
            work.catalog.replace_samples(stage.gives, run_id, day, samples, takers)
