"""Makes a SQLite write-ahead log reproducible: SQLite draws its salts at random, and its checksums follow from them.

Layout: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct

HEADER, FRAME_HEADER = 32, 24
SALTS = struct.pack(">II", 1, 2)


def fix_salts(log: bytes) -> bytes:
    """Give a log fixed salts and the checksums that go with them; its pages stay as they are."""
    magic, _, page_size, _ = struct.unpack(">IIII", log[:16])
    order = ">" if magic & 1 else "<"
    head = log[:16] + SALTS
    sums = _checksum(head, (0, 0), order)
    result = [head, struct.pack(">II", *sums)]
    for start in range(HEADER, len(log), FRAME_HEADER + page_size):
        where, page = log[start : start + 8], log[start + FRAME_HEADER : start + FRAME_HEADER + page_size]
        sums = _checksum(where + page, sums, order)
        result += [where, SALTS, struct.pack(">II", *sums), page]
    return b"".join(result)


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
