"""The rows of a handoff as a reading process hands them over: nothing about them is taken on trust."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.errors import ContractInvalid
from pipeline.ingest.reader_frames import Kind
from pipeline.stores.metadata import CHUNK, MetadataRow, Value
from pipeline.stores.variants import Backend

_COLUMNS = 5
_SMALLEST_ROW_BYTES = 8
_ROOM_FOR_ALL = 1 << 20
_ROOM_A_ROW = 512


class Source(Protocol):
    """What rows are asked of."""

    is_spent: bool

    def ask(self, kind: Kind, *values: Value) -> None:
        """Send a request."""

    def answer(self, *expected: Kind) -> tuple[Kind, list[Value], bytes]:
        """Wait for a frame."""

    def distrust(self, what: str) -> ContractInvalid:
        """End it, and return what to raise."""


class ReadRows:
    """All rows of one database, whose size in bytes bounds them."""

    def __init__(self, source: Source, size: int, opened: Sequence[Value]) -> None:
        """`opened` is what was said of the database, with which a first walk was asked for.

        Raises ContractInvalid when that makes no sense.
        """
        self._source = source
        self.has_been_walked = False
        self._size = size
        self._seen: bytes | None = None
        try:
            backend, why, holds_more, repeated = opened
            self.backend = Backend(str(backend))
            self.why = str(why)
            self.holds_more = bool(holds_more)
            self.repeated = int(repeated or 0)
        except ValueError as error:
            raise source.distrust("its reader gave no sense") from error

    def chunks(self) -> Iterator[list[MetadataRow]]:
        """Hand over all rows in the order of their ids, which differ; may be walked more than once.

        Raises ContractInvalid, at the latest when a later walk ends and was not the same as the first.
        """
        if self.has_been_walked:
            self._source.ask(Kind.walk)
        self.has_been_walked = True
        digest, last, rows, size = hashlib.sha256(), "", 0, 0
        has_ended = False
        try:
            while True:
                kind, values, body = self._source.answer(Kind.rows, Kind.done)
                if kind is Kind.done:
                    has_ended = True
                    break
                digest.update(body)
                chunk = self._rows(values, last if rows else None)
                last, rows, size = chunk[-1].record_id, rows + len(chunk), size + len(body)
                if rows * _SMALLEST_ROW_BYTES > self._size or size > self._most_bytes(rows):
                    raise self._source.distrust("more rows come out of it than it can hold")
                yield chunk
        finally:
            self._source.is_spent |= not has_ended  # what it has still to say would be taken for its next answer
        self._compare(digest.digest())

    def _compare(self, digest: bytes) -> None:
        """What was checked in one walk must be what the next one brings."""
        if self._seen not in (None, digest):
            raise self._source.distrust("its rows are not the same when they are read again")
        self._seen = digest

    def _rows(self, values: Sequence[Value], last: str | None) -> list[MetadataRow]:
        if not values or len(values) % _COLUMNS or len(values) > CHUNK * _COLUMNS:
            raise self._source.distrust("its reader gave no sense")
        chunk = []
        for record_id, payload, *others in zip(*[iter(values)] * _COLUMNS, strict=True):
            if not isinstance(record_id, str) or not isinstance(payload, str | bytes):
                raise self._source.distrust("its reader gave no sense")
            if last is not None and record_id <= last:
                raise self._source.distrust("its rows are in disorder")
            chunk.append(MetadataRow(record_id, payload, *others))
            last = record_id
        return chunk

    def _most_bytes(self, rows: int) -> int:
        return 4 * self._size + _ROOM_FOR_ALL + _ROOM_A_ROW * rows
