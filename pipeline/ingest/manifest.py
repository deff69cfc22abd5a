"""The digest that binds a marker to what was in a handoff, and the handoff's name in the DataRoot `[handoff-11]`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from pipeline.ingest.handoff_directory import path_text
from pipeline.stores.metadata import MetadataRow
from schemas.canonical import canonical_json, canonical_sha256, sha256_hex

_LONGEST_NAME = 200


class ManifestDigest:
    """`handoff_manifest_sha256`: over the canonical JSON `{"files": [[path, size, sha256]…], "rows": [[id, hash]…]}`.

    Files are sorted by path: all but the marker and SQLite's `-wal` and `-shm`. Rows are sorted by id; their hash is
    the sha256 of the payload's bytes as stored, which unlike a payload's own `payload_hash` needs no trust. Rows are
    fed one by one, so that a large handoff costs no memory.
    """

    def __init__(self, files: Mapping[str, tuple[int, str]]) -> None:
        listed = sorted([path_text(path), size, digest] for path, (size, digest) in files.items())
        self._digest = hashlib.sha256(b'{"files":' + _canonical(listed) + b',"rows":[')
        self._separator = b""

    def add(self, row: MetadataRow) -> None:
        """Add the next row, in the order of ids."""
        self._digest.update(self._separator + _canonical([row.record_id, sha256_hex(row.payload_bytes)]))
        self._separator = b","

    def hexdigest(self) -> str:
        """The digest of what was added so far, as if it were all."""
        whole = self._digest.copy()
        whole.update(b"]}")
        return whole.hexdigest()


def _canonical(listed: list[Any]) -> bytes:
    """Canonical JSON of lists of text and integers; without letters beyond ASCII it is that already."""
    plain = orjson.dumps(listed)
    return plain if plain.isascii() else canonical_json(listed)


def kept_files_digest(files: Mapping[str, tuple[int, str]]) -> str:
    """Hash the canonical JSON `[[path, size, sha256]…]`, by path, of the files that a handoff's folder keeps."""
    return canonical_sha256(sorted([path_text(path), size, digest] for path, (size, digest) in files.items()))


def handoff_id(path: Path, manifest_sha256: str) -> str:
    """Name a handoff: its directory's name, safe as a file name, and 16 hex digits of its manifest `[handoff-2]`."""
    name = quote(os.fsencode(path.name), safe="")[:_LONGEST_NAME]
    if name.startswith("."):
        name = "%2E" + name[1:]
    return f"{name}-{manifest_sha256[:16]}"
