"""Reads a bundle front to back and believes nothing: every byte is either content that was hashed, or foreseen."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from pipeline.bundles.names import REMEDY
from pipeline.bundles.writing import BLOCK
from pipeline.bundles.zip_form import (
    END_SIZE,
    MANIFEST,
    MEMBERS,
    central_record,
    central_record_size,
    crc_in,
    end_records,
    local_header,
    local_header_size,
    read_central_record,
    read_end_records,
)
from pipeline.errors import ContractInvalid
from schemas.bundle import BundleManifest, BundleMember
from schemas.canonical import canonical_json, sha256_hex
from schemas.contract_version import CONTRACT_VERSION

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LONGEST_LINE = 1 << 14
_LARGEST_MANIFEST = 1 << 18
_OTHER_FORM = "it is cut short, changed, or no bundle of `pipeline bundle create`"


class BundleReader:
    """A bundle, open. Use as a context manager.

        member … member  members.ndjson  bundle.json │ central directory │ end
        0                members_at      manifest_at   directory_at

    Raises ContractInvalid for whatever is not as it was written, OSError.
    """

    def __init__(self, path: Path) -> None:
        """Open a bundle and read its manifest; the members are not looked at yet."""
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._open()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def walk(self) -> Iterator[tuple[BundleMember, Content]]:
        """Give every member with its content, in order; the bundle is proven when the walk has come to its end.

        A member is proven when the next one is asked for, whether its content was read or not.
        """
        lines = io.BufferedReader(_Region(self._file, self._lines_at, self._manifest_at), BLOCK)
        directory = io.BufferedReader(_Region(self._file, self._directory_at, self._end_at), BLOCK)
        position, previous, digest, lines_crc = 0, "", hashlib.sha256(), 0
        while line := lines.readline(_LONGEST_LINE):
            digest.update(line)
            lines_crc = zlib.crc32(line, lines_crc)
            member = _read_line(line)
            if member.path <= previous:
                raise _refused("its members are not in order, or one is there twice")
            start = position + local_header_size(member.path)
            if start + member.size > self._members_at:
                raise _refused("a member is larger than the bundle has room for")
            crc = self._header(member.path, member.size, position)
            content = Content(self._file, start, member)
            yield member, content
            content.prove(crc)
            _require_record(directory, member.path, member.size, crc, position)
            position, previous = start + member.size, member.path
        if position != self._members_at or digest.hexdigest() != self.manifest.members_sha256:
            raise _refused(f"its members are not those that {MEMBERS} and {MANIFEST} tell of")
        self._require_own_records(directory, lines_crc)

    def _open(self) -> None:
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            raise _refused("it is no regular file")
        self._end_at = found.st_size - END_SIZE
        if self._end_at < 0:
            raise _refused(_OTHER_FORM)
        tail = os.pread(self._file, END_SIZE, self._end_at)
        self._count, size, self._directory_at = read_end_records(tail)
        if self._directory_at + size != self._end_at or tail != end_records(self._count, size, self._directory_at):
            raise _refused(_OTHER_FORM)
        self._find_own_members()
        self._manifest_bytes = os.pread(self._file, self._manifest_size, self._directory_at - self._manifest_size)
        self.manifest_sha256 = sha256_hex(self._manifest_bytes)
        self.manifest = _read_manifest(self._manifest_bytes)
        _require_contract(self.manifest)

    def _find_own_members(self) -> None:
        """Find `members.ndjson` and `bundle.json`: the last two records, whose length is known."""
        last, before = central_record_size(MANIFEST), central_record_size(MEMBERS)
        if self._end_at - self._directory_at < last + before:
            raise _refused(_OTHER_FORM)
        records = os.pread(self._file, last + before, self._end_at - last - before)
        self._manifest_size, self._manifest_header_at = read_central_record(records)
        self._lines_size, self._members_at = read_central_record(records[:before])
        self._lines_at = self._members_at + local_header_size(MEMBERS)
        self._manifest_at = self._lines_at + self._lines_size
        fits = (
            self._manifest_at == self._manifest_header_at
            and self._manifest_at + local_header_size(MANIFEST) + self._manifest_size == self._directory_at
        )
        if not fits or self._manifest_size > _LARGEST_MANIFEST:
            raise _refused(_OTHER_FORM)

    def _header(self, name: str, size: int, position: int) -> int:
        """Require the header of a member at a place; returns the checksum in it."""
        found = os.pread(self._file, local_header_size(name), position)
        crc = crc_in(found)
        if found != local_header(name, size, crc):
            raise _refused("a member's header is not as its line in the manifest demands")
        return crc

    def _require_own_records(self, directory: BinaryIO, lines_crc: int) -> None:
        """Require that all that is left is the two members of our own, and that the count was right."""
        own = (
            (MEMBERS, self._lines_size, lines_crc, self._members_at),
            (MANIFEST, self._manifest_size, zlib.crc32(self._manifest_bytes), self._manifest_header_at),
        )
        for name, size, crc, position in own:
            if self._header(name, size, position) != crc:
                raise _refused("a checksum is wrong")
            _require_record(directory, name, size, crc, position)
        counts = self.manifest.counts
        if directory.read(1) or self._count != counts.media_files + counts.other_files + len(own):
            raise _refused("it does not hold as many members as it says")


class Content:
    """What a member holds; can be read once."""

    def __init__(self, file: int, start: int, member: BundleMember) -> None:
        self._file = file
        self._next, self._end = start, start + member.size
        self._sha256 = member.sha256
        self._digest, self._crc = hashlib.sha256(), 0

    def blocks(self) -> Iterator[bytes]:
        """Read it; not proven before the end."""
        while self._next < self._end:
            block = os.pread(self._file, min(BLOCK, self._end - self._next), self._next)
            if not block:
                raise _refused("it was cut short while it was read")
            self._digest.update(block)
            self._crc = zlib.crc32(block, self._crc)
            self._next += len(block)
            yield block

    def prove(self, crc: int) -> None:
        """Read what was not read yet, and require that all of it is what the manifest says."""
        for _ in self.blocks():
            pass
        self.require_whole()
        if self._crc != crc:
            raise _refused("a checksum is wrong")

    def require_whole(self) -> None:
        """Require that what was read is all of it and hashes to what the manifest says."""
        if self._next != self._end or self._digest.hexdigest() != self._sha256:
            raise _refused("a member's content does not hash to what the manifest says")


class _Region(io.RawIOBase):
    """A stretch of an open file, read at a pace of its own."""

    def __init__(self, file: int, start: int, end: int) -> None:
        self._file, self._next, self._end = file, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        count = os.preadv(self._file, [view[: max(0, self._end - self._next)]], self._next)
        self._next += count
        return count


def _read_line(line: bytes) -> BundleMember:
    try:
        member = BundleMember.model_validate_json(line)
    except ValidationError as error:
        raise _refused(f"a line of {MEMBERS} is not of its form") from error
    if canonical_json(member.model_dump()) + b"\n" != line or not member.path.isascii():
        raise _refused(f"a line of {MEMBERS} is not of its form")
    return member


def _read_manifest(data: bytes) -> BundleManifest:
    try:
        manifest = BundleManifest.model_validate_json(data)
    except ValidationError as error:
        raise _refused(f"{MANIFEST} is not of its form") from error
    if canonical_json(manifest.model_dump(by_alias=True)) + b"\n" != data:
        raise _refused(f"{MANIFEST} is not of its form")
    return manifest


def _require_contract(manifest: BundleManifest) -> None:
    """A backup of an older minor version is read for ever; of another major one, by the program that wrote it."""
    if manifest.contract_version.partition(".")[0] != CONTRACT_VERSION.partition(".")[0]:
        raise ContractInvalid(
            f"the bundle is of contract {manifest.contract_version}; this pipeline reads {CONTRACT_VERSION}",
            remedy="restore it with a pipeline of that version",
        )


def _require_record(directory: BinaryIO, name: str, size: int, crc: int, position: int) -> None:
    expected = central_record(name, size, crc, position)
    if directory.read(len(expected)) != expected:
        raise _refused("its central directory and its members disagree")


def _refused(why: str) -> ContractInvalid:
    return ContractInvalid(f"the bundle cannot be trusted: {why}", remedy=REMEDY)
