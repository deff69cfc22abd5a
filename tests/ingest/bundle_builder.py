"""Bundles for tests: good ones by the command's own code, forged ones byte by byte."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handoff_builder import ingest_one, sha256, tree, whole_handoff

from pipeline.bundles.create import create_bundle
from pipeline.bundles.zip_form import MANIFEST, MEMBERS, central_record, end_records, local_header
from pipeline.dataroot import DataRoot
from schemas.canonical import canonical_json
from schemas.contract_version import CONTRACT_VERSION

Change = Callable[[bytes], bytes]


def a_root(place: Path, name: str = "a") -> Path:
    """A DataRoot with one handoff in it: six rows of the sidecar's, two frames, two files that no record names."""
    root = place / name
    assert ingest_one(root, whole_handoff(place / f"{name}-handoff").path).is_marked
    return root


def bundle_of(root: Path, out: Path, **options: Any) -> Path:
    create_bundle(DataRoot(root), out, **options)
    return out


def contents(bundle: Path) -> dict[str, bytes]:
    """The members of a bundle that are files of the DataRoot, by name, read with the standard library."""
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name not in (MEMBERS, MANIFEST)}


def manifest_of(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle) as archive:
        manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        return manifest


def lines_for(members: list[tuple[str, bytes]]) -> bytes:
    rows = ({"path": name, "size": len(data), "sha256": sha256(data)} for name, data in members)
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def forge(
    bundle: Path,
    members: list[tuple[str, bytes]],
    *,
    rows: int,
    lines: bytes | None = None,
    manifest: dict[str, Any] | None = None,
    raw_manifest: bytes | None = None,
    local: Change = bytes,
    central: Change = bytes,
    end: Change = bytes,
) -> Path:
    """Write a bundle in the form that the reader demands, but for what is given: a lie in one place."""
    lines = lines_for(members) if lines is None else lines
    media = sum(name.startswith("media/") for name, _ in members)
    fields = {
        "schema": "autocapture.bundle.v1",
        "contract_version": CONTRACT_VERSION,
        "counts": {
            "rows": rows,
            "media_files": media,
            "other_files": len(members) - media,
            "bytes": sum(len(data) for _, data in members),
        },
        "members_sha256": sha256(lines),
        "fault_count": 0,
        "faults": [],
        **(manifest or {}),
    }
    told = canonical_json(fields) + b"\n" if raw_manifest is None else raw_manifest
    content, directory = b"", b""
    for name, data in [*members, (MEMBERS, lines), (MANIFEST, told)]:
        header = local_header(name, len(data), zlib.crc32(data))
        record = central_record(name, len(data), zlib.crc32(data), len(content))
        is_first = not content
        content += (local(header) if is_first else header) + data
        directory += central(record) if is_first else record
    tail = end_records(len(members) + 2, len(directory), len(content))
    bundle.write_bytes(content + directory + end(tail))
    return bundle


def everything(root: Path) -> dict[str, Any]:
    """All that lies in a DataRoot, empty directories too, but the lock that an attempt leaves."""
    if not root.exists():
        return {}
    folders = {str(path.relative_to(root)): None for path in root.rglob("*") if path.is_dir()}
    files = {name: data for name, data in tree(root).items() if name != "derived/ingest.lock"}
    return {**{name: None for name in folders if name not in ("derived", "derived/tmp")}, **files}


def owner_only(path: Path) -> bool:
    return oct(path.stat().st_mode & 0o777) == "0o600"
