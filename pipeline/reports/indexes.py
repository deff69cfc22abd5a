"""What questions can read: which indexes are published, since when, and how far behind they are."""

from __future__ import annotations

from typing import Any

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, NotAvailableYet
from pipeline.indexing.landscape import landscape_at_a_glance, remedy
from pipeline.indexing.published import Published
from pipeline.indexing.refresh import text_index_at_a_glance
from pipeline.reports.captured import count_captured
from pipeline.stores.catalog import DONE, FAILED, PARKED, Catalog
from pipeline.stores.counts import count_outcomes
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.index_rows import Coverage
from pipeline.stores.indexed_texts import REMEDY
from pipeline.stores.landscape import read_manifest
from pipeline.stores.text_index import TextIndex
from schemas.fields import from_utc_microseconds, utc_text
from schemas.record_types import FRAME

_NEVER_RUN = Published(None, False)


def report_indexes(root: DataRoot, evidence: EvidenceStore, catalog: Catalog | None, now_us: int) -> dict[str, Any]:
    """Gather the state of the text index and of the landscape, reading only; each with the command that renews it."""
    return {"text_index": _text_index(root, evidence, catalog, now_us), "landscape": _landscape(root, catalog, now_us)}


def _text_index(root: DataRoot, evidence: EvidenceStore, catalog: Catalog | None, now_us: int) -> dict[str, Any]:
    published = text_index_at_a_glance(root, catalog) if catalog else _NEVER_RUN
    covered = _coverage(root)
    captured_since = max(0, count_captured(evidence, catalog, FRAME) - covered.captured)
    read_since = max(0, _read(catalog) - (covered.processed + covered.failed - covered.unlisted))
    up_to_date = published.up_to_date and not captured_since and not read_since
    return {
        **_since(published, up_to_date, now_us),
        "frames_captured_since": captured_since,
        "frames_read_since": read_since,
        "renew": REMEDY,
    }


def _landscape(root: DataRoot, catalog: Catalog | None, now_us: int) -> dict[str, Any]:
    published = landscape_at_a_glance(root, catalog) if catalog else _NEVER_RUN
    try:
        manifest = read_manifest(root)
    except ContractInvalid:
        manifest = None
    pinned = manifest.pinned if manifest and published.built_us is not None else None
    return {
        **_since(published, published.up_to_date and pinned is not None, now_us),
        "spans": pinned.spans if pinned else 0,
        "left_out": pinned.left_out if pinned else 0,
        "model": pinned.model.model_id if pinned and pinned.model else None,
        "renew": remedy(catalog),
    }


def _since(published: Published, up_to_date: bool, now_us: int) -> dict[str, Any]:
    built_us = published.built_us
    return {
        "present": built_us is not None,
        "built_utc": None if built_us is None else utc_text(from_utc_microseconds(built_us)),
        "age_s": None if built_us is None else max(0, now_us - built_us) // 1_000_000,
        "up_to_date": up_to_date,
    }


def _coverage(root: DataRoot) -> Coverage:
    try:
        with TextIndex(root.text_index) as index:
            return index.coverage_of_all()
    except NotAvailableYet:
        return Coverage(0, 0, 0, 0, None)


def _read(catalog: Catalog | None) -> int:
    counts = count_outcomes(catalog) if catalog else {}
    return sum(counts.get(("find_text_lines", status), 0) for status in (DONE, FAILED, PARKED))
