"""What failed and what happens to it: sample, stage, code, tries, when. No word from the screen."""

from __future__ import annotations

from typing import Any

from pipeline.dag import stage as find_stage
from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet
from pipeline.runs.retries import RULES
from pipeline.stores.catalog import FAILED, Catalog
from pipeline.stores.counts import require_counters
from pipeline.stores.failures import Failure, list_failures, summarize_failures
from schemas.fields import from_utc_microseconds, utc_text

RETRY = "pipeline run --retry-failed"


def report_failures(root: DataRoot, stage: str | None, at_most: int) -> dict[str, Any]:
    """Gather what failed, reading only. Raises NotAvailableYet before the first run, UsageError, ContractInvalid."""
    name = find_stage(stage).name if stage is not None else None
    if not root.require().catalog_db.exists():
        raise NotAvailableYet("nothing was processed yet", remedy="pipeline run --until-done")
    with Catalog(root, read_only=True) as catalog:
        require_counters(catalog)
        summary = [item for item in summarize_failures(catalog) if name in (None, item["stage"])]
        return {
            "summary": summary,
            "count": sum(item["count"] for item in summary),
            "failures": [_as_json(item) for item in list_failures(catalog, name, at_most)],
            "retry": RETRY,
        }


def _as_json(item: Failure) -> dict[str, Any]:
    waits = item.status == FAILED
    rule = RULES.get(item.error_code)
    return {
        "stage": item.stage,
        "sample_id": item.sample_id,
        "status": item.status,
        "error_code": item.error_code,
        "kind": rule.kind if rule else None,
        "message": item.message,
        "attempts": item.attempts,
        "captured_utc": utc_text(from_utc_microseconds(item.captured_us)),
        "failed_utc": utc_text(from_utc_microseconds(item.failed_us)) if item.failed_us else None,
        "retry_utc": utc_text(from_utc_microseconds(item.retry_at_us)) if waits else None,
    }
