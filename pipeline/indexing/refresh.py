"""Keeps the text index up to the facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet
from pipeline.indexing.published import Published, note_seen, published_at_us, seen
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_days
from pipeline.stores.text_index import TextIndex
from schemas.record_types import FRAME

if TYPE_CHECKING:
    from pipeline.indexing.build import KeepGoing

_MARK, _LISTED_MARK = "text_index", "listed_rowid"


def refresh_text_index(root: DataRoot, catalog: Catalog, keep_going: KeepGoing) -> bool:
    """Build the index again when the facts changed since, or it is missing; tells whether it was built.

    For the holder of the run lock, when `stage_outcomes` is up to the catalog. Raises what `keep_going` raises.
    """
    from pipeline.indexing.build import build_text_index, facts_state  # late: Arrow is of no use to a look

    state = facts_state(root)
    if _is_up_to_date(root, catalog, state):
        note_seen(catalog, _MARK)
        return False
    keep_going()
    built = build_text_index(root, _listed_rowid(catalog), keep_going)
    with catalog.transaction():
        catalog.set_mark(_MARK, f"{state} {built.source_digest}")
    note_seen(catalog, _MARK)
    return True


def text_index_at_a_glance(root: DataRoot, catalog: Catalog) -> Published:
    """The same as `text_index_published`, by what the last run noted where it did, and not by the fact files."""
    noted = seen(catalog, _MARK)
    if noted is None:
        return text_index_published(root, catalog)
    digest = _digest(root)
    told = (catalog.mark(_MARK) or "").partition(" ")[2]
    return Published(published_at_us(root.text_index) if digest else None, noted and digest == told)


def text_index_published(root: DataRoot, catalog: Catalog) -> Published:
    """Look at the index that is there, and whether it is what the facts of now give. Reads only."""
    from pipeline.indexing.build import facts_state

    built_us = published_at_us(root.text_index) if _digest(root) else None
    return Published(built_us, _is_up_to_date(root, catalog, facts_state(root)))


def _is_up_to_date(root: DataRoot, catalog: Catalog, state: str) -> bool:
    from pipeline.indexing.build import fact_files

    return catalog.mark(_MARK) == f"{state} {_digest(root)}" or not fact_files(root)


def _listed_rowid(catalog: Catalog) -> int:
    """Up to which row of the evidence all frames are listed in the facts: questions count those after it as waiting.

    A run that was stopped while it listed frames has looked further than that.
    """
    looked_at = catalog.mark("evidence_rowid") or "0"
    if not any(day.untouched for day in count_days(catalog, "list_frames", FRAME, None)):
        with catalog.transaction():
            catalog.set_mark(_LISTED_MARK, looked_at)
        return int(looked_at)
    return int(catalog.mark(_LISTED_MARK) or 0)


def _digest(root: DataRoot) -> str:
    """What the index that is there was built from; empty when there is none that can be used."""
    try:
        with TextIndex(root.text_index) as index:
            return str(index.meta["source_digest"])
    except NotAvailableYet:
        return ""
