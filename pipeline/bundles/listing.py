"""What is known of a bundle's members and rows while it is worked on: on disk, since there may be a million of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bundles.names import Part
from pipeline.stores.metadata import CHUNK

_SCHEMA = (
    # `source`: the file in the DataRoot that is bundled; `target`: where a member goes in the DataRoot;
    # `claimed`: 2 by the record whose place it lies in, 1 by one that names it in another place.
    "CREATE TABLE member(path TEXT PRIMARY KEY, part TEXT, source BLOB, size INTEGER, sha256 TEXT,"
    " claimed INTEGER NOT NULL DEFAULT 0, target BLOB, is_new INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    # `fault`: why a row is not taken; NULL for all others.
    "CREATE TABLE row(id TEXT PRIMARY KEY, fault TEXT) WITHOUT ROWID",
    "CREATE TABLE frame(id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE reference(frame TEXT, id TEXT)",
    "CREATE TABLE statement(id TEXT PRIMARY KEY, frame TEXT) WITHOUT ROWID",
)
_IN_PLACE = 2
CONFLICT = "the id is kept with another payload"
UNPROVEN = "it says that a frame or a handoff is complete, which it is not in this bundle"


@dataclass(frozen=True, slots=True)
class Listed:
    """A member as it is listed; `source` and `target` are paths relative to the DataRoot."""

    path: str
    part: Part
    size: int
    sha256: str | None
    """None while a bundle is being made and the file was not read yet."""
    claimed: bool
    """Whether it is a record's blob, in its place."""
    source: str
    target: str | None
    is_new: bool
    """Whether nothing was at its target."""


class Listing:
    """Members and rows, in a database of its own. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self._database.execute(f"PRAGMA {pragma}")
        for statement in _SCHEMA:
            self._database.execute(statement)
        self._database.execute("BEGIN")
        self._seen_above = ""

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_member(self, path: str, part: Part, size: int, *, sha256: str | None = None, source: str = "") -> None:
        """List a member."""
        self._database.execute(
            "INSERT INTO member(path, part, source, size, sha256) VALUES (?, ?, ?, ?, ?)",
            (path, part, os.fsencode(source), size, sha256),
        )

    def member(self, path: str) -> Listed | None:
        """Look a member up."""
        found = self._members("WHERE path = ?", path)
        return found[0] if found else None

    def members(self) -> Iterator[Listed]:
        """All members, in the order in which a bundle holds them; they may be changed on the way."""
        last = ""
        while found := self._members("WHERE path > ? ORDER BY path LIMIT ?", last, CHUNK):
            yield from found
            last = found[-1].path

    def members_below(self, prefix: str) -> list[Listed]:
        """The members in a folder; its name ends with `/`."""
        return self._members("WHERE path > ? AND path < ?", prefix, f"{prefix}\x7f")

    def has_file_above(self, path: str) -> bool:
        """Tell whether a member is a file where this one needs a directory."""
        parts = path.split("/")
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        if not above or above[-1] == self._seen_above:
            return False
        self._seen_above = above[-1]
        marks = ",".join("?" * len(above))
        query = f"SELECT 1 FROM member WHERE path IN ({marks})"  # noqa: S608 only question marks
        return self._database.execute(query, above).fetchone() is not None

    def claim(self, path: str) -> None:
        """Note that a record names a member as its blob."""
        self._database.execute("UPDATE member SET claimed = 2 WHERE path = ?", (path,))

    def claim_elsewhere(self, path: str, found: Listed) -> None:
        """List a blob in its canonical place that lies in another one; two records may name the same."""
        self.add_member(path, found.part, found.size, source=found.source)
        self.claim(path)
        self._database.execute("UPDATE member SET claimed = max(claimed, 1) WHERE path = ?", (found.path,))

    def drop(self, path: str) -> None:
        """Take a member out."""
        self._database.execute("DELETE FROM member WHERE path = ?", (path,))

    def drop_moved(self) -> None:
        """Take out the members that are listed in their canonical places instead."""
        self._database.execute("DELETE FROM member WHERE claimed = 1")

    def set_content(self, path: str, size: int, sha256: str) -> None:
        """Note what was really read."""
        self._database.execute("UPDATE member SET size = ?, sha256 = ? WHERE path = ?", (size, sha256, path))

    def set_target(self, path: str, target: str, *, is_new: bool) -> None:
        """Note where a member goes."""
        values = (os.fsencode(target), is_new, path)
        self._database.execute("UPDATE member SET target = ?, is_new = ? WHERE path = ?", values)

    def totals(self) -> tuple[int, int, int, int]:
        """Number of members, their bytes, how many are media, and the bytes of those that are new."""
        query = "SELECT count(*), total(size), total(part = 'media'), total(size * is_new) FROM member"
        count, size, media, new = self._database.execute(query).fetchone()
        return int(count), int(size), int(media), int(new)

    def add_rows(self, rows: Iterable[tuple[str, str | None]]) -> None:
        """Note ids, and for each why its row is not taken."""
        self._database.executemany("INSERT INTO row(id, fault) VALUES (?, ?)", rows)

    def add_frame(self, frame_id: str, references: Iterable[str]) -> None:
        """Note a frame whose row and blob are in order, and what it refers to."""
        self._database.execute("INSERT INTO frame(id) VALUES (?)", (frame_id,))
        self._database.executemany("INSERT INTO reference VALUES (?, ?)", ((frame_id, item) for item in references))

    def add_statement(self, record_id: str, frame_id: str) -> None:
        """Note a record that says a frame is complete."""
        self._database.execute("INSERT INTO statement VALUES (?, ?)", (record_id, frame_id))

    def missing_references(self) -> Iterator[tuple[str, str]]:
        """Frames, and what they refer to that is no row of the bundle."""
        query = "SELECT frame, id FROM reference WHERE id NOT IN (SELECT id FROM row WHERE fault IS NULL)"
        return iter(self._database.execute(query).fetchall())

    def drop_frames(self, frame_ids: Iterable[str]) -> None:
        """Take out frames that are not complete after all."""
        self._database.executemany("DELETE FROM frame WHERE id = ?", ((frame_id,) for frame_id in frame_ids))

    def settle_statements(self) -> None:
        """Note of each statement about a frame that is not complete that its row is not taken."""
        unproven = "SELECT id FROM statement WHERE frame NOT IN (SELECT id FROM frame)"
        query = f"UPDATE row SET fault = ? WHERE fault IS NULL AND id IN ({unproven})"  # noqa: S608 our own text
        self._database.execute(query, (UNPROVEN,))

    def refuse(self, record_id: str, fault: str) -> None:
        """Note of a row why it is not taken."""
        self._database.execute("UPDATE row SET fault = ? WHERE id = ?", (fault, record_id))

    def faulty(self, fault: str) -> list[str]:
        """The ids that are not taken for a reason, in order."""
        return [row[0] for row in self._database.execute("SELECT id FROM row WHERE fault = ? ORDER BY id", (fault,))]

    def refused(self, record_ids: Sequence[str]) -> set[str]:
        """Tell which of some ids are not taken."""
        marks = ",".join("?" * len(record_ids))
        query = f"SELECT id FROM row WHERE fault IS NOT NULL AND id IN ({marks})"  # noqa: S608 only question marks
        return {row[0] for row in self._database.execute(query, record_ids)}

    def frames_complete(self) -> int:
        """Count the frames that are complete."""
        return int(self._database.execute("SELECT count(*) FROM frame").fetchone()[0])

    def _members(self, where: str, *values: object) -> list[Listed]:
        query = f"SELECT path, part, size, sha256, claimed, source, target, is_new FROM member {where}"  # noqa: S608
        return [
            Listed(path, Part(part), size, sha256, claimed == _IN_PLACE, os.fsdecode(source), _text(target), new > 0)
            for path, part, size, sha256, claimed, source, target, new in self._database.execute(query, values)
        ]


def _text(path: bytes | None) -> str | None:
    return None if path is None else os.fsdecode(path)
