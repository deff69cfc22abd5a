"""Writes a bundle, member by member, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pipeline.bundles.zip_form import MANIFEST, MEMBERS, central_record, end_records, local_header, local_header_size
from schemas.bundle import BundleMember
from schemas.canonical import canonical_json, sha256_hex

BLOCK = 1 << 20


class BundleWriter:
    """A bundle under construction. Use as a context manager; members come in the order of their names.

    The same members give the same bytes. What is known of each goes to disk at once: to `members.ndjson` and to the
    central directory, which are put behind the last one.
    """

    def __init__(self, path: Path, spool: Path) -> None:
        """Make the file, which must not be there, private; `spool` is a directory for work in progress."""
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        self._lines: IO[bytes] = TemporaryFile(dir=spool)  # noqa: SIM115 closed with the bundle
        self._directory: IO[bytes] = TemporaryFile(dir=spool)  # noqa: SIM115
        self._count = 0
        self._members_digest = hashlib.sha256()

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._lines, self._directory, self._file):
            file.close()

    def add(self, name: str, blocks: Iterable[bytes]) -> BundleMember:
        """Write the next member; tells what it came to. Raises OSError."""
        member = self._write(name, blocks)
        line = canonical_json(member.model_dump()) + b"\n"
        self._members_digest.update(line)
        self._lines.write(line)
        return member

    @property
    def members_sha256(self) -> str:
        """The hash of `members.ndjson` as it stands."""
        return self._members_digest.hexdigest()

    def finish(self, manifest: bytes) -> str:
        """Write what vouches for the members, and make all of it durable; returns the hash of the manifest."""
        self._lines.seek(0)
        self._write(MEMBERS, read_blocks(self._lines))
        self._write(MANIFEST, [manifest])
        directory_at, directory_size = self._file.tell(), self._directory.tell()
        self._directory.seek(0)
        shutil.copyfileobj(self._directory, self._file, BLOCK)
        self._file.write(end_records(self._count, directory_size, directory_at))
        self._file.flush()
        os.fsync(self._file.fileno())
        return sha256_hex(manifest)

    def _write(self, name: str, blocks: Iterable[bytes]) -> BundleMember:
        """Write a member and, once its size and checksum are known, the header before it."""
        offset = self._file.tell()
        self._file.write(bytes(local_header_size(name)))
        digest, crc, size = hashlib.sha256(), 0, 0
        for block in blocks:
            digest.update(block)
            crc = zlib.crc32(block, crc)
            size += len(block)
            self._file.write(block)
        end = self._file.tell()
        self._file.seek(offset)
        self._file.write(local_header(name, size, crc))
        self._file.seek(end)
        self._directory.write(central_record(name, size, crc, offset))
        self._count += 1
        return BundleMember(path=name, size=size, sha256=digest.hexdigest())


def read_blocks(file: IO[bytes], limit: int | None = None) -> Iterator[bytes]:
    """Read a file to its end, or as many bytes of it as `limit` says. Raises OSError."""
    left = limit
    while block := file.read(BLOCK if left is None else min(BLOCK, left)):
        yield block
        left = None if left is None else left - len(block)
