"""Elements of the user interface of keyframes without a model: from accessibility snapshots, else from the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from pipeline.stages.find_buttons import find_buttons
from pipeline.stages.find_inputs import find_inputs
from pipeline.stages.plain_boxes import Pixels
from pipeline.stages.thresholds import UI_ELEMENTS
from schemas.arrow import table_schema
from schemas.canonical import canonical_sha256, nfc, sha256_hex
from schemas.evidence import UiaNode, UiaSnapshot, parse_record

FRAME_COLUMNS = ["frame_id", "run_id", "ts_utc", "width", "height", "content_hash", "blob_path", "window_hwnd",
                 "uia_record_id", "uia_content_hash"]  # fmt: skip
RECORD_COLUMNS = ["record_id", "sample_id", "row_hash", "output_json"]

UIA, LAYOUT = "uia", "layout"
LAYOUT_DIGEST, UIA_DIGEST = canonical_sha256([LAYOUT, UI_ELEMENTS]), canonical_sha256([UIA])

_ROLES = {
    "Button": "button", "SplitButton": "button", "Edit": "input", "ComboBox": "input", "Spinner": "input",
    "Hyperlink": "link", "TabItem": "tab", "MenuItem": "menu", "MenuBar": "menu", "Menu": "menu",
    "CheckBox": "checkbox", "RadioButton": "checkbox", "List": "list", "ListItem": "list", "Image": "image",
    "Text": "label",
}  # fmt: skip

Row = Mapping[str, Any]
Element = tuple[str, str, str, tuple[int, int, int, int], int | None]
"""Role, label, state, box, confidence."""


def find_ui_elements(
    frames: pa.Table, described: frozenset[str], records: pa.Table, snapshots: Mapping[str, str],
    pixels: Callable[[Row], Pixels | None],
) -> pa.Table:  # fmt: skip
    """Make rows of `ui_elements` of the keyframes of one (run, day).

    `frames` has FRAME_COLUMNS, of keyframes only; `described` are those that a VLM described; `records` are OCR records
    with RECORD_COLUMNS; `snapshots` UIA payloads by record id; `pixels` gives the grey levels of a frame, or None. A
    snapshot that is the one the frame means, and of its window, gives its operables. Where there is none, and no VLM,
    buttons, inputs and their labels are looked for in the picture, around and beside the lines that were read.
    """
    read = {row["sample_id"]: row for row in records.select(RECORD_COLUMNS).to_pylist()}
    rows: list[dict[str, Any]] = []
    for frame in frames.select(FRAME_COLUMNS).to_pylist():
        nodes = list(_operables(frame, snapshots.get(frame["uia_record_id"] or "")))
        record = read.get(frame["frame_id"])
        if nodes:
            payload_hash = sha256_hex(snapshots[frame["uia_record_id"]].encode())
            made_by = (frame["uia_record_id"], payload_hash, UIA, UIA_DIGEST)
            rows += _rows(frame, UIA, made_by, nodes)
        elif record is not None and frame["frame_id"] not in described:
            made_by = (record["record_id"], record["row_hash"], LAYOUT, LAYOUT_DIGEST)
            rows += _rows(frame, LAYOUT, made_by, _in_picture(frame, record, pixels))
    return pa.Table.from_pylist(rows, schema=table_schema("ui_elements"))


def _in_picture(frame: Row, record: Row, pixels: Callable[[Row], Pixels | None]) -> list[Element]:
    """Buttons, inputs under the name of their label, and these labels, each as sure as the border of its box."""
    lines = orjson.loads(record["output_json"])["lines"]
    picture = pixels(frame) if lines else None
    if picture is None:
        return []
    pressed, filled = find_buttons(picture, lines), find_inputs(picture, lines)
    named = [(item, lines[item.label]) for item in filled if item.label is not None]
    names = {item.box: str(label["text"]) for item, label in named}
    found: list[Element] = [("button", item.label, "normal", item.box, item.confidence) for item in pressed]
    found += [("input", names.get(item.box, ""), "normal", item.box, item.confidence) for item in filled]
    return found + [
        ("label", str(label["text"]), "normal", _box(label["bbox"]), item.confidence) for item, label in named
    ]


def _box(edges: list[int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = edges
    return left, top, right, bottom


def _operables(frame: Row, payload: str | None) -> Iterator[Element]:
    snapshot = _snapshot(frame, payload)
    focused = {node.model_extra.get("eid") for node in snapshot.focus_path if node.model_extra} if snapshot else set()
    for node in snapshot.operables if snapshot else ():
        box = _clip(node, frame)
        if not node.offscreen and box is not None:
            extra = node.model_extra or {}
            state = "disabled" if extra.get("enabled") is False else "normal"
            state = "focused" if extra.get("eid") and extra.get("eid") in focused else state
            yield _ROLES.get(node.role, "other"), nfc(node.name), state, box, None


def _snapshot(frame: Row, payload: str | None) -> UiaSnapshot | None:
    """The snapshot that the frame means, of its own window `[uia-2]`."""
    if payload is None:
        return None
    try:
        snapshot, _ = parse_record(UiaSnapshot, payload)
    except ValueError:
        return None
    meant, window = frame["uia_content_hash"], frame["window_hwnd"]
    is_meant = (not meant or snapshot.content_hash == meant) and (snapshot.hwnd or window) == window
    return snapshot if is_meant else None


def _clip(node: UiaNode, frame: Row) -> tuple[int, int, int, int] | None:
    if node.rect is None:
        return None
    left, right = (min(max(value, 0), frame["width"]) for value in node.rect[0::2])
    top, bottom = (min(max(value, 0), frame["height"]) for value in node.rect[1::2])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _rows(
    frame: Row, source: str, made_by: tuple[str, str, str, str], elements: list[Element]
) -> Iterator[dict[str, Any]]:
    record_id, row_hash, model_id, model_digest = made_by
    for number, (role, label, state, box, confidence) in enumerate(elements):
        digest = canonical_sha256([frame["frame_id"], source, number])
        yield {
            "element_id": f"{frame['run_id']}/derived.ui.element/{digest[:32]}",
            **{name: frame[name] for name in ("run_id", "ts_utc", "frame_id")},
            "element_number": number,
            "role": role,
            "label": label,
            "state": state,
            **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
            "source": source,
            "confidence": confidence,
            "record_id": record_id,
            "row_hash": row_hash,
            "model_id": model_id,
            "model_digest": model_digest,
        }
