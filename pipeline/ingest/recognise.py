"""Handoffs that were marked and have not changed: known by their look, and opened no more `[handoff-11]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.ingest.completion import marked_manifest, read_completions, render_marker
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
    completions = read_completions(ingest.store, [manifest for manifest in manifests if manifest])
    data_root = path_text(ingest.root.path)
    return [
        known_result(path, completed, surveyed.stat_sha256)
        if surveyed is not None
        and (completed := completions.get(manifest)) is not None
        and _is_unchanged(surveyed, completed, data_root)
        and (surveyed.inode, surveyed.device) not in ingest.above
        else None
        for path, surveyed, manifest in zip(paths, surveys, manifests, strict=True)
    ]


def known_result(path: str | Path, completed: HandoffCompleted, stat_sha256: str) -> HandoffResult:
    """The result of a handoff that was ingested before and is marked."""
    rows = completed.counts.metadata_rows_copied
    return HandoffResult(
        path_text(path),
        State.already,
        handoff_id=completed.handoff_id,
        rows=rows,
        identical=rows,
        stat_sha256=stat_sha256,
    )


def _is_unchanged(surveyed: Surveyed, completed: HandoffCompleted, data_root: str) -> bool:
    """Tell whether marker, completion record and files as they lie there agree."""
    return (
        completed.stat_manifest_sha256 == surveyed.stat_sha256
        and render_marker(completed, data_root) == surveyed.marker
    )
