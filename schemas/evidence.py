"""What was captured: the sidecar's records, as far as we read them `[meta-3]`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StrictBool, StrictInt, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from schemas.activity import Seconds
from schemas.fields import Foreign, Sha256
from schemas.record_types import FRAME as FRAME
from schemas.record_types import INPUT as INPUT
from schemas.record_types import UIA_SNAPSHOT as UIA_SNAPSHOT
from schemas.record_types import WINDOW as WINDOW

Number32 = Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)]
Number64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
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


RecordModel = TypeVar("RecordModel", bound=Record)


def parse_record(model: type[RecordModel], payload: str) -> tuple[RecordModel, list[str]]:
    """Read a payload as a record of a kind, letting go of the parts that are damaged and not required `[meta-3]`.

    Returns the record and the paths of what was let go, such as `window_ref.window.pid`. Raises ValueError when the
    payload is no JSON object or a required field is missing or damaged; its text names fields, never their content.
    """
    try:
        return model.model_validate_json(payload), []
    except ValidationError as error:
        problems = error.errors(include_input=False)
    if any(not problem["loc"] for problem in problems):
        raise ValueError("not a JSON object")
    document = json.loads(payload)
    let_go: set[str] = set()
    while True:
        paths = {_damaged_part(document, problem["loc"]) for problem in problems}
        _require_optional(model, paths, problems)
        for path in sorted(paths, key=lambda path: (len(path), [str(step).rjust(9) for step in path]), reverse=True):
            _remove(document, path)
        let_go |= {".".join(map(str, path)) for path in paths}
        try:
            return model.model_validate(document), _topmost(let_go)
        except ValidationError as error:
            problems = error.errors(include_input=False)


def _damaged_part(document: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The deepest part of a document that a validation error is about; for a missing field, what lacks it."""
    path: list[int | str] = []
    node = document
    for step in location:
        found = step in node if isinstance(node, dict) else isinstance(node, list) and step in range(len(node))
        if not found:
            break
        path.append(step)
        node = node[step]
    return tuple(path)


def _require_optional(model: type[Record], paths: set[tuple[int | str, ...]], problems: list[ErrorDetails]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    unusable = {str(path[0]) for path in paths if len(path) == 1} & required
    if () in paths:
        unusable |= {str(problem["loc"][0]) for problem in problems} & required
    if unusable or () in paths:
        raise ValueError(f"unusable fields: {', '.join(sorted(unusable))}")


def _topmost(paths: set[str]) -> list[str]:
    return sorted(path for path in paths if not any(path.startswith(f"{other}.") for other in paths))


def _remove(document: Any, path: tuple[int | str, ...]) -> None:
    for step in path[:-1]:
        document = document[step]
    del document[path[-1]]
