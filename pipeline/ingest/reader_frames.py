"""What goes between ingest and the processes that work for it: frames of plain values, and nothing else.

    kind (1 byte) │ length of the rest (4 bytes) │ number of values (4) │ a tag each │ a size each (4) │ their bytes

No nesting, no names, no code: whatever a reader sends, taking a frame apart yields a flat list of five types, or fails.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import Enum
from typing import BinaryIO

from pipeline.stores.metadata import Value

HEADER_BYTES = 5
MAX_FRAME_BYTES = 96 << 20
"""A row of 17 Mi characters, four bytes each, and what comes before it in its chunk."""

_COUNT = struct.Struct(">I")
_HEADER = struct.Struct(">cI")
_NULL, _TEXT, _BYTES, _INTEGER, _FLOAT = b"NTBIF"
_FLOATING = struct.Struct(">d")
_LONGEST_INTEGER = 20


class Kind(Enum):
    """What a frame says."""

    database = b"D"
    """→ read this database: its path, the backend."""
    session = b"S"
    """→ read this session: its folder, its directory's name, the database to make."""
    pictures = b"P"
    """A name, a digest and the first bytes of each; in a file."""
    walk = b"W"
    """→ hand over all rows."""
    ready = b"r"
    """← waiting for a request: what confines the process."""
    opened = b"o"
    """← the database is in order: what was chosen."""
    rows = b"R"
    """← five values for each row."""
    findings = b"f"
    """← pieces of what was found: its list, then one or two values for each."""
    done = b"d"
    """← all of it was handed over, or what was asked for is done."""
    rejected = b"x"
    """← it breaks the contract: why, and what to do."""
    failed = b"!"
    """← the reader itself came to its end: the kind of error."""

    # What follows goes to and from the process that works on files; each frame begins with the request's number.
    hash = b"H"
    """→ hash files: the handoff dir, whether to sync, the files as JSON."""
    link = b"L"
    """→ link files: the handoff dir, the files with their targets as JSON."""
    look = b"K"
    """→ look at a handoff dir: which one."""
    mark = b"M"
    """→ mark a handoff dir: how it must look, the marker."""
    survey = b"Y"
    """→ look at handoff dirs, of which some are marked: their paths."""
    unfinished = b"u"
    """← it changed: what was seen."""
    refused = b"e"
    """← the disk refused: the error's number and path."""


class BadFrame(Exception):
    """Bytes that are no frame."""


def pack(kind: Kind, values: Iterable[Value] = ()) -> bytes:
    """Make a frame."""
    tags, pieces = bytearray(), []
    for value in values:
        if isinstance(value, str):
            tags.append(_TEXT)
            pieces.append(value.encode())
        elif value is None:
            tags.append(_NULL)
            pieces.append(b"")
        elif isinstance(value, bytes):
            tags.append(_BYTES)
            pieces.append(value)
        elif isinstance(value, int):
            tags.append(_INTEGER)
            pieces.append(b"%d" % value)
        else:
            tags.append(_FLOAT)
            pieces.append(_FLOATING.pack(value))
    sizes = struct.pack(f">{len(pieces)}I", *map(len, pieces))
    body = b"".join((_COUNT.pack(len(pieces)), tags, sizes, *pieces))
    return _HEADER.pack(kind.value, len(body)) + body


def unpack_header(header: bytes) -> tuple[Kind, int]:
    """Read what a frame is and how many bytes follow. Raises BadFrame."""
    kind, size = _HEADER.unpack(header)
    if size > MAX_FRAME_BYTES:
        raise BadFrame("too large")
    try:
        return Kind(kind), size
    except ValueError as error:
        raise BadFrame("unknown kind") from error


def read_frame(file: BinaryIO) -> tuple[Kind, bytes] | None:
    """Read the next frame of a file, its values still packed; None at the end. Raises BadFrame."""
    header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    kind, size = unpack_header(header)
    return kind, file.read(size)


def unpack(body: bytes) -> list[Value]:
    """Take the values out of a frame. Raises BadFrame."""
    try:
        (count,) = _COUNT.unpack_from(body)
        start = _COUNT.size + 5 * count
        if start > len(body):
            raise BadFrame("cut off")
        sizes = struct.unpack_from(f">{count}I", body, _COUNT.size + count)
        if start + sum(sizes) != len(body):
            raise BadFrame("cut off, or more than it says")
        values: list[Value] = []
        for tag, size in zip(body[_COUNT.size : _COUNT.size + count], sizes, strict=True):
            piece = body[start : start + size]
            values.append(piece.decode() if tag == _TEXT else _value(tag, piece))
            start += size
    except (struct.error, ValueError) as error:
        raise BadFrame("values that are none") from error
    return values


def _value(tag: int, piece: bytes) -> Value:
    if tag == _BYTES:
        return piece
    if tag == _INTEGER and len(piece) <= _LONGEST_INTEGER and -(1 << 63) <= (number := int(piece)) < 1 << 63:
        return number
    if tag == _FLOAT:
        value: float = _FLOATING.unpack(piece)[0]
        return value
    if tag == _NULL and not piece:
        return None
    raise BadFrame("an unknown type")
