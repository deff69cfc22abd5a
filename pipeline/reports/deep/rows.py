"""One record at a time: is it whole, what does it claim `[meta-3]`, `[meta-4]`, `[hash-2]`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.dataroot import blob_key, rid
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.tables import FoundRow, payload_bytes, read_object
from schemas.canonical import NotCanonical, payload_hash
from schemas.contract import READS, WRITES
from schemas.evidence import FRAME, Record, parse_record
from schemas.fields import parse_utc

_PLAUSIBLE_YEARS = range(2000, 2101)
_LONGEST_NAME = 255
_MOST_TYPES = 200


@dataclass(frozen=True, slots=True)
class BlobClaim:
    """A record's blob: where it may lie, and what it must hold."""

    canonical: str
    named: str | None
    content_hash: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class RowClaims:
    """What a readable record claims."""

    record_id: str
    moment: datetime
    blob: BlobClaim | None
    references: tuple[str, ...]


class RowChecks:
    """Checks rows and counts what is wrong with them."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.types: Counter[str] = Counter()
        self.hashed = 0

    def check(self, row: FoundRow) -> RowClaims | None:
        """Check one row; None when it is too broken to claim anything."""
        fields = read_object(row.payload)
        record_id = row.record_id if row.record_id is not None else (fields or {}).get("record_id")
        if not isinstance(record_id, str):
            self._findings.add("id_not_text")
            return None
        if fields is None:
            self._findings.add("payload_unreadable", record_id)
            return None
        self._count_type(fields.get("record_type"))
        self._check_payload_hash(record_id, fields)
        record = self._read(record_id, row, fields)
        moment = self._moment(record_id, record) if record is not None else None
        if record is None or moment is None:
            return None
        self._check_identity(record_id, row, record)
        return RowClaims(record_id, moment, self._blob(record_id, record, fields, moment),
                         self._references(record_id, fields))  # fmt: skip

    def _count_type(self, record_type: object) -> None:
        name = record_type if isinstance(record_type, str) else "(none)"
        self.types[name if name in self.types or len(self.types) < _MOST_TYPES else "(others)"] += 1

    def _read(self, record_id: str, row: FoundRow, fields: dict[str, Any]) -> Record | None:
        kind = str(fields.get("record_type"))
        model = READS.get(kind, Record)
        try:
            if kind in WRITES:
                _require_ours(WRITES[kind], fields)
            record, damaged = parse_record(model if issubclass(model, Record) else Record,
                                           payload_bytes(row.payload).decode())  # fmt: skip
        except (ValueError, RecursionError) as error:  # ValidationError is a ValueError
            self._findings.add("record_incomplete", f"{record_id}: {_problem(error)}")
            return None
        if damaged:
            self._findings.add("field_damaged", f"{record_id}: {', '.join(damaged)}")
        if record.content_hash is None and record.payload_hash is None:
            self._findings.add("record_no_hash", record_id)
        return record

    def _moment(self, record_id: str, record: Record) -> datetime | None:
        try:
            moment = parse_utc(record.ts_utc or record.start_ts_utc or record.end_ts_utc or "")
        except ValueError:
            self._findings.add("record_time", record_id)
            return None
        if moment.year not in _PLAUSIBLE_YEARS:
            self._findings.add("time_implausible", record_id)
        return moment

    def _check_identity(self, record_id: str, row: FoundRow, record: Record) -> None:
        if not record_id.startswith(f"{record.run_id}/"):
            self._findings.add("id_prefix", record_id)
        pairs = ((row.record_type, record.record_type), (row.ts_utc, record.ts_utc), (row.run_id, record.run_id))
        if any(value is not None and column is not None and column != value for column, value in pairs):
            self._findings.add("columns_differ", record_id)

    def _check_payload_hash(self, record_id: str, fields: dict[str, Any]) -> None:
        told = fields.get("payload_hash")
        if not isinstance(told, str):
            return
        try:
            matches = payload_hash(fields) == told
        except NotCanonical:
            self._findings.add("payload_hash_unverifiable", record_id)
            return
        self.hashed += 1
        if not matches:
            self._findings.add("payload_hash_differs", record_id)

    def _blob(self, record_id: str, record: Record, fields: dict[str, Any], moment: datetime) -> BlobClaim | None:
        named = fields.get("blob_path")
        named = named if isinstance(named, str) and named else None
        if record.record_type != FRAME and named is None:
            return None
        if len(rid(record_id)) + len(".blob") > _LONGEST_NAME or len(rid(record.run_id)) > _LONGEST_NAME:
            self._findings.add("id_too_long", record_id)
            return None
        size = fields.get("content_size")
        return BlobClaim(blob_key(record.run_id, record_id, record.record_type, moment), named,
                         record.content_hash, size if type(size) is int else None)  # fmt: skip

    def _references(self, record_id: str, fields: dict[str, Any]) -> tuple[str, ...]:
        found = []
        for name, value in fields.items():
            if name.endswith("_ref") and value is not None:
                referred = value.get("record_id") if isinstance(value, dict) else None
                if isinstance(referred, str):
                    found.append(referred)
                else:
                    self._findings.add("reference_damaged", record_id)
        return tuple(found)


def _require_ours(model: type[BaseModel], fields: dict[str, Any]) -> None:
    """Check a record that Stage 1 writes, as a reader does: a field that it does not know is no fault."""
    try:
        model.model_validate(fields)
    except ValidationError as error:
        unusable = {
            str(item["loc"][0]) for item in error.errors(include_input=False) if item["type"] != "extra_forbidden"
        }
        if unusable:
            raise ValueError(f"unusable fields: {', '.join(sorted(unusable))}") from error


def _problem(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
