"""The pictures of a chronicle session, as much of them as its reading needs; and how that reaches the reader."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.ingest.reader_frames import BadFrame, Kind, pack, read_frame, unpack

PNG_HEAD_BYTES = 33
_A_FRAME = 5_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A file below a session's `frames/`: the hash of all of it, and its first 33 bytes."""

    sha256: str
    head: bytes


def write_pictures(path: Path, pictures: Mapping[str, Picture]) -> None:
    """Write a new file. Raises OSError."""
    remaining = iter(pictures.items())
    with path.open("xb") as file:
        while chunk := list(islice(remaining, _A_FRAME)):
            values = (value for name, found in chunk for value in (os.fsencode(name), found.sha256, found.head))
            file.write(pack(Kind.pictures, values))


def read_pictures(path: Path) -> dict[str, Picture]:
    """Read that file, in the reader. Raises BadFrame, OSError."""
    pictures = {}
    with path.open("rb") as file:
        while frame := read_frame(file):
            values = unpack(frame[1])
            for name, digest, head in zip(values[0::3], values[1::3], values[2::3], strict=True):
                if not (isinstance(name, bytes) and isinstance(digest, str) and isinstance(head, bytes)):
                    raise BadFrame("no picture")
                pictures[os.fsdecode(name)] = Picture(digest, head)
    return pictures
