"""Find evidence that the catalog does not know yet."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

import orjson

from pipeline.dataroot import partition_value
from pipeline.stores.catalog import Catalog, Sample
from pipeline.stores.evidence import MAX_BLOB_BYTES, EvidenceRow, EvidenceStore
from schemas.evidence import FRAME, INPUT, UIA_SNAPSHOT, WINDOW
from schemas.fields import parse_utc, utc_microseconds

RECORD_TYPES = (FRAME, WINDOW, INPUT, UIA_SNAPSHOT)
_SAMPLES = frozenset({FRAME, WINDOW})
_BATCH = 5_000
_LONGEST_PARTITION_VALUE = 200
_SIZES = "sizes"


def discover(evidence: EvidenceStore, catalog: Catalog) -> int:
    """Register new evidence with the catalog; returns how many rows were looked at.

    Reads on from the last rowid; when the number of rows does not add up (a store was rebuilt), reads all again.
    """
    total = evidence.count(RECORD_TYPES)
    known, rowid = (int(catalog.mark(name) or 0) for name in ("evidence_rows", "evidence_rowid"))
    if catalog.mark(_SIZES) is None:
        _measure(evidence, catalog, rowid)
    seen = _scan(evidence, catalog, rowid)
    if known + seen != total and rowid:
        seen = _scan(evidence, catalog, 0)
    if seen:
        with catalog.transaction():
            catalog.set_mark("evidence_rows", str(total))
    return seen


def _scan(evidence: EvidenceStore, catalog: Catalog, after_rowid: int) -> int:
    rows = evidence.scan(RECORD_TYPES, after_rowid)
    seen = 0
    while batch := list(islice(rows, _BATCH)):
        seen += len(batch)
        with catalog.transaction():
            _register(batch, catalog)
            catalog.set_mark("evidence_rowid", str(batch[-1].rowid))
    return seen


def _measure(evidence: EvidenceStore, catalog: Catalog, up_to_rowid: int) -> None:
    """Note how large the blobs are of frames that an older version registered without."""
    rows = takewhile(lambda row: row.rowid <= up_to_rowid, evidence.scan([FRAME], 0))
    while batch := list(islice(rows, _BATCH)):
        with catalog.transaction():
            catalog.add_samples([sample for row in batch if (sample := _usable(row)) is not None])
    with catalog.transaction():
        catalog.set_mark(_SIZES, "known")


def _usable(row: EvidenceRow) -> Sample | None:
    try:
        return _sample(row)
    except ValueError:
        return None


def _register(rows: list[EvidenceRow], catalog: Catalog) -> None:
    samples, days, unreadable = [], set(), []
    for row in rows:
        try:
            sample = _sample(row)
        except ValueError as error:
            unreadable.append((_name(row), row.record_type or "", str(error)))
            continue
        days.add((sample.run_id, sample.day))
        if sample.record_type in _SAMPLES:
            samples.append(sample)
    catalog.add_samples(samples)
    catalog.evidence_changed(days)
    catalog.add_unreadable(unreadable)


def _name(row: EvidenceRow) -> str:
    """The row's id, or where it lies when it has none that is text."""
    return row.record_id if _is_text(row.record_id) else f"rowid {row.rowid}"


def _is_text(value: object) -> bool:
    """Tell text from the other types that SQLite may hold, and from text that is not UTF-8."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _sample(row: EvidenceRow) -> Sample:
    """Read when and in which run evidence was captured. Raises ValueError with a reason that quotes no content."""
    if not _is_text(row.record_id):
        raise ValueError("its id is no text")
    payload = _payload(row)
    run_id, text = payload.get("run_id"), payload.get("ts_utc") or payload.get("end_ts_utc")
    if not isinstance(run_id, str) or not run_id or not row.record_id.startswith(f"{run_id}/"):
        raise ValueError("its id does not begin with its run_id")
    if len(partition_value(run_id)) > _LONGEST_PARTITION_VALUE:
        raise ValueError("its run_id is too long for a directory name")
    try:
        moment = parse_utc(text if isinstance(text, str) else "")
    except ValueError as error:
        raise ValueError("it has no usable ts_utc") from error
    return Sample(
        row.record_id, row.record_type or "", run_id, utc_microseconds(moment),
        moment.date().isoformat(), f"{moment.hour:02d}", _size(payload),
    )  # fmt: skip


def _size(payload: dict[str, Any]) -> int:
    """How many bytes the blob has, as far as the record says so and can be believed."""
    size = payload.get("content_size")
    return size if isinstance(size, int) and 0 <= size <= MAX_BLOB_BYTES else 0


def _payload(row: EvidenceRow) -> dict[str, Any]:
    if not isinstance(row.payload, str):
        raise ValueError("its payload is no text")
    try:
        payload = orjson.loads(row.payload)
    except orjson.JSONDecodeError as error:
        raise ValueError("its payload is no JSON") from error
    if not isinstance(payload, dict):
        raise ValueError("its payload is no JSON object")
    return payload
