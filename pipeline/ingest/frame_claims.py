"""The frames of a handoff that may turn out complete, on disk where they are many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

import orjson

from pipeline.ingest.check_rows import FrameClaim
from pipeline.stores.metadata import CHUNK

_MOST_IN_MEMORY = 20_000


class FrameClaims:
    """Claims in the order in which they were added; from 20,000 on a file without a name takes them."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._file: IO[bytes] | None = None

    def __del__(self) -> None:
        self.close()

    def append(self, claim: FrameClaim) -> None:
        """Add one. Raises OSError."""
        self._lines.append(orjson.dumps([claim.frame_id, claim.run_id, claim.ts_utc, claim.references]) + b"\n")
        if len(self._lines) >= _MOST_IN_MEMORY:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as this
            self._file.writelines(self._lines)
            self._lines = []

    def chunks(self) -> Iterator[list[FrameClaim]]:
        """Walk over all, some hundred at a time. Raises OSError."""
        if self._file is not None:
            self._file.seek(0)
            yield from _read(self._file)
            self._file.seek(0, 2)
        yield from _read(self._lines)

    def close(self) -> None:
        """Let go of them."""
        if self._file is not None:
            self._file.close()
        self._file, self._lines = None, []


def _read(lines: Iterable[bytes]) -> Iterator[list[FrameClaim]]:
    remaining = iter(lines)
    while chunk := list(islice(remaining, CHUNK)):
        yield [_claim(*orjson.loads(line)) for line in chunk]


def _claim(frame_id: str, run_id: str, ts_utc: str, references: list[str]) -> FrameClaim:
    return FrameClaim(frame_id, run_id, ts_utc, tuple(references))
