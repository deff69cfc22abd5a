"""Lines in the order in which a person would read them."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.serving import TextLine

Box = tuple[int, int, int, int]


def reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Sort lines by row, then from left to right; the same lines come out in the same order, however they came in.

    A row starts with the topmost line left, and takes each following line that shares at least half of the lower of
    the two heights with that first line:

        |first|  ________  |third|
                 |second|
        |fourth|                        two rows
    """
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: (line.bbox[1], line.bbox[0], line.bbox, line.text)):
        if rows and _same_row(rows[-1][0].bbox, line.bbox):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.bbox[0], line.bbox, line.text))]


def _same_row(first: Box, other: Box) -> bool:
    shared = min(first[3], other[3]) - max(first[1], other[1])
    return 2 * shared >= min(first[3] - first[1], other[3] - other[1])
