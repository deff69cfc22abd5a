"""Keeps the text index up to the facts."""

from __future__ import annotations

from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet
from pipeline.indexing.build import KeepGoing, build_text_index, fact_files, facts_state
from pipeline.stores.catalog import Catalog
from pipeline.stores.text_index import TextIndex

_MARK = "text_index"


def refresh_text_index(root: DataRoot, catalog: Catalog, keep_going: KeepGoing) -> bool:
    """Build the index again when the facts changed since, or it is missing; tells whether it was built.

    For the holder of the run lock, when `stage_outcomes` is up to the catalog. Raises what `keep_going` raises.
    """
    if not fact_files(root):
        return False
    state = facts_state(root)
    if catalog.mark(_MARK) == f"{state} {_digest(root)}":
        return False
    built = build_text_index(root, int(catalog.mark("evidence_rowid") or 0), keep_going)
    with catalog.transaction():
        catalog.set_mark(_MARK, f"{state} {built.source_digest}")
    return True


def _digest(root: DataRoot) -> str:
    """What the index that is there was built from; empty when there is none that can be used."""
    try:
        with TextIndex(root.text_index) as index:
            return str(index.meta["source_digest"])
    except NotAvailableYet:
        return ""
