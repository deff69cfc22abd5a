"""Typed rows projected from evidence and records; each is one table under `derived/facts/` `[row-3]`.

Boxes are `left top right bottom` in pixels of the frame, right and bottom exclusive. `run_id` is also a partition
key, so a file stays meaningful on its own.
"""

from __future__ import annotations

from pydantic import Field

from schemas.fields import Contract, Int32, Sha256, UtcTime
from schemas.record_types import KEYFRAME


def keyframe_id(run_id: str, frame_id: str) -> str:
    """Name a frame as one that was chosen; a frame id begins with its run's `[meta-4]`."""
    return f"{run_id}/{KEYFRAME}/{frame_id.removeprefix(f'{run_id}/')}"


def frame_of_keyframe(run_id: str, keyframe: str) -> str:
    """The frame that `keyframe_id` named."""
    return f"{run_id}/{keyframe.removeprefix(f'{run_id}/{KEYFRAME}/')}"


class FrameFact(Contract):
    """`frames`: one captured picture of the screen, with the window that was active."""

    frame_id: str = Field(description="id of the frame's evidence record")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="when the picture was taken")
    width: Int32 = Field(description="width of the picture in pixels")
    height: Int32 = Field(description="height of the picture in pixels")
    content_hash: Sha256 = Field(description="sha256 of the picture's bytes")
    content_size: int | None = Field(description="size of the picture in bytes, as the sidecar gave it")
    content_type: str | None = Field(description="media type of the picture")
    blob_path: str = Field(description="where the picture lies, relative to the DataRoot")
    window_record_id: str | None = Field(description="record of the window that was active")
    app: str | None = Field(description="program of the active window, short and in lower case")
    process_path: str | None = Field(description="program file of the active window")
    window_title: str | None = Field(description="title of the active window")
    window_pid: int | None = Field(description="process id of the active window")
    window_hwnd: int | None = Field(description="handle of the active window")
    window_left: Int32 | None = Field(description="rectangle of the active window on the screen")
    window_top: Int32 | None = Field(description="see window_left")
    window_right: Int32 | None = Field(description="see window_left; exclusive")
    window_bottom: Int32 | None = Field(description="see window_left; exclusive")
    uia_record_id: str | None = Field(description="accessibility snapshot taken with the frame")
    uia_content_hash: str | None = Field(description="hash that the frame gives for that snapshot")
    input_record_id: str | None = Field(description="input summary that the frame points at")
    idle_ms: int | None = Field(description="time since the last input, in milliseconds")
    cursor_x: Int32 | None = Field(description="place of the mouse pointer on the screen")
    cursor_y: Int32 | None = Field(description="see cursor_x")
    cursor_visible: bool | None = Field(description="whether the pointer was shown")


class WindowFact(Contract):
    """`windows`: the active window, or its title, changed."""

    window_record_id: str = Field(description="id of the evidence record")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="when the window became active or its title changed")
    app: str | None = Field(description="program, short and in lower case")
    process_path: str = Field(description="program file")
    title: str = Field(description="title of the window")
    pid: int | None = Field(description="process id")
    hwnd: int | None = Field(description="handle of the window")
    left: Int32 | None = Field(description="rectangle of the window on the screen")
    top: Int32 | None = Field(description="see left")
    right: Int32 | None = Field(description="see left; exclusive")
    bottom: Int32 | None = Field(description="see left; exclusive")
    monitor: str | None = Field(description="monitor that shows it")


class UrlVisitFact(Contract):
    """`url_visits`: one page load in the active browser window.

    `url` is what the address bar showed, which may leave the scheme out; `source` says where it was read:
    `uia_address_bar` or `window_title`.
    """

    visit_id: str = Field(description="id of the visit, from its first frame and address")
    run_id: str = Field(description="capture run of the evidence")
    first_seen_utc: UtcTime = Field(description="time of the first frame that shows the page")
    last_seen_utc: UtcTime = Field(description="time of the last frame that shows the page")
    first_frame_id: str = Field(description="first frame that shows the page")
    last_frame_id: str = Field(description="last frame that shows the page")
    frame_count: Int32 = Field(description="frames that show the page")
    app: str | None = Field(description="browser, short and in lower case")
    window_title: str | None = Field(description="title of the browser's window in the first frame")
    window_hwnd: int | None = Field(description="handle of the browser's window")
    url: str = Field(description="address as it was shown")
    host: str = Field(description="host of the address")
    domain: str = Field(description="registrable domain of the host")
    source: str = Field(description="`uia_address_bar` or `window_title`")
    source_record_id: str = Field(description="record that the address was read from")
    left: Int32 | None = Field(description="box of the address bar in the first frame")
    top: Int32 | None = Field(description="see left")
    right: Int32 | None = Field(description="see left; exclusive")
    bottom: Int32 | None = Field(description="see left; exclusive")


class LineTrackFact(Contract):
    """`line_tracks`: a line of text that stayed in its place over following frames.

    `first_*` and `last_*` point at the records and the lines in them that show it; the box is that of the first.
    """

    track_id: str = Field(description="id of the track, from the record and line that it begins with")
    run_id: str = Field(description="capture run of the evidence")
    text: str = Field(description="the line as it was read")
    first_seen_utc: UtcTime = Field(description="time of the first frame that shows it")
    last_seen_utc: UtcTime = Field(description="time of the last frame that shows it")
    first_frame_id: str = Field(description="first frame that shows it")
    last_frame_id: str = Field(description="last frame that shows it")
    frame_count: Int32 = Field(description="frames that show it")
    left: Int32 = Field(description="box of the line in the first frame")
    top: Int32 = Field(description="see left")
    right: Int32 = Field(description="see left; exclusive")
    bottom: Int32 = Field(description="see left; exclusive")
    score: Int32 = Field(description="the model's confidence in the first frame, in 1/10,000")
    first_record_id: str = Field(description="OCR record of the first frame")
    first_line: Int32 = Field(description="its place among the lines of that record, from 0")
    last_record_id: str = Field(description="OCR record of the last frame")
    last_line: Int32 = Field(description="its place among the lines of that record, from 0")
    model_id: str = Field(description="model that read the first frame")
    model_digest: Sha256 = Field(description="digest of that model")
    app: str | None = Field(description="program of the active window in the first frame")
    window_title: str | None = Field(description="title of the active window in the first frame")
    window_hwnd: int | None = Field(description="handle of the active window in the first frame")
    in_active_window: bool | None = Field(description="whether the middle of the box lies in the active window")


class SpanFact(Contract):
    """`spans`: following frames that show one document in one window, and what was to be read there.

    The document is the host of the page where one is known, else the window's title. The id changes with what the span
    holds, so what a model said about a span stays true.
    """

    span_id: str = Field(description="id of the span, from its frames, tracks and text")
    run_id: str = Field(description="capture run of the evidence")
    first_seen_utc: UtcTime = Field(description="time of the first frame")
    last_seen_utc: UtcTime = Field(description="time of the last frame")
    first_frame_id: str = Field(description="first frame of the span")
    last_frame_id: str = Field(description="last frame of the span")
    frame_count: Int32 = Field(description="frames of the span; they follow each other")
    app: str | None = Field(description="program of the window")
    window_title: str | None = Field(description="title of the window in the first frame")
    window_hwnd: int | None = Field(description="handle of the window")
    url: str | None = Field(description="address that the window showed in the first frame")
    host: str | None = Field(description="host of that address, the same in the whole span")
    domain: str | None = Field(description="registrable domain of that host")
    track_ids: list[str] = Field(description="line tracks that the text is made of, in its order")
    text: str = Field(description="title of the window and the lines read in it, each once, to a bounded length")
    text_sha256: Sha256 = Field(description="sha256 of the text")


class KeyframeFact(Contract):
    """`keyframes`: a frame that was chosen to be shown to a VLM, because it shows something new.

    The choice of an hour changes while frames of it still arrive; what was said about a frame that is no longer chosen
    stays in `records`.
    """

    keyframe_id: str = Field(description="id of the choice, from the frame")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the frame")
    frame_id: str = Field(description="the frame")
    content_hash: Sha256 = Field(description="sha256 of the picture's bytes; a picture is chosen once a day")
    reason: str = Field(description="`window` (another one came up), `lines` (new text) or `picture` (only pixels)")
    new_lines: Int32 = Field(description="lines of text that appeared since the last window or lines")


class ScreenFact(Contract):
    """`screens`: what a VLM said about a frame as a whole. All of its text is data that a model made up or read."""

    screen_id: str = Field(description="id of the row: the record's")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the frame")
    frame_id: str = Field(description="the frame")
    app_kind: str = Field(description="kind of program in front: `browser`, `editor`, `terminal`, …")
    summary: str = Field(description="one line about what the user is doing")
    element_count: Int32 = Field(description="elements that were kept")
    dialog_count: Int32 = Field(description="dialogs that were kept")
    dropped: Int32 = Field(description="elements and dialogs whose box was empty or not in the frame")
    width: Int32 = Field(description="width of the frame in pixels")
    height: Int32 = Field(description="height of the frame in pixels")
    record_id: str = Field(description="record that it is read from")
    row_hash: Sha256 = Field(description="row hash of that record")
    model_id: str = Field(description="model that said it")
    model_digest: Sha256 = Field(description="digest of that model")
    prompt_hash: str = Field(description="hash of the prompt that it was given")


class UiElementFact(Contract):
    """`ui_elements`: an element of the user interface on a frame, by whoever found it: see `source`."""

    element_id: str = Field(description="id of the element, from its record and its place there")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the frame")
    frame_id: str = Field(description="the frame")
    element_number: Int32 = Field(description="its place among the elements of the frame, from 0")
    role: str = Field(description="`button`, `input`, `label`, `icon`, `link`, `menu`, `tab`, `checkbox`, `list`, …")
    label: str = Field(description="its text; empty where it has none")
    state: str = Field(description="`normal`, `disabled`, `focused`, `selected`, `checked` or `unchecked`")
    left: Int32 = Field(description="box of the element")
    top: Int32 = Field(description="see left")
    right: Int32 = Field(description="see left; exclusive")
    bottom: Int32 = Field(description="see left; exclusive")
    source: str = Field(description="who found it: `uia`, `vlm` or `layout`")
    confidence: Int32 | None = Field(description="how sure the source is, in 1/10,000; null where it does not say")
    record_id: str = Field(description="record that it is read from; of `uia` the snapshot, of `layout` the OCR record")
    row_hash: Sha256 = Field(description="row hash of that record; of a snapshot the sha256 of its payload")
    model_id: str = Field(description="model that found it; `uia` and `layout` name themselves")
    model_digest: Sha256 = Field(description="digest of that model")


class DialogFact(Contract):
    """`dialogs`: a dialog, message or open menu that lies over the rest of a frame, as a VLM saw it."""

    dialog_id: str = Field(description="id of the dialog, from its record and its place there")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the frame")
    frame_id: str = Field(description="the frame")
    dialog_number: Int32 = Field(description="its place among the dialogs of the frame, from 0")
    kind: str = Field(description="`dialog`, `error`, `warning`, `notification`, `menu` or `other`")
    title: str = Field(description="its title or first line; empty where it has none")
    left: Int32 = Field(description="box of the dialog")
    top: Int32 = Field(description="see left")
    right: Int32 = Field(description="see left; exclusive")
    bottom: Int32 = Field(description="see left; exclusive")
    record_id: str = Field(description="record that it is read from")
    row_hash: Sha256 = Field(description="row hash of that record")
    model_id: str = Field(description="model that saw it")
    model_digest: Sha256 = Field(description="digest of that model")


class StageOutcomeFact(Contract):
    """`stage_outcomes`: what became of a sample in a stage.

    A sample with no row here is pending: 'not seen' and 'not processed' are different things.
    """

    stage: str = Field(description="name of the stage")
    sample_id: str = Field(description="evidence record, span or keyframe that was worked on")
    run_id: str = Field(description="capture run of the evidence")
    ts_utc: UtcTime = Field(description="time of the evidence")
    status: str = Field(description="`done`, `failed` (is tried again) or `parked` (is not)")
    error_code: str | None = Field(description="stable name of what went wrong")
    fingerprint: Sha256 = Field(description="stage, version, parameters and model that gave this outcome")
    output_id: str | None = Field(description="id of the row or record that came of it")
    output_hash: str | None = Field(description="hash of that output")
