"""Lines of a frame as they stand side by side and below each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.query.findings import Desk
from pipeline.query.mentions import Mention, of_track, window_box
from pipeline.stores.index_rows import Box, FrameRow


def lines_on(desk: Desk, frame: FrameRow) -> list[Mention]:
    """The lines of a frame that a track begins or ends in, or lasts over unmoved, from top to bottom.

    A line that moved in between is cited where its track begins.
    """
    found: dict[str, Mention] = {}
    for track in desk.index.tracks_on(frame):
        mention = of_track(desk.index, track, last=track.last_ts == frame.ts and track.first_ts != frame.ts)
        found[mention.row_id] = mention
    return sorted(found.values(), key=lambda item: (item.box[1], item.box[0], item.row_id))


def inside(lines: Iterable[Mention], box: Box) -> list[Mention]:
    """Lines whose middle lies in a box."""
    return [line for line in lines if _within(line.box, box)]


def in_window(lines: Iterable[Mention], frame: FrameRow) -> list[Mention]:
    """Lines whose middle lies in the active window of a frame."""
    return inside(lines, window_box(frame, frame))


def row_of(lines: Sequence[Mention], line: Mention) -> list[Mention]:
    """The lines that stand in one row with a line, it included, from left to right."""
    same = [item for item in lines if item is line or _same_row(item.box, line.box)]
    return sorted(same, key=lambda item: item.box[0])


def _same_row(a: Box, b: Box) -> bool:
    shared = min(a[3], b[3]) - max(a[1], b[1])
    return 2 * shared >= min(a[3] - a[1], b[3] - b[1])


def _within(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    return outer[0] <= x < outer[2] and outer[1] <= y < outer[3]
