"""How far things are: backlog by stage, failures, gate, workers, indexes, disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pipeline.dag import STAGES, Stage
from pipeline.dataroot import DataRoot
from pipeline.gate import Gate
from pipeline.reports.captured import count_captured, count_unreadable
from pipeline.reports.disk import report_disk
from pipeline.reports.indexes import report_indexes
from pipeline.reports.sla import report_sla
from pipeline.runs.live import read_live
from pipeline.runs.manifest import last_attempt
from pipeline.runs.run_files import last_run
from pipeline.runs.server_status import server_status
from pipeline.settings import Settings
from pipeline.stores.catalog import DONE, FAILED, PARKED, Catalog
from pipeline.stores.counts import count_outcomes, count_samples, require_counters
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.failures import summarize_failures


def report_status(
    root: DataRoot, settings: Settings, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> dict[str, Any]:  # fmt: skip
    """Gather what an operator wants to know, reading only; `now_us` is the clock of ages.

    Raises ContractInvalid, NotAvailableYet for a catalog that no run of this version has opened.
    """
    with ExitStack() as stack:
        evidence = stack.enter_context(EvidenceStore(root.require()))
        catalog = stack.enter_context(Catalog(root, read_only=True)) if root.catalog_db.exists() else None
        catalog = catalog and require_counters(catalog)
        newest = last_run(root)
        verdict = Gate(root.activity_signal, max_age_s=settings.signal_max_age_s, min_idle_s=settings.min_idle_s).ask()
        return {
            "data_root": str(root),
            "profile": settings.profile,
            "stages": [_stage(item, evidence, catalog, newest) for item in STAGES if _is_used(item, settings)],
            "failures": _failures(catalog),
            "unreadable_rows": count_unreadable(catalog),
            "gate": {"open": verdict.open, "reason": verdict.reason},
            "workers": server_status(root, settings),
            "running": read_live(root),
            "last_run": {name: newest.get(name) for name in ("run_id", "state", "reason", "started_utc", "ended_utc")},
            "last_attempt": last_attempt(catalog) if catalog else {},
            "indexes": report_indexes(root, evidence, catalog, now_us()),
            "sla": report_sla(catalog, settings, now_us()) if catalog else None,
            "disk": report_disk(root, catalog),
        }


def _is_used(stage: Stage, settings: Settings) -> bool:
    """Whether the profile asks for a stage: frames do not wait for a model that is not wanted."""
    return settings.profile == "full" or stage.model != "vlm"


def _stage(stage: Stage, evidence: EvidenceStore, catalog: Catalog | None, newest: dict[str, Any]) -> dict[str, Any]:
    counts = count_outcomes(catalog) if catalog else {}
    done, failed, parked = (counts.get((stage.name, status), 0) for status in (DONE, FAILED, PARKED))
    if stage.scope == "day":
        built, pending = _days(stage, catalog)
        return {"stage": stage.name, "unit": "day", "done": built, "pending": pending, "failed": 0, "parked": 0,
                "eta_s": None}  # fmt: skip
    total = _samples(stage, evidence, catalog)
    pending = max(0, total - done - parked - count_unreadable(catalog, stage.record_type))
    entry = newest.get("stages", {}).get(stage.name, {})
    worked = sum(entry.get("counts", {}).values())
    eta_s = round(pending * entry["elapsed_ms"] / worked / 1000) if worked and pending else None
    return {"stage": stage.name, "unit": "sample", "done": done, "pending": pending, "failed": failed,
            "parked": parked, "eta_s": eta_s}  # fmt: skip


def _samples(stage: Stage, evidence: EvidenceStore, catalog: Catalog | None) -> int:
    if any(item.gives == stage.record_type for item in STAGES):
        return count_samples(catalog, stage.record_type) if catalog else 0
    return count_captured(evidence, catalog, stage.record_type)


def _days(stage: Stage, catalog: Catalog | None) -> tuple[int, int]:
    if catalog is None:
        return 0, 0
    built = catalog.built_days(stage.name, stage.sources, stage.fingerprint())
    pending = len(catalog.pending_days(stage.name, stage.sources, stage.fingerprint()))
    return built, pending


def _failures(catalog: Catalog | None) -> list[dict[str, Any]]:
    if catalog is None:
        return []
    return summarize_failures(catalog)
