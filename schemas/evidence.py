"""What was captured: the sidecar's records, as far as we read them `[meta-3]`."""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from schemas.fields import Foreign, Sha256
from schemas.record_types import FRAME as FRAME
from schemas.record_types import INPUT as INPUT
from schemas.record_types import UIA_SNAPSHOT as UIA_SNAPSHOT
from schemas.record_types import WINDOW as WINDOW

Number32 = Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)]
Number64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Seconds = Annotated[StrictInt | StrictFloat, Field(ge=0, le=1e9, allow_inf_nan=False)]
Rect = Annotated[list[Number32], Field(min_length=4, max_length=4)]
"""`[left, top, right, bottom]` in screen pixels, right and bottom exclusive."""


class Window(Foreign):
    """A window as the sidecar saw it."""

    title: StrictStr = ""
    process_path: StrictStr = ""
    pid: Number64 | None = None
    hwnd: Number64 | None = None
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
    idle_seconds: Seconds | None = None
    event_count: StrictInt | None = None


class Cursor(Foreign):
    x: Number32
    y: Number32
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
    content_size: Number64 | None = None
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
    events: list[InputEvent] = Field(default_factory=list)


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
    hwnd: Number64 | None = None
    window: Window | None = None
    focus_path: list[UiaNode] = Field(default_factory=list)
    context_peers: list[UiaNode] = Field(default_factory=list)
    operables: list[UiaNode] = Field(default_factory=list)


class ActivitySignal(Foreign):
    """Is the user there: written by the sidecar 4 to 20 times a second `[gate-1]`."""

    ts_utc: StrictStr
    idle_seconds: Seconds
    user_active: StrictBool
    source: StrictStr | None = None
    seq: StrictInt | None = None


RecordModel = TypeVar("RecordModel", bound=Record)


def parse_record(model: type[RecordModel], payload: str) -> tuple[RecordModel, list[str]]:
    """Read a payload as a record of a kind, letting go of optional fields that are damaged `[meta-3]`.

    Returns the record and the names of the fields that were left out. Raises ValueError when the payload is no JSON
    object or a required field is missing or damaged; its text names fields, never their content.
    """
    try:
        return model.model_validate_json(payload), []
    except ValidationError as error:
        damaged = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    if not damaged or damaged & required:
        raise ValueError(f"unusable fields: {', '.join(sorted(damaged & required)) or 'not a JSON object'}")
    fields = {name: value for name, value in json.loads(payload).items() if name not in damaged}
    return model.model_validate(fields), sorted(damaged)
