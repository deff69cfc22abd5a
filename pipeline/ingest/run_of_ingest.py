"""What all handoffs of one run of Stage 1 share."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.dataroot import DataRoot
from pipeline.ingest.file_work import FileWork
from pipeline.ingest.pace import Pace
from pipeline.ingest.place_files import FilePlacer, Mode
from pipeline.ingest.reader import ReaderPool
from pipeline.ingest.settle import Clock
from pipeline.stores.journal import Journal
from pipeline.stores.metadata import MetadataStore
from pipeline.stores.variants import Backend


@dataclass(frozen=True)
class Ingest:
    """One run of Stage 1 over a DataRoot; the ingest lock is held."""

    root: DataRoot
    store: MetadataStore
    journal: Journal
    placer: FilePlacer
    mode: Mode
    strict: bool
    settle_s: float
    clock: Clock
    run_id: str
    readers: ReaderPool
    files: FileWork
    """Hashes, syncs, links, marks."""
    pace: Pace
    above: frozenset[tuple[int, int]]
    """Inodes and devices of the DataRoot and of all directories above it."""
    backend: Backend = Backend.auto
