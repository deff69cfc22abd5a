"""Rows of the text index as they are read, and the columns that make each, in order.

Times are microseconds since 1970 UTC, boxes pixels of the frame.
"""

from __future__ import annotations

from typing import NamedTuple

Box = tuple[int, int, int, int]


class FrameRow(NamedTuple):
    """A frame, what its active window was, and what became of reading it (`done failed parked pending`)."""

    id: int
    frame_id: str
    run_id: str
    ts: int
    width: int
    height: int
    content_hash: str
    blob_path: str
    window_record: str | None
    app: str | None
    process_path: str | None
    title: str | None
    hwnd: int | None
    l: int | None  # noqa: E741 the side of a box
    t: int | None
    r: int | None
    b: int | None
    uia_record: str | None
    status: str


class WindowRow(NamedTuple):
    """The active window, or its title, changed."""

    id: int
    record_id: str
    run_id: str
    ts: int
    app: str | None
    process_path: str | None
    title: str
    hwnd: int | None
    l: int | None  # noqa: E741
    t: int | None
    r: int | None
    b: int | None


class VisitRow(NamedTuple):
    """A page load in the active browser window."""

    id: int
    visit_id: str
    run_id: str
    first_ts: int
    last_ts: int
    first_frame: int
    last_frame: int
    app: str | None
    hwnd: int | None
    url: str
    host: str
    domain: str
    source: str
    source_record: str
    l: int | None  # noqa: E741
    t: int | None
    r: int | None
    b: int | None


class TrackRow(NamedTuple):
    """A line of text over following frames, with the record, line and box of its first and of its last frame."""

    id: int
    text: str
    first_ts: int
    last_ts: int
    frame_count: int
    in_active: int | None
    score: int
    first_record: int
    first_line: int
    fl: int
    ft: int
    fr: int
    fb: int
    first_proof: bytes
    last_record: int
    last_line: int
    ll: int
    lt: int
    lr: int
    lb: int
    last_proof: bytes

    @property
    def first_box(self) -> Box:
        return self.fl, self.ft, self.fr, self.fb

    @property
    def last_box(self) -> Box:
        return self.ll, self.lt, self.lr, self.lb


class RecordRow(NamedTuple):
    """A text record, the fact file that holds it, and that file's hash when it was indexed."""

    id: int
    record_id: str
    frame: int
    path: str
    sha256: str
    model_id: str
    model_digest: str


class Coverage(NamedTuple):
    """How many frames of a stretch of time were captured, read, or could not be read."""

    captured: int
    processed: int
    failed: int
    unlisted: int
    last_processed: int | None

    @property
    def pending(self) -> int:
        return self.captured - self.processed - self.failed


FRAME = (
    "SELECT f.id, f.frame_id, f.run_id, f.ts, f.width, f.height, f.content_hash, f.blob_path, f.window_record, f.app,"
    " f.process_path, x.text, f.hwnd, f.l, f.t, f.r, f.b, f.uia_record, f.status"
    " FROM frames f LEFT JOIN texts x ON x.id = f.title "
)
WINDOW = (
    "SELECT w.id, w.record_id, w.run_id, w.ts, w.app, w.process_path, x.text, w.hwnd, w.l, w.t, w.r, w.b"
    " FROM windows w JOIN texts x ON x.id = w.title "
)
VISIT = (
    "SELECT v.id, v.visit_id, v.run_id, v.first_ts, v.last_ts, v.first_frame, v.last_frame, v.app, v.hwnd, x.text,"
    " v.host, v.domain, v.source, v.source_record, v.l, v.t, v.r, v.b FROM visits v JOIN texts x ON x.id = v.url "
)
TRACK = (
    "SELECT k.id, x.text, k.first_ts, k.last_ts, k.frame_count, k.in_active, k.score,"
    " k.first_record, k.first_line, k.fl, k.ft, k.fr, k.fb, k.first_proof,"
    " k.last_record, k.last_line, k.ll, k.lt, k.lr, k.lb, k.last_proof FROM tracks k JOIN texts x ON x.id = k.text "
)
RECORD = (
    "SELECT r.id, r.record_id, r.frame, p.path, p.sha256, m.model_id, m.model_digest FROM records r"
    " JOIN files p ON p.id = r.file JOIN models m ON m.id = r.model "
)
