"""Typed rows projected from evidence and records; each is one table under `derived/facts/` `[row-3]`.

Boxes are `left top right bottom` in pixels of the frame, right and bottom exclusive. `run_id` is also a partition
key, so a file stays meaningful on its own.
"""

from __future__ import annotations

from schemas.fields import Contract, Int32, Sha256, UtcTime


class FrameFact(Contract):
    """`frames`: one captured picture of the screen, with the window that was active. Key: frame_id."""

    frame_id: str
    run_id: str
    ts_utc: UtcTime
    width: Int32
    height: Int32
    content_hash: Sha256
    content_size: int | None
    content_type: str | None
    blob_path: str
    window_record_id: str | None
    app: str | None
    process_path: str | None
    window_title: str | None
    window_pid: int | None
    window_hwnd: int | None
    window_left: Int32 | None
    window_top: Int32 | None
    window_right: Int32 | None
    window_bottom: Int32 | None
    uia_record_id: str | None
    uia_content_hash: str | None
    input_record_id: str | None
    idle_ms: int | None
    cursor_x: Int32 | None
    cursor_y: Int32 | None
    cursor_visible: bool | None


class WindowFact(Contract):
    """`windows`: the active window, or its title, changed. Key: window_record_id."""

    window_record_id: str
    run_id: str
    ts_utc: UtcTime
    app: str | None
    process_path: str
    title: str
    pid: int | None
    hwnd: int | None
    left: Int32 | None
    top: Int32 | None
    right: Int32 | None
    bottom: Int32 | None
    monitor: str | None


class UrlVisitFact(Contract):
    """`url_visits`: one page load in the active browser window. Key: visit_id.

    `url` is what the address bar showed, which may leave the scheme out; `source` says where it was read:
    `uia_address_bar` or `window_title`.
    """

    visit_id: str
    run_id: str
    first_seen_utc: UtcTime
    last_seen_utc: UtcTime
    first_frame_id: str
    last_frame_id: str
    frame_count: Int32
    app: str | None
    window_title: str | None
    window_hwnd: int | None
    url: str
    host: str
    domain: str
    source: str
    source_record_id: str
    left: Int32 | None
    top: Int32 | None
    right: Int32 | None
    bottom: Int32 | None


class LineTrackFact(Contract):
    """`line_tracks`: a line of text that stayed in its place over following frames. Key: track_id.

    `first_*` and `last_*` point at the records and the lines in them that show it; the box is that of the first.
    """

    track_id: str
    run_id: str
    text: str
    first_seen_utc: UtcTime
    last_seen_utc: UtcTime
    first_frame_id: str
    last_frame_id: str
    frame_count: Int32
    left: Int32
    top: Int32
    right: Int32
    bottom: Int32
    score: Int32
    first_record_id: str
    first_line: Int32
    last_record_id: str
    last_line: Int32
    model_id: str
    model_digest: Sha256
    app: str | None
    window_title: str | None
    window_hwnd: int | None
    in_active_window: bool | None


class StageOutcomeFact(Contract):
    """`stage_outcomes`: what became of a sample in a stage. Key: stage and sample_id.

    A sample with no row here is pending: 'not seen' and 'not processed' are different things.
    """

    stage: str
    sample_id: str
    run_id: str
    ts_utc: UtcTime
    status: str
    error_code: str | None
    fingerprint: Sha256
    output_id: str | None
    output_hash: str | None
