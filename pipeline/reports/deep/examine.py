"""`pipeline doctor --deep`: does this DataRoot, whoever fills it, hold what the contract says?"""

from __future__ import annotations

import os
import stat

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.blobs import find_orphans
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.logs import check_logs
from pipeline.reports.deep.rows import RowChecks
from pipeline.reports.deep.scratch import Scratch
from pipeline.reports.deep.side_files import check_contract, check_signal, check_uia
from pipeline.reports.deep.survey import Copied, Progress, hash_blobs, opened_copy, walk_rows


def examine_deeply(
    root: DataRoot, progress: Progress, *, sample: int | None = None, max_age_s: float = 2.0
) -> Findings:
    """Look at everything in a DataRoot, changing nothing; `sample` limits how many blobs are hashed.

    Raises DataRootMissing.
    """
    root.require()
    findings = Findings()
    _check_layout(root, findings)
    is_ours = False
    if os.path.lexists(root.metadata_db):
        with opened_copy(root, findings, progress) as copied:
            if copied is not None:
                is_ours = copied.database.is_ours
                _check_evidence(root, copied, findings, progress, sample)
    else:
        findings.add("metadata_missing", root.metadata_db.name)
    if not check_logs(root, findings).journal:
        findings.add("journal_missing")
    check_signal(root, max_age_s, findings)
    check_uia(root, findings)
    check_contract(root, is_ours, findings)
    return findings


def _check_layout(root: DataRoot, findings: Findings) -> None:
    present = []
    parts = {root.metadata_db: stat.S_ISREG, root.media: stat.S_ISDIR, root.handoffs: stat.S_ISDIR,
             root.derived: stat.S_ISDIR, root.index: stat.S_ISDIR}  # fmt: skip
    for path, is_right in parts.items():
        if path.is_symlink():
            findings.add("layout_link", path.name)
        elif os.path.lexists(path) and not is_right(path.lstat().st_mode):
            findings.add("layout_not_a_file", path.name)
        elif path.exists():
            present.append(path.name)
    findings.seen("layout", ", ".join(present) or "nothing that belongs to a DataRoot")


def _check_evidence(root: DataRoot, copied: Copied, findings: Findings, progress: Progress, sample: int | None) -> None:
    with Scratch(copied.folder) as scratch:
        rows = walk_rows(copied, root, scratch, findings, progress)
        for record_id, count in scratch.duplicates():
            findings.add("id_duplicate", record_id, count - 1)
        for record_id in scratch.unresolved():
            findings.add("reference_unresolved", record_id)
        _tell_rows(rows, scratch, findings)
        totals = hash_blobs(root, scratch, findings, progress, sample)
        looked_at = f"{totals.blobs} of {scratch.blob_count()}" if sample is not None else f"{totals.blobs}"
        findings.seen("blobs", f"{looked_at} hashed, {totals.bytes:,} bytes; {totals.linked} share an inode")
        findings.seen("orphan blobs", f"{find_orphans(root, scratch, findings)} files in media/")


def _tell_rows(rows: RowChecks, scratch: Scratch, findings: Findings) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(rows.types.items())[:12])
    findings.seen("records", f"{sum(rows.types.values())} read: {kinds}" if kinds else "none")
    findings.seen("payload hashes", f"{rows.hashed} compared")
    findings.seen("references", f"{scratch.references()} looked up")
