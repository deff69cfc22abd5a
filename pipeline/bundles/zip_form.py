"""The bytes between a bundle's members: the one form of headers that is written, and the only one that is read.

PKWARE's APPNOTE 6.3: stored members, the zip64 extra field always there, the time of 1980-01-01, mode 600. Any program
that unzips opens it.
"""

from __future__ import annotations

import struct

MEMBERS = "members.ndjson"
MANIFEST = "bundle.json"

_VERSION = 45
_UNIX = 3 << 8
_DAY = (1 << 5) | 1  # 1980-01-01, the earliest there is
_REGULAR_600 = 0o100600 << 16
_IN_EXTRA = 0xFFFFFFFF
_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_EXTRA = struct.Struct("<2H2Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CENTRAL_EXTRA = struct.Struct("<2H3Q")
_END = struct.Struct("<4sQ2H2I4Q4sIQI4s4H2IH")
_CRC_AT = 14

END_SIZE = _END.size


def local_header(name: str, size: int, crc: int) -> bytes:
    """What stands before a member's content."""
    encoded = name.encode("ascii")
    extra = _LOCAL_EXTRA.pack(1, 16, size, size)
    header = _LOCAL.pack(
        b"PK\3\4", _VERSION, 0, 0, 0, _DAY, crc, _IN_EXTRA, _IN_EXTRA, len(encoded), len(extra)
    )  # fmt: skip
    return header + encoded + extra


def local_header_size(name: str) -> int:
    """How many bytes `local_header` has."""
    return _LOCAL.size + len(name) + _LOCAL_EXTRA.size


def crc_in(header: bytes) -> int:
    """The checksum that a local header holds: the one part of it that only reading the content can prove."""
    return int.from_bytes(header[_CRC_AT : _CRC_AT + 4], "little")


def central_record(name: str, size: int, crc: int, offset: int) -> bytes:
    """A member's entry in the central directory; `offset` is that of its local header."""
    encoded = name.encode("ascii")
    extra = _CENTRAL_EXTRA.pack(1, 24, size, size, offset)
    record = _CENTRAL.pack(
        b"PK\1\2", _UNIX | _VERSION, _VERSION, 0, 0, 0, _DAY, crc, _IN_EXTRA, _IN_EXTRA,
        len(encoded), len(extra), 0, 0, 0, _REGULAR_600, _IN_EXTRA,
    )  # fmt: skip
    return record + encoded + extra


def central_record_size(name: str) -> int:
    """How many bytes `central_record` has."""
    return _CENTRAL.size + len(name) + _CENTRAL_EXTRA.size


def read_central_record(record: bytes) -> tuple[int, int]:
    """Size and offset of the member that a central record of ours speaks of."""
    _, _, size, _, offset = _CENTRAL_EXTRA.unpack(record[-_CENTRAL_EXTRA.size :])
    return size, offset


def end_records(count: int, directory_size: int, directory_at: int) -> bytes:
    """What stands at the end: the zip64 end record, its locator, and the old end record, which points to them."""
    return _END.pack(
        b"PK\6\6", 44, _UNIX | _VERSION, _VERSION, 0, 0, count, count, directory_size, directory_at,
        b"PK\6\7", 0, directory_at + directory_size, 1,
        b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, _IN_EXTRA, _IN_EXTRA, 0,
    )  # fmt: skip


def read_end_records(tail: bytes) -> tuple[int, int, int]:
    """Count, size and place of the central directory, as the last bytes of a file claim them."""
    fields = _END.unpack(tail)
    return fields[6], fields[8], fields[9]
