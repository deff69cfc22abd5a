"""Places where evidence or a record says something: what citations are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.query.evidence import Evidence
from pipeline.query.timeline import Seen
from pipeline.stores.index_rows import Box, FrameRow, RecordRow, TrackRow, VisitRow, WindowRow
from pipeline.stores.text_index import TextIndex
from schemas.record_types import FRAME, MODEL_OUTPUT, UIA_SNAPSHOT, WINDOW

OCR, TITLE, ADDRESS = "ocr", "window", "uia"


@dataclass(frozen=True)
class Mention:
    """A text in a record, the span of it that counts, and the frame and box where it is seen."""

    source: str
    record_id: str
    record_type: str
    frame: FrameRow
    ts: int
    box: Box
    whole: str
    start: int
    end: int
    row_id: str
    line: int | None = None
    proof: bytes = b""
    record: RecordRow | None = None
    score: int = 10_000

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]

    def narrowed(self, part: str) -> Mention:
        """The same place, with the span of a part of its text; the whole when the part is not in it."""
        at = self.whole.casefold().find(part.casefold())
        same_length = len(self.whole) == len(self.whole.casefold())
        return self if at < 0 or not same_length else replace(self, start=at, end=at + len(part))


def of_track(index: TextIndex, track: TrackRow, *, last: bool = False) -> Mention:
    """A line of text, as the first (or last) frame of its track shows it."""
    record = index.record(track.last_record if last else track.first_record)
    frame = index.frame(record.frame)
    return Mention(
        OCR, record.record_id, MODEL_OUTPUT, frame, frame.ts, track.last_box if last else track.first_box,
        track.text, 0, len(track.text), f"{record.record_id}#{track.last_line if last else track.first_line}",
        track.last_line if last else track.first_line, track.last_proof if last else track.first_proof, record,
        track.score,
    )  # fmt: skip


def of_frame(frame: FrameRow) -> Mention:
    """The title of the window that was active in a frame."""
    title = frame.title or ""
    return Mention(TITLE, frame.frame_id, FRAME, frame, frame.ts, window_box(frame, frame), title, 0, len(title),
                   frame.frame_id)  # fmt: skip


def of_window(index: TextIndex, window: WindowRow, shown: FrameRow | None = None) -> Mention | None:
    """A window change, and a frame that shows it, if known; none when its run has no frame at all."""
    frame = shown or index.frame_of_window(window)
    if frame is None:
        return None
    return Mention(TITLE, window.record_id, WINDOW, frame, window.ts, window_box(window, frame), window.title, 0,
                   len(window.title), window.record_id)  # fmt: skip


def of_visit(index: TextIndex, evidence: Evidence, visit: VisitRow, *, last: bool = False) -> Mention:
    """The address of a page, as the first (or last) frame of its visit shows it."""
    frame = index.frame(visit.last_frame if last else visit.first_frame)
    if visit.source != "uia_address_bar":
        return replace(of_frame(frame), row_id=visit.visit_id).narrowed(visit.url)
    record = (frame.uia_record or visit.source_record) if last else visit.source_record
    box: Box | None = None
    if visit.l is not None and visit.t is not None and visit.r is not None and visit.b is not None:
        box = (visit.l, visit.t, visit.r, visit.b)
    if last:
        box = evidence.node_box(record, visit.url, frame.width, frame.height) or box
    return Mention(ADDRESS, record, UIA_SNAPSHOT, frame, frame.ts, box or window_box(frame, frame), visit.url, 0,
                   len(visit.url), visit.visit_id)  # fmt: skip


def window_box(window: FrameRow | WindowRow, frame: FrameRow) -> Box:
    """A window's rectangle within the frame; the whole frame when it is not known or lies outside."""
    whole = (0, 0, frame.width, frame.height)
    if window.l is None or window.t is None or window.r is None or window.b is None:
        return whole
    left, right = (min(max(side, 0), frame.width) for side in (window.l, window.r))
    top, bottom = (min(max(side, 0), frame.height) for side in (window.t, window.b))
    return (left, top, right, bottom) if left < right and top < bottom else whole


def seen_in_frame(frame: FrameRow) -> Seen:
    """A frame as a sighting of its active window."""
    return Seen(frame.ts, frame.run_id, frame.title or "", frame.app, frame.process_path or "", frame.hwnd)


def seen_change(window: WindowRow) -> Seen:
    """A window change as a sighting."""
    return Seen(window.ts, window.run_id, window.title, window.app, window.process_path or "", window.hwnd, True)
