"""Handoffs that were marked and have not changed: known by their look, and opened no more `[handoff-11]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.ingest.completion import marked_manifest, read_marked
from pipeline.ingest.file_operations import Surveyed
from pipeline.ingest.look import path_text
from pipeline.ingest.result import HandoffResult, State
from pipeline.ingest.run_of_ingest import Ingest
from schemas.handoff import HandoffCompleted


def recognise(ingest: Ingest, paths: Sequence[str], surveys: Sequence[Surveyed | None]) -> list[HandoffResult | None]:
    """Give the results of those that are what was marked; None for each that has to be looked at.

    Raises sqlite3.Error.
    """
    manifests = [marked_manifest(surveyed.marker) if surveyed else "" for surveyed in surveys]
    data_root = path_text(ingest.root.path)
    known = read_marked(ingest.store, [manifest for manifest in manifests if manifest], data_root)
    return [
        _already(path, marked.handoff_id, marked.rows, marked.stat_sha256)
        if surveyed is not None
        and (marked := known.get(manifest)) is not None
        and (surveyed.stat_sha256, surveyed.marker) == (marked.stat_sha256, marked.marker)
        and (surveyed.inode, surveyed.device) not in ingest.above
        else None
        for path, surveyed, manifest in zip(paths, surveys, manifests, strict=True)
    ]


def known_result(path: Path, completed: HandoffCompleted, stat_sha256: str) -> HandoffResult:
    """The result of a handoff that was ingested before and is marked."""
    return _already(path, completed.handoff_id, completed.counts.metadata_rows_copied, stat_sha256)


def _already(path: str | Path, handoff_id: str, rows: int, stat_sha256: str) -> HandoffResult:
    return HandoffResult(
        path_text(path), State.already, handoff_id=handoff_id, rows=rows, identical=rows, stat_sha256=stat_sha256
    )
