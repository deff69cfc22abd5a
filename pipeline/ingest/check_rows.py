"""What one row claims: is it a whole record, which blob is its own, what it refers to `[meta-3]`, `[meta-4]`."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from pipeline.dataroot import blob_key
from pipeline.stores.metadata import MetadataRow
from schemas.canonical import NotCanonical, payload_hash, sha256_hex
from schemas.evidence import FRAME, Frame, Record, parse_record
from schemas.fields import parse_utc

_PLAUSIBLE_YEARS = range(2000, 2101)
_LONGEST_NAME = 255
_CONTAINERS = (dict, list)


class MediaClaim(NamedTuple):
    """A record's blob: where it may lie in the handoff, where it belongs, and what it must hash to."""

    record_id: str
    named: str | None
    """The payload's `blob_path`."""
    canonical: str
    """The place in a DataRoot, which a handoff may use too."""
    required: bool
    content_hash: str | None
    content_size: int | None


class FrameClaim(NamedTuple):
    """A frame whose row is in order; complete once its blob and all it refers to are there `[handoff-6]`."""

    frame_id: str
    run_id: str
    ts_utc: str
    references: tuple[str, ...]


@dataclass(slots=True)
class RowCheck:
    """What was found in one row. `incomplete` says why it is not a whole record; such a row is kept all the same."""

    is_frame: bool = False
    incomplete: str = ""
    warnings: list[str] = field(default_factory=list)
    media: MediaClaim | None = None
    frame: FrameClaim | None = None


class _Incomplete(Exception):
    """Why a row is not a whole record."""


def check_row(row: MetadataRow) -> RowCheck:
    """Read a row's payload as far as Stage 1 needs it; never raises, whatever the payload holds."""
    check = RowCheck(is_frame=row.record_type == FRAME)
    try:
        _check(row, check)
    except _Incomplete as reason:
        check.incomplete, check.media, check.frame = str(reason), None, None
    except RecursionError:
        check.incomplete, check.media, check.frame = "its payload is nested too deeply", None, None
    return check


def _check(row: MetadataRow, check: RowCheck) -> None:
    text, fields, holds_float = _read_object(row)
    check.is_frame = check.is_frame or fields.get("record_type") == FRAME
    record = _read_record(text, fields.get("record_type") == FRAME, check)
    moment = _moment(record, check)
    if not row.record_id.startswith(f"{record.run_id}/"):
        raise _Incomplete("its id does not begin with its run_id")
    if record.content_hash is None and record.payload_hash is None:
        raise _Incomplete("it has neither content_hash nor payload_hash")
    _compare_columns(row, record, check)
    hash_holds = _check_payload_hash(fields, record, holds_float, check)
    check.media = _media(row.record_id, record, fields, moment, check)
    if isinstance(record, Frame):
        references = _references(fields, check)
        if hash_holds and references is not None:
            check.frame = FrameClaim(row.record_id, record.run_id, record.ts_utc, references)


def _read_object(row: MetadataRow) -> tuple[str, dict[str, Any], bool]:
    """The payload as text, what it holds, and whether there is a float in it."""
    try:
        text = row.payload if isinstance(row.payload, str) else row.payload.decode()
        fields, holds_float = _load(text)
    except ValueError as error:
        raise _Incomplete("its payload is not readable JSON") from error
    if not isinstance(fields, dict):
        raise _Incomplete("its payload is not a JSON object")
    return text, fields, holds_float


def _load(text: str) -> tuple[Any, bool]:
    """Read JSON, and tell whether there is a float in it. Raises ValueError."""
    with suppress(orjson.JSONDecodeError):  # the long way knows a little more: half a surrogate pair, NaN
        value = orjson.loads(text)
        if not _holds_float(value):  # nor an integer beyond 64 bits, which is a float here
            return value, False
    floats: list[str] = []

    def note(text: str) -> float:
        floats.append(text)
        return float(text)

    return json.loads(text, parse_float=note, parse_constant=note), bool(floats)


def _holds_float(value: Any) -> bool:
    if type(value) not in _CONTAINERS:
        return type(value) is float
    for item in value.values() if type(value) is dict else value:
        kind = type(item)
        if kind is float or (kind in _CONTAINERS and _holds_float(item)):
            return True
    return False


def _read_record(text: str, is_frame: bool, check: RowCheck) -> Record:
    model = Frame if is_frame else Record
    try:
        record, damaged = parse_record(model, text)
    except ValueError as error:
        raise _Incomplete(str(error)) from error
    if damaged:
        check.warnings.append(f"damaged optional fields left aside: {', '.join(damaged)}")
    return record


def _moment(record: Record, check: RowCheck) -> datetime:
    text = record.ts_utc or record.start_ts_utc or record.end_ts_utc
    if text is None:
        raise _Incomplete("it has no time")
    try:
        moment = parse_utc(text)
    except ValueError as error:
        raise _Incomplete("its time cannot be read as ISO-8601 with a zone") from error
    if moment.year not in _PLAUSIBLE_YEARS:
        check.warnings.append(f"implausible time, in the year {moment.year}")
    return moment


def _compare_columns(row: MetadataRow, record: Record, check: RowCheck) -> None:
    """Readers find rows by these columns, so one that contradicts its payload is hidden or misplaced."""
    pairs = {
        "record_type": (row.record_type, record.record_type),
        "run_id": (row.run_id, record.run_id),
        "ts_utc": (row.ts_utc, record.ts_utc or row.ts_utc),
    }
    differing = [name for name, (column, value) in pairs.items() if column != value]
    if differing:
        check.warnings.append(f"columns that differ from the payload: {', '.join(differing)}")


def _check_payload_hash(fields: dict[str, Any], record: Record, holds_float: bool, check: RowCheck) -> bool:
    """Tell whether the payload's own hash does not speak against it `[hash-1]`, `[hash-2]`."""
    if record.payload_hash is None:
        return True
    try:
        matches = _payload_hash(fields, holds_float) == record.payload_hash
    except NotCanonical:
        check.warnings.append("payload_hash is unverifiable: the payload holds a float or is not canonical")
        return True
    if not matches:
        check.warnings.append("payload_hash does not match the payload")
    return matches


def _payload_hash(fields: dict[str, Any], holds_float: bool) -> str:
    """Hash a record; where it is plain, without looking at every string of it. Raises NotCanonical."""
    if not holds_float:
        try:
            plain = orjson.dumps(
                {key: value for key, value in fields.items() if key != "payload_hash"}, option=orjson.OPT_SORT_KEYS
            )
        except orjson.JSONEncodeError:  # a number or a depth that only the long way has room for
            return payload_hash(fields)
        if plain.isascii():
            return sha256_hex(plain)
    return payload_hash(fields)


def _media(
    record_id: str, record: Record, fields: dict[str, Any], moment: datetime, check: RowCheck
) -> MediaClaim | None:
    is_frame = isinstance(record, Frame)
    named = fields.get("blob_path")
    if named is not None and not isinstance(named, str):
        check.warnings.append("blob_path is no text")
        named = None
    if _is_too_long(record_id, len(".blob")) or _is_too_long(record.run_id):
        if is_frame or named:
            raise _Incomplete("its id is too long to name a file")
        return None
    hashed = is_frame or named is not None
    size = fields.get("content_size")
    return MediaClaim(
        record_id=record_id,
        named=named,
        canonical=blob_key(record.run_id, record_id, record.record_type, moment),
        required=hashed,
        content_hash=record.content_hash if hashed else None,
        content_size=size if hashed and type(size) is int else None,
    )


def _is_too_long(text: str, more: int = 0) -> bool:
    """Whether an id's `rid` and so many bytes more make no file name: it has four signs for each three bytes."""
    size = len(text) if text.isascii() else len(text.encode())
    return 4 + -(-size * 4 // 3) + more > _LONGEST_NAME


def _references(fields: dict[str, Any], check: RowCheck) -> tuple[str, ...] | None:
    """The record ids in all `*_ref` fields; None when one is there and names no record."""
    found = []
    for name, value in fields.items():
        if name[-4:] != "_ref" or value is None:
            continue
        record_id = value.get("record_id") if isinstance(value, dict) else None
        if not isinstance(record_id, str):
            check.warnings.append(f"{name[:64]} names no record")
            return None
        found.append(record_id)
    return tuple(found)
