"""A private copy of a handoff's database, so that reading it changes nothing in the handoff `[handoff-8]`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ContractInvalid
from pipeline.ingest.handoff_directory import DATABASE, WAL, Entry, HandoffDirectory, Look

_ROLLBACK_JOURNAL = "metadata.db-journal"
_LARGEST_HOLE = 1 << 30
_MOST_COMPRESSION = 64
"""A file system that compresses holds far fewer bytes than a file has, but hardly as few."""
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


@dataclass
class Findings:
    """What was found while rows were made of something that is no database."""

    warnings: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    """What speaks against the handoff, by record id where it is about a record: that one is then not complete."""
    sealed: dict[str, str] = field(default_factory=dict)
    """Path → sha256 of the files that the producer vouches for."""


@dataclass(frozen=True)
class Snapshot:
    """A private database of a handoff's rows, and the hashes of the files that were read for it, by path."""

    database: Path
    hashes: dict[str, str]
    findings: Findings = field(default_factory=Findings)


def take_snapshot(directory: HandoffDirectory, look: Look, private: Path) -> Snapshot:
    """Copy the database with its WAL and rollback journal into a private directory.

    A dead producer's committed rows may be in the WAL only, and a torn transaction in the rollback journal.
    Raises ContractInvalid without a database, StillBeingWritten, OSError.
    """
    if DATABASE not in look.files:
        raise ContractInvalid(
            f"no {DATABASE} in it; a handoff dir must have one",
            remedy="have the producer hand the dir off again; it was left as it is",
        )
    _refuse_super_journal(directory, look.files.get(_ROLLBACK_JOURNAL))
    wanted = [look.files[DATABASE], look.wal, look.files.get(_ROLLBACK_JOURNAL)]
    hashes = {entry.path: _copy(directory, entry, private / entry.path) for entry in wanted if entry is not None}
    return Snapshot(private / DATABASE, hashes)


def foreign_bytes(look: Look) -> int:
    """How many bytes of a handoff are parsed: its database and log, or the streams of a session."""
    wal = look.wal.size if look.wal is not None else 0
    return wal + sum(
        entry.size for path, entry in look.files.items() if path in (DATABASE, _ROLLBACK_JOURNAL) or path[:5] == "meta/"
    )


def database_files(look: Look) -> list[Entry]:
    """The files that make up the database as the handoff holds it: what is kept when it holds more than rows."""
    return [look.files[DATABASE], *([look.wal] if look.wal is not None else [])]


def is_database_file(path: str) -> bool:
    """Tell whether a path is the database itself or its WAL."""
    return path in (DATABASE, WAL)


def _copy(directory: HandoffDirectory, entry: Entry, target: Path) -> str:
    _refuse_hole(directory, entry)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    try:
        return directory.copy_file(entry, descriptor)
    finally:
        os.close(descriptor)


def _refuse_hole(directory: HandoffDirectory, entry: Entry) -> None:
    """A file can say that it has terabytes and hold none: copying it would fill the disk."""
    if entry.size < _LARGEST_HOLE:
        return
    with directory.opened(entry) as descriptor:
        held = os.fstat(descriptor).st_blocks * 512
    if entry.size - held > _LARGEST_HOLE and entry.size > _MOST_COMPRESSION * held:
        raise ContractInvalid(
            f"{entry.path} says that it has {entry.size} bytes, and hardly any of it is on the disk: {held}",
            remedy="have the producer hand the dir off again; it was left as it is",
        )


def _refuse_super_journal(directory: HandoffDirectory, journal: Entry | None) -> None:
    """SQLite deletes the file that a journal names as its super-journal: no handoff may choose such a file."""
    if journal is None or journal.size < len(_JOURNAL_MAGIC):
        return
    with directory.opened(journal) as descriptor:
        ending = os.pread(descriptor, len(_JOURNAL_MAGIC), journal.size - len(_JOURNAL_MAGIC))
    if ending == _JOURNAL_MAGIC:
        raise ContractInvalid(
            f"{_ROLLBACK_JOURNAL} belongs to a transaction over several databases, which cannot be read alone",
            remedy="open and close metadata.db once where it was made, then hand it off again",
        )
