"""Arrow schemas made from the pydantic models, so that each contract is written once."""

from __future__ import annotations

import types
from datetime import datetime
from functools import cache
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.facts import (
    DialogFact,
    FrameFact,
    KeyframeFact,
    LineTrackFact,
    ScreenFact,
    SpanFact,
    StageOutcomeFact,
    UiElementFact,
    UrlVisitFact,
    WindowFact,
)
from schemas.fields import ArrowType
from schemas.record import ModelRecord

TABLES: dict[str, type[BaseModel]] = {
    "records": ModelRecord,
    "frames": FrameFact,
    "windows": WindowFact,
    "url_visits": UrlVisitFact,
    "line_tracks": LineTrackFact,
    "spans": SpanFact,
    "keyframes": KeyframeFact,
    "screens": ScreenFact,
    "ui_elements": UiElementFact,
    "dialogs": DialogFact,
    "stage_outcomes": StageOutcomeFact,
}
"""Every table under `derived/facts/` and the model of its rows."""

KEYS: dict[str, tuple[str, ...]] = {
    "records": ("record_id",),
    "frames": ("frame_id",),
    "windows": ("window_record_id",),
    "url_visits": ("visit_id",),
    "line_tracks": ("track_id",),
    "spans": ("span_id",),
    "keyframes": ("keyframe_id",),
    "screens": ("screen_id",),
    "ui_elements": ("element_id",),
    "dialogs": ("dialog_id",),
    "stage_outcomes": ("stage", "sample_id"),
}
"""The columns that name a row of each table, once in the whole DataRoot."""

SORT: dict[str, tuple[str, ...]] = {
    "records": ("ts_utc", "record_id"),
    "frames": ("ts_utc", "frame_id"),
    "windows": ("ts_utc", "window_record_id"),
    "url_visits": ("first_seen_utc", "visit_id"),
    "line_tracks": ("first_seen_utc", "track_id"),
    "spans": ("first_seen_utc", "span_id"),
    "keyframes": ("ts_utc", "keyframe_id"),
    "screens": ("ts_utc", "screen_id"),
    "ui_elements": ("ts_utc", "frame_id", "element_number", "element_id"),
    "dialogs": ("ts_utc", "frame_id", "dialog_number", "dialog_id"),
    "stage_outcomes": ("stage", "ts_utc", "sample_id"),
}
"""The order of rows inside a file of each table."""

_SCALARS: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@cache
def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """Derive the Arrow schema of a model; a field that may be None is nullable, any other is not."""
    return pa.schema([_arrow_field(name, info) for name, info in model.model_fields.items()])


def table_schema(table: str) -> pa.Schema:
    """The Arrow schema of a fact table, by its name. Raises KeyError."""
    return arrow_schema(TABLES[table])


def _arrow_field(name: str, info: FieldInfo) -> pa.Field:
    kind, nullable = _arrow_type(info.annotation, info.metadata)
    return pa.field(name, kind, nullable=nullable)


def _arrow_type(annotation: Any, metadata: list[Any] | tuple[Any, ...]) -> tuple[pa.DataType, bool]:
    named = next((item.name for item in metadata if isinstance(item, ArrowType)), None)
    if named is not None:
        return pa.type_for_alias(named), False
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = (item for item in arguments if item is not type(None))
        return _arrow_type(inner, ())[0], True
    if hasattr(annotation, "__metadata__"):
        return _arrow_type(annotation.__origin__, annotation.__metadata__)
    if origin is list:
        return pa.list_(pa.field("item", _arrow_type(arguments[0], ())[0], nullable=False)), False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct(list(arrow_schema(annotation))), False
    return _SCALARS[annotation], False
