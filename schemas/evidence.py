"""What was captured: the sidecar's records, as far as we read them `[meta-3]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from schemas.fields import Foreign, Sha256

FRAME = "evidence.capture.frame"
WINDOW = "evidence.window.meta"
INPUT = "derived.input.summary"
UIA_SNAPSHOT = "evidence.uia.snapshot"

Rect = Annotated[list[StrictInt], Field(min_length=4, max_length=4)]
"""`[left, top, right, bottom]` in screen pixels, right and bottom exclusive."""


class Window(Foreign):
    """A window as the sidecar saw it."""

    title: StrictStr = ""
    process_path: StrictStr = ""
    pid: StrictInt | None = None
    hwnd: StrictInt | None = None
    rect: Rect | None = None
    monitor: StrictStr | None = None


class Reference(Foreign):
    """A pointer from a frame to another record."""

    record_id: StrictStr
    content_hash: StrictStr | None = None


class WindowReference(Reference):
    ts_utc: StrictStr | None = None
    window: Window | None = None


class InputReference(Reference):
    idle_seconds: StrictInt | StrictFloat | None = None
    event_count: StrictInt | None = None


class Cursor(Foreign):
    x: StrictInt
    y: StrictInt
    visible: StrictBool = True


class Record(Foreign):
    """What every sidecar record has `[meta-3]`."""

    schema_version: Literal[1]
    record_type: StrictStr
    run_id: Annotated[StrictStr, Field(min_length=1)]
    ts_utc: StrictStr | None = None
    start_ts_utc: StrictStr | None = None
    end_ts_utc: StrictStr | None = None
    content_hash: Sha256 | None = None
    payload_hash: Sha256 | None = None


class Frame(Record):
    """`evidence.capture.frame`: one picture of the screen; `content_hash` is of its blob."""

    record_type: Literal["evidence.capture.frame"]
    ts_utc: StrictStr
    width: Annotated[StrictInt, Field(gt=0, le=65_536)]
    height: Annotated[StrictInt, Field(gt=0, le=65_536)]
    content_hash: Sha256
    content_size: StrictInt | None = None
    content_type: StrictStr | None = None
    encoding: StrictStr | None = None
    blob_path: StrictStr | None = None
    window_ref: WindowReference | None = None
    input_ref: InputReference | None = None
    uia_ref: Reference | None = None
    cursor: Cursor | None = None


class WindowMeta(Record):
    """`evidence.window.meta`: the active window or its title changed."""

    record_type: Literal["evidence.window.meta"]
    ts_utc: StrictStr
    window: Window
    text: StrictStr | None = None


class InputEvent(Foreign):
    """One key, click, shortcut, wheel turn or move."""

    t_utc: StrictStr
    kind: StrictStr
    x: StrictInt | None = None
    y: StrictInt | None = None
    button: StrictStr | None = None
    key: StrictStr | None = None
    delta: StrictInt | None = None


class InputSummary(Record):
    """`derived.input.summary`: what the hands did in a stretch of time."""

    record_type: Literal["derived.input.summary"]
    events: list[InputEvent] = []


class UiaNode(Foreign):
    """A node of the accessibility tree."""

    role: StrictStr = ""
    name: StrictStr = ""
    aid: StrictStr = ""
    cls: StrictStr = Field(default="", alias="class")
    rect: Rect | None = None
    offscreen: StrictBool = False
    value: StrictStr | None = None


class UiaSnapshot(Record):
    """`evidence.uia.snapshot`: the accessibility tree of the active window."""

    record_type: Literal["evidence.uia.snapshot"]
    hwnd: StrictInt | None = None
    window: Window | None = None
    focus_path: list[UiaNode] = []
    context_peers: list[UiaNode] = []
    operables: list[UiaNode] = []


class ActivitySignal(Foreign):
    """Is the user there: written by the sidecar 4 to 20 times a second `[gate-1]`."""

    ts_utc: StrictStr
    idle_seconds: StrictInt | StrictFloat
    user_active: StrictBool
    source: StrictStr | None = None
    seq: StrictInt | None = None
