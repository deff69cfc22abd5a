"""One walk over the evidence of a DataRoot: rows from a private copy, claims to scratch, then what they claim."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.blobs import BlobChecks, BlobTotals, place_blob
from pipeline.reports.deep.database_copy import CannotCopy, copy_database
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.rows import RowChecks, RowClaims
from pipeline.reports.deep.scratch import Scratch
from pipeline.reports.deep.tables import CopiedDatabase, Variant

_ADVANCE_EVERY = 1_000


class Progress(Protocol):
    """Is told what is worked on, and how far it is."""

    def start(self, stage: str, total: int) -> None: ...
    def advance(self, count: int) -> None: ...


@dataclass(frozen=True)
class Copied:
    """A DataRoot's database as it could be read."""

    database: CopiedDatabase
    variant: Variant
    folder: Path
    """Private, for scratch."""


@contextmanager
def opened_copy(root: DataRoot, findings: Findings, progress: Progress) -> Iterator[Copied | None]:
    """Copy and open the database; None when it cannot be read, with the reason among the findings."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-check-")))
        copied = None
        try:
            progress.start("copy metadata.db", 1)
            path = copy_database(root.metadata_db, folder)
            progress.advance(1)
            database = stack.enter_context(CopiedDatabase(path))
            copied = _open(database, folder, findings, progress)
        except CannotCopy as reason:
            findings.add(reason.code, root.metadata_db.name)
        except sqlite3.Error as error:
            findings.add("database_unreadable", getattr(error, "sqlite_errorname", ""))
        except OSError as error:
            findings.add("layout_unreadable", f"{root.metadata_db.name}: {error.strerror}")
        yield copied


def walk_rows(
    copied: Copied,
    root: DataRoot,
    scratch: Scratch,
    findings: Findings,
    progress: Progress,
) -> RowChecks:
    """Check every row, and note in scratch what it claims."""
    checks = RowChecks(findings)
    with contextlib.suppress(sqlite3.Error):
        progress.start("rows", copied.database.count(copied.variant))
    try:
        for number, row in enumerate(copied.database.rows(copied.variant), 1):
            claims = checks.check(row)
            if claims is not None:
                note_claims(root, scratch, claims, findings)
            elif isinstance(row.record_id, str):
                scratch.add(row.record_id, (), None)
            if number % _ADVANCE_EVERY == 0:
                progress.advance(_ADVANCE_EVERY)
    except sqlite3.Error as error:
        findings.add("database_unreadable", getattr(error, "sqlite_errorname", ""))
    scratch.finish()
    return checks


def note_claims(root: DataRoot, scratch: Scratch, claims: RowClaims, findings: Findings) -> None:
    """Note in scratch what a record claims, and where its blob lies."""
    blob = place_blob(root, claims.record_id, claims.blob, findings) if claims.blob is not None else None
    scratch.add(claims.record_id, claims.references, blob)


def hash_blobs(
    root: DataRoot,
    scratch: Scratch,
    findings: Findings,
    progress: Progress,
    sample: int | None = None,
) -> BlobTotals:
    """Hash the claimed blobs, or an even sample of them."""
    total = scratch.blob_count()
    progress.start("blobs", total if sample is None else min(sample, total))
    checks = BlobChecks(root, findings)
    checks.check(scratch.blobs(sample), progress.advance)
    return checks.totals


def _open(database: CopiedDatabase, folder: Path, findings: Findings, progress: Progress) -> Copied | None:
    progress.start("check metadata.db", 1)
    if not database.is_sound():
        findings.add("database_damaged")
    progress.advance(1)
    owner = "made by pipeline ingest" if database.is_ours else "made by another program"
    findings.seen("database", f"readable, {owner}")
    variant = database.choose_variant()
    if variant.is_encrypted:
        findings.add("metadata_encrypted")
    if not variant.name:
        findings.add("variant_none")
        findings.seen("variant", variant.why)
        return None
    findings.seen("variant", f"Variant {variant.name}: {variant.why}")
    return Copied(database, variant, folder)
