"""What rows claim, on disk and not in memory, to be compared once all rows were seen. In a private folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BATCH = 5_000
_TABLES = (
    "CREATE TABLE ids(id TEXT NOT NULL)",
    "CREATE TABLE refs(id TEXT NOT NULL, wanted TEXT NOT NULL)",
    "CREATE TABLE blobs(n INTEGER PRIMARY KEY, id TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT, size INTEGER)",
)


@dataclass(frozen=True, slots=True)
class PlacedBlob:
    """A record's blob and where it lies, relative to the DataRoot."""

    record_id: str
    path: str
    sha256: str | None
    size: int | None


class Scratch:
    """Takes claims in, then answers what is there twice, what is missing, what belongs to no record."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "scratch.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -32768",
                          *_TABLES, "BEGIN"):  # fmt: skip
            self._connection.execute(statement)
        self._ids: list[tuple[str]] = []
        self._refs: list[tuple[str, str]] = []
        self._blobs: list[tuple[str, str, str | None, int | None]] = []

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, record_id: str, references: tuple[str, ...], blob: PlacedBlob | None) -> None:
        """Take in what one record claims."""
        self._ids.append((_text(record_id),))
        self._refs += [(_text(record_id), _text(wanted)) for wanted in references]
        if blob is not None:
            self._blobs.append((_text(record_id), _text(blob.path), blob.sha256, blob.size))
        if len(self._ids) >= _BATCH:
            self._flush()

    def finish(self) -> None:
        """All rows were seen: make what was taken in findable."""
        self._flush()
        self._connection.execute("CREATE INDEX by_id ON ids(id)")
        self._connection.execute("CREATE INDEX by_path ON blobs(path)")

    def duplicates(self) -> Iterator[tuple[str, int]]:
        """Ids that more than one row has, and how many do."""
        yield from self._connection.execute("SELECT id, count(*) FROM ids GROUP BY id HAVING count(*) > 1")

    def unresolved(self) -> Iterator[str]:
        """Records that refer to one that is not there."""
        query = "SELECT id FROM refs WHERE NOT EXISTS (SELECT 1 FROM ids WHERE ids.id = refs.wanted)"
        for row in self._connection.execute(query):
            yield row[0]

    def references(self) -> int:
        """How many references there are."""
        return self._count("refs")

    def blob_count(self) -> int:
        """How many blobs are claimed."""
        return self._count("blobs")

    def blobs(self, sample: int | None = None) -> Iterator[PlacedBlob]:
        """The claimed blobs in the order of their rows; with `sample` so many of them, evenly spread."""
        total = self.blob_count()
        step, wanted = 1.0, total
        if sample is not None and sample < total:
            step, wanted = total / max(sample, 1), sample
        query = "SELECT id, path, sha256, size FROM blobs WHERE n = ?"
        for number in range(wanted):
            yield PlacedBlob(*self._connection.execute(query, (1 + int(number * step),)).fetchone())

    def is_claimed(self, path: str) -> bool:
        """Tell whether a blob lies there."""
        query = "SELECT 1 FROM blobs WHERE path = ? LIMIT 1"
        return self._connection.execute(query, (_text(path),)).fetchone() is not None

    def _count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 fixed names

    def _flush(self) -> None:
        self._connection.executemany("INSERT INTO ids VALUES (?)", self._ids)
        self._connection.executemany("INSERT INTO refs VALUES (?, ?)", self._refs)
        self._connection.executemany("INSERT INTO blobs(id, path, sha256, size) VALUES (?, ?, ?, ?)", self._blobs)
        self._ids, self._refs, self._blobs = [], [], []


def _text(value: str) -> str:
    """SQLite holds no lone surrogates."""
    return value.encode(errors="backslashreplace").decode()
