"""Spans in the text index: what their text is made of, and what proves them.

Only spans that have an embedding are there: the others cannot be found by meaning.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.stores.index_rows import TrackRow
from pipeline.stores.text_index import TextIndex

LONGEST_US = 1_800_000_000
"""No span lasts longer, see `pipeline.stages.build_spans`; it says where to look for the one that shows a line."""

_SPAN = (
    "SELECT s.span_id, s.first_ts, s.last_ts, x.text, s.tracks, s.text_sha256, p.path, p.sha256, s.record_id,"
    " q.path, q.sha256, s.vector_sha256 FROM spans s JOIN files p ON p.id = s.file"
    " JOIN files q ON q.id = s.record_file LEFT JOIN texts x ON x.id = s.heading "
)
_LINES = (
    "SELECT k.id, k.text, x.text FROM json_each(?) j CROSS JOIN tracks k ON k.id = j.value"
    " JOIN texts x ON x.id = k.text"
)
_NUMBER = struct.Struct("<I")


class IndexedSpan(NamedTuple):
    """A span, the fact files that hold it and its embedding with their hashes at that time, and its vector's hash.

    Its text is the heading (its window's title), if any, and then the text of each track, in this order, by lines.
    """

    span_id: str
    first_ts: int
    last_ts: int
    heading: str | None
    packed_tracks: bytes
    text_sha256: str
    path: str
    sha256: str
    record_id: str
    record_path: str
    record_sha256: str
    vector_sha256: str

    @property
    def tracks(self) -> list[int]:
        """The tracks' numbers in the index."""
        usable = len(self.packed_tracks) // _NUMBER.size * _NUMBER.size
        return [number for (number,) in _NUMBER.iter_unpack(self.packed_tracks[:usable])]


class SpanLine(NamedTuple):
    """A line of a span: its track and that track's text, by their numbers in the index, and the text."""

    track: int
    text_id: int
    text: str


def pack_tracks(numbers: Iterable[int]) -> bytes:
    """Numbers of tracks as a span keeps them: four bytes each."""
    return b"".join(map(_NUMBER.pack, numbers))


def span_named(index: TextIndex, span_id: str) -> IndexedSpan | None:
    """A span by its id; None when the index does not know it, or not with an embedding."""
    row = index.connection.execute(_SPAN + "WHERE s.span_id = ?", (span_id,)).fetchone()
    return None if row is None else IndexedSpan._make(row)


def spans_showing(index: TextIndex, track: TrackRow) -> list[IndexedSpan]:
    """The spans that a track is a line of, in order of time."""
    query = _SPAN + "WHERE s.first_ts BETWEEN ? AND ? AND s.last_ts >= ? ORDER BY s.first_ts, s.span_id"
    rows = index.connection.execute(query, (track.first_ts - LONGEST_US, track.last_ts, track.first_ts))
    return [span for span in map(IndexedSpan._make, rows) if track.id in span.tracks]


def lines_of(index: TextIndex, span: IndexedSpan) -> list[SpanLine]:
    """The lines of a span, in its order; one whose track is not there is missing."""
    numbers = span.tracks
    found = {row[0]: SpanLine._make(row) for row in index.connection.execute(_LINES, (json.dumps(numbers),))}
    return [found[number] for number in numbers if number in found]
