"""A small handoff's rows, read once: they are checked, and kept until they are committed with those of others."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.ingest.foreign_rows import ForeignRows
from pipeline.ingest.pace import Pace
from pipeline.stores.metadata import MetadataRow

_MOST_ROWS = 20_000
_MOST_BYTES = 16 << 20


class RememberedRows:
    """Rows that are walked more than once and read only once, where they are few; otherwise read again each time."""

    def __init__(self, foreign: ForeignRows, pace: Pace) -> None:
        self.holds_more = foreign.holds_more
        self._foreign = foreign
        self._pace = pace
        self._chunks: list[list[MetadataRow]] = []
        self.bytes = 0
        self.has_all = False
        """Whether they are all here, so that they need not be read again. Known after the first walk."""

    def forget(self) -> None:
        """Keep them no longer: they are in their place. For one call, the last."""
        self._chunks = []

    def chunks(self) -> Iterator[list[MetadataRow]]:
        """Hand over all rows in the order of their ids. Raises what reading them raises, Blocked, Stopped."""
        if self.has_all:
            for chunk in self._chunks:
                self._pace.step()
                yield chunk
            return
        self._chunks, self.bytes, rows, is_small = [], 0, 0, True
        for chunk in self._foreign.chunks():
            self._pace.step()
            rows += len(chunk)
            self.bytes += sum(len(row.payload) for row in chunk)
            is_small = is_small and rows <= _MOST_ROWS and self.bytes <= _MOST_BYTES
            self._chunks = [*self._chunks, chunk] if is_small else []
            yield chunk
        self.has_all = is_small
