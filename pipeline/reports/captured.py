"""How much was captured: what the catalog has registered, and what came in since."""

from __future__ import annotations

from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_samples
from pipeline.stores.evidence import EvidenceStore


def count_captured(evidence: EvidenceStore, catalog: Catalog | None, record_type: str) -> int:
    """Count the rows of a record type without walking over them all, those included that name no usable time or run."""
    if catalog is None:
        return evidence.count([record_type])
    looked_at = int(catalog.mark("evidence_rowid") or 0)
    known = count_samples(catalog, record_type) + count_unreadable(catalog, record_type)
    return known + evidence.count_after([record_type], looked_at)


def count_unreadable(catalog: Catalog | None, record_type: str | None = None) -> int:
    """Count the rows, of a record type or of all, that name no usable time or run."""
    if catalog is None:
        return 0
    query = "SELECT count(*) FROM unreadable WHERE ? IS NULL OR record_type = ?"
    return int(catalog.connection.execute(query, (record_type, record_type)).fetchone()[0])
