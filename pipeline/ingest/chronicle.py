"""Chronicle sessions at the front door: what one is, and how it comes to rows that a handoff could hold `[handoff-9]`.

From there on it is a handoff as any other: the same checks, places, order of commits, marker.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import ContractInvalid
from pipeline.ingest.handoff_directory import DATABASE, Entry, HandoffDirectory, Look, hash_descriptor
from pipeline.ingest.look import is_there
from pipeline.ingest.reader import Reader
from pipeline.ingest.session_pictures import PNG_HEAD_BYTES, Picture
from pipeline.ingest.snapshot import Snapshot

SEAL = "COMPLETE.json"
_MANIFEST = "manifest.json"
_META = "meta"
_PREFIX = "session_"
_REMEDY = "have the recorder write the session again (docs/chronicle.md); it was left as it is"
_LARGEST = {
    _MANIFEST: 1 << 20,
    SEAL: 16 << 20,
    "meta/frames.pb.zst": 256 << 20,
    "meta/input.pb.zst": 256 << 20,
    "meta/detections.pb.zst": 256 << 20,
}
"""The files that are parsed, and how many bytes of each."""


def is_session_folder(path: Path) -> bool:
    """Tell whether a directory is, or will be, a chronicle session; one with a `metadata.db` is a handoff dir.

    Raises OSError.
    """
    if is_there(path / DATABASE):
        return False
    has_manifest, is_sealed = is_there(path / _MANIFEST), is_there(path / SEAL)
    return (path.name.startswith(_PREFIX) and (has_manifest or is_sealed or (path / _META).is_dir())) or (
        has_manifest and (is_sealed or (path / _META).is_dir())
    )


def is_sealed_folder(path: Path) -> bool:
    """Tell whether a directory is a chronicle session that its recorder has finished. Raises OSError."""
    return is_session_folder(path) and is_there(path / SEAL)


def is_session(look: Look) -> bool:
    """Tell whether what was seen of a directory is a sealed chronicle session."""
    return DATABASE not in look.files and SEAL in look.files


def take_session(directory: HandoffDirectory, look: Look, private: Path, reader: Reader) -> Snapshot:
    """Have a session read into a private database; all its files are hashed on the way.

    Raises ContractInvalid, StillBeingWritten, OSError, sqlite3.Error.
    """
    if _MANIFEST not in look.files:
        raise ContractInvalid(f"no {_MANIFEST} in it; a chronicle session must have one", remedy=_REMEDY)
    if look.wal is not None:
        raise ContractInvalid("it holds metadata.db-wal, and no metadata.db", remedy=_REMEDY)
    hashes: dict[str, str] = {}
    copies = private / "session"
    (copies / _META).mkdir(parents=True)
    for path in sorted(_LARGEST.keys() & look.files.keys()):
        hashes[path] = _copy(directory, look.files[path], copies / path)
    pictures = {}
    for path, entry in look.files.items():
        if path.startswith("frames/"):
            with directory.opened(entry) as descriptor:
                head = os.pread(descriptor, PNG_HEAD_BYTES, 0)
                hashes[path] = hash_descriptor(descriptor)
            pictures[path] = Picture(hashes[path], head)
    findings = reader.read_session(copies, directory.path.name, pictures, private / DATABASE)
    return Snapshot(private / DATABASE, hashes, findings)


def _copy(directory: HandoffDirectory, entry: Entry, target: Path) -> str:
    largest = _LARGEST[entry.path]
    if entry.size > largest:
        raise ContractInvalid(f"{entry.path} has {entry.size} bytes; the most is {largest}", remedy=_REMEDY)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        return directory.copy_file(entry, descriptor)
    finally:
        os.close(descriptor)
