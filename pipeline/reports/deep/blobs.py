"""The blobs: where each lies, what it holds, and what lies in `media/` that no record claims `[root-1]`."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.rows import BlobClaim
from pipeline.reports.deep.scratch import PlacedBlob, Scratch
from pipeline.stores.atomic import TEMPORARY_PREFIX

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES = 1 << 20
_IN_FLIGHT = 64
_MOST_DEPTH = 16


def place_blob(root: DataRoot, record_id: str, claim: BlobClaim, findings: Findings) -> PlacedBlob:
    """Say where a record's blob lies: its canonical place; where nothing is there, the one that the payload names."""
    path = claim.canonical
    if claim.named is not None and claim.named != claim.canonical and not os.path.lexists(root.path / claim.canonical):
        named = PurePosixPath(claim.named.replace("\\", "/"))
        if named.is_absolute() or ".." in named.parts or "\0" in claim.named:
            findings.add("blob_path_unusable", record_id)
        elif _exists(root.path / named):
            findings.add("blob_path_differs", record_id)
            path = str(named)
    return PlacedBlob(record_id, path, claim.content_hash, claim.size)


@dataclass(frozen=True, slots=True)
class BlobState:
    """What was found in a blob's place: the code of a finding, or none; its size; how many names its inode has."""

    code: str
    size: int = 0
    links: int = 1


@dataclass
class BlobTotals:
    """How many blobs were looked at."""

    blobs: int = 0
    bytes: int = 0
    linked: int = 0
    """Blobs whose inode has another name: whoever holds that can still write into the evidence."""


class BlobChecks:
    """Looks at blobs, a few at a time."""

    def __init__(self, root: DataRoot, findings: Findings) -> None:
        self._root = root.path
        self._findings = findings
        self._inside: dict[str, bool] = {}
        self.totals = BlobTotals()

    def check(self, blobs: Iterator[PlacedBlob], advance: Callable[[int], None]) -> None:
        """Look at each blob, hash it, and count what is wrong."""
        threads = min(4, os.cpu_count() or 1)
        waiting: deque[tuple[PlacedBlob, Future[BlobState]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for blob in blobs:
                waiting.append((blob, pool.submit(self._look, blob, self._is_inside(blob.path))))
                if len(waiting) >= _IN_FLIGHT:
                    self._take(*waiting.popleft())
                    advance(1)
            while waiting:
                self._take(*waiting.popleft())
                advance(1)

    def _take(self, blob: PlacedBlob, found: Future[BlobState]) -> None:
        state = found.result()
        self.totals.blobs += 1
        self.totals.bytes += state.size
        self.totals.linked += state.links > 1
        if state.code:
            self._findings.add(state.code, blob.record_id)

    def _look(self, blob: PlacedBlob, is_inside: bool) -> BlobState:
        if not is_inside:
            return BlobState("blob_outside")
        try:
            descriptor = os.open(self._root / blob.path, _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return BlobState("blob_missing")
        except (OSError, ValueError):
            return BlobState("blob_not_a_file" if (self._root / blob.path).is_symlink() else "blob_unreadable")
        try:
            return _compare(descriptor, blob)
        except OSError:
            return BlobState("blob_unreadable")
        finally:
            os.close(descriptor)

    def _is_inside(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        if folder not in self._inside:
            if len(self._inside) > 100_000:
                self._inside.clear()
            self._inside[folder] = (self._root / folder).resolve().is_relative_to(self._root.resolve())
        return self._inside[folder]


def find_orphans(root: DataRoot, scratch: Scratch, findings: Findings) -> int:
    """Walk over `media/` for what no record claims; returns how many files there are. Temporary files do not count."""
    files = 0
    for path, mode in _walk(root.media, root.media.name, 0, findings):
        if not stat.S_ISREG(mode):
            findings.add("media_not_a_file", path)
        else:
            files += 1
            if not scratch.is_claimed(path):
                findings.add("blob_orphan", path)
    return files


def _walk(folder: Path, prefix: str, depth: int, findings: Findings) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries)
    except FileNotFoundError:
        return
    except OSError:
        findings.add("layout_unreadable", prefix)
        return
    for name, mode in found:
        if name.startswith(TEMPORARY_PREFIX):
            continue
        if stat.S_ISDIR(mode) and depth < _MOST_DEPTH:
            yield from _walk(folder / name, f"{prefix}/{name}", depth + 1, findings)
        else:
            yield f"{prefix}/{name}", mode


def _compare(descriptor: int, blob: PlacedBlob) -> BlobState:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        return BlobState("blob_not_a_file")
    code = ""
    if blob.size is not None and blob.size != found.st_size:
        code = "blob_size_differs"
    elif blob.sha256 is not None and hash_open_file(descriptor) != blob.sha256:
        code = "blob_hash_differs"
    return BlobState(code, found.st_size, found.st_nlink)


def hash_open_file(descriptor: int) -> str:
    """Hash what an open file holds. Raises OSError."""
    digest = hashlib.sha256()
    while block := os.read(descriptor, _READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False
