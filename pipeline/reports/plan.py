"""What the next runs have to do: what waits, what is stale, how long both take, and whether that is in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet, PipelineError
from pipeline.reports.disk import report_disk
from pipeline.reports.sla import report_sla, used_stages
from pipeline.reports.staleness import Stale, follow, stale_days, stale_samples
from pipeline.runs.model_identity import made_by_now
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_days, require_counters
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.paces import Pace, pace_of

REPROCESS = "pipeline run --until-done --reprocess"


def report_plan(
    root: DataRoot, settings: Settings, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> dict[str, Any]:  # fmt: skip
    """Gather what is to be done, writing nothing but a memo of who the models are.

    Raises NotAvailableYet before the first run, ContractInvalid.
    """
    with EvidenceStore(root.require()):
        pass
    if not root.catalog_db.exists():
        raise NotAvailableYet("no run has looked at the evidence yet", remedy="pipeline run --until-done")
    with Catalog(root, read_only=True) as catalog:
        require_counters(catalog)
        stages = list(used_stages(settings))
        prints: dict[str, str] = {}
        reasons: dict[str, str] = {}
        stale = {stage.name: _stale(root, settings, catalog, stage, prints, reasons) for stage in stages}
        follow(stale)
        return {
            "stages": [_stage(catalog, item, prints, reasons, stale[item.name]) for item in stages],
            "reprocess": REPROCESS,
            "sla": report_sla(catalog, settings, now_us()),
            "disk": report_disk(root, catalog),
        }


def _stale(
    root: DataRoot, settings: Settings, catalog: Catalog, stage: Stage, prints: dict[str, str], reasons: dict[str, str]
) -> Stale:
    if stage.scope == "day":
        prints[stage.name] = stage.fingerprint()
        return stale_days(catalog, stage)
    if not stage.model:
        prints[stage.name] = stage.fingerprint()
        return stale_samples(catalog, stage, prints[stage.name], None)
    try:
        prints[stage.name], now = made_by_now(root, settings, stage)
    except PipelineError as error:
        reasons[stage.name] = str(error)
        return Stale()
    return stale_samples(catalog, stage, prints[stage.name], now)


def _stage(
    catalog: Catalog, stage: Stage, prints: dict[str, str], reasons: dict[str, str], stale: Stale
) -> dict[str, Any]:
    pace = pace_of(catalog, stage.name, prints.get(stage.name, ""))
    if stage.scope == "day":
        waiting = {(run, day) for run, day, _ in catalog.pending_days(stage.name, stage.sources, stage.fingerprint())}
        pending, days, redo = len(waiting - stale.days), len(waiting - stale.days), len(stale.days)
    else:
        counted = [day for day in count_days(catalog, stage.name, stage.record_type, None) if day.waiting > 0]
        pending, days, redo = sum(day.waiting for day in counted), len(counted), stale.samples
    return {
        "stage": stage.name,
        "unit": "day" if stage.scope == "day" else "sample",
        "pending": pending,
        "pending_days": days,
        "pending_s": _seconds(pace, pending),
        "stale": redo,
        "stale_days": len(stale.days),
        "changed": stale.changed,
        "follows": stale.follows,
        "needs_reprocess": bool(stage.model and stale.samples),
        "redo_s": _seconds(pace, redo),
        "pace": None if pace is None else {
            "p50_s": round(pace.p50_s, 6), "p95_s": round(pace.p95_s, 6), "p99_s": round(pace.p99_s, 6),
            "samples": pace.samples, "of_this_version": pace.same_fingerprint,
        },
        "model_unknown": reasons.get(stage.name),
    }  # fmt: skip


def _seconds(pace: Pace | None, samples: int) -> dict[str, float] | None:
    """How long so many take; None where the stage was never measured."""
    if pace is None:
        return None
    return {"p50": round(samples * pace.p50_s, 3), "p95": round(samples * pace.p95_s, 3)}
