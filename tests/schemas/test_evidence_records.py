"""Foreign records `[meta-3]`: unknown fields are kept, damaged optional ones let go, required ones needed."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from pydantic import create_model

from schemas.canonical import payload_hash
from schemas.evidence import FRAME, INPUT, UIA_SNAPSHOT, WINDOW, Frame, InputSummary, Record, UiaSnapshot, WindowMeta
from schemas.evidence import parse_record as parse
from schemas.fields import Sha256

MODELS: dict[str, type[Record]] = {FRAME: Frame, WINDOW: WindowMeta, INPUT: InputSummary, UIA_SNAPSHOT: UiaSnapshot}

FRAME_RECORD: dict[str, Any] = {
    "schema_version": 1,
    "record_type": "evidence.capture.frame",
    "run_id": "run-1",
    "ts_utc": "2026-03-01T10:02:04.550Z",
    "width": 1600,
    "height": 900,
    "content_hash": "a" * 64,
    "content_size": 34784,
    "window_ref": {"record_id": "run-1/evidence.window.meta/1", "window": {"title": "Inbox", "pid": 7}},
    "cursor": {"x": 72, "y": 886, "visible": True},
}


def _frame(**changes: Any) -> tuple[Frame, list[str]]:
    return parse(Frame, json.dumps({**FRAME_RECORD, **changes}))


def test_every_recorded_row_is_read_whole(fixtures: Path) -> None:
    seen: Counter[str] = Counter()
    for store in sorted(fixtures.glob("desk/spool/*/metadata.db")):
        connection = sqlite3.connect(f"{store.as_uri()}?mode=ro&immutable=1", uri=True)
        for record_type, payload in connection.execute("SELECT record_type, payload FROM metadata"):
            record, damaged = parse(MODELS[record_type], payload)
            assert damaged == []
            assert record.payload_hash == payload_hash(json.loads(payload))
            seen[record_type] += 1
        connection.close()
    assert seen[FRAME] == 24
    assert set(seen) == set(MODELS)


def test_unknown_fields_are_kept() -> None:
    frame, damaged = _frame(resolution="1600x900")
    assert damaged == []
    assert frame.model_dump()["resolution"] == "1600x900"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content_size", "34784"),
        ("content_size", True),
        ("window_ref", {"window": {}}),
        ("cursor", {"x": "72", "y": 1}),
        ("uia_ref", "run-1/evidence.uia.snapshot/0"),
        ("payload_hash", "ABC"),
        ("encoding", 5),
    ],
)
def test_a_damaged_optional_field_is_let_go_and_named(name: str, value: Any) -> None:
    frame, damaged = _frame(**{name: value})
    assert damaged == [name]
    assert getattr(frame, name) is None
    assert frame.content_hash == "a" * 64


def test_inside_an_optional_field_only_the_damaged_part_is_let_go() -> None:
    window = {"title": "Inbox", "pid": "seven", "rect": [0, 0, 10, "x"]}
    frame, damaged = _frame(window_ref={"record_id": "w", "window": window})
    assert damaged == ["window_ref.window.pid", "window_ref.window.rect"]
    assert frame.window_ref is not None
    assert frame.window_ref.window is not None
    assert (frame.window_ref.record_id, frame.window_ref.window.title) == ("w", "Inbox")
    assert (frame.window_ref.window.pid, frame.window_ref.window.rect) == (None, None)


def test_one_damaged_node_of_a_snapshot_does_not_take_the_others_with_it() -> None:
    nodes = [{"role": "Edit", "value": "a.example"}, {"role": 5, "name": "OK"}, "no node", {"role": "Button"}]
    record = {"record_type": "evidence.uia.snapshot", "schema_version": 1, "run_id": "r", "operables": nodes}
    snapshot, damaged = parse(UiaSnapshot, json.dumps(record))
    assert damaged == ["operables.1.role", "operables.2"]
    assert [node.role for node in snapshot.operables] == ["Edit", "", "Button"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("width", 1600.0),
        ("height", 65_537),
        ("content_hash", None),
        ("content_hash", "a" * 63),
        ("run_id", ""),
        ("ts_utc", 5),
        ("schema_version", 2),
        ("record_type", "evidence.window.meta"),
    ],
)
def test_a_damaged_required_field_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        _frame(**{name: value})


@pytest.mark.parametrize("name", ["width", "height", "content_hash", "run_id", "ts_utc", "schema_version"])
def test_a_missing_required_field_is_an_error_that_names_it(name: str) -> None:
    record = {key: value for key, value in FRAME_RECORD.items() if key != name}
    with pytest.raises(ValueError, match=name):
        parse(Frame, json.dumps(record))


@pytest.mark.parametrize("payload", ["", "{", "[]", "5", '"text"', "null", '{"a": 1} x'])
def test_what_is_no_json_object_is_an_error(payload: str) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        parse(Frame, payload)


def test_errors_do_not_repeat_what_was_on_the_screen() -> None:
    with pytest.raises(ValueError, match="width") as caught:
        _frame(width="my secret words")
    assert "secret" not in str(caught.value)


def test_a_class_of_a_uia_node_is_read_under_its_foreign_name() -> None:
    snapshot, damaged = parse(UiaSnapshot, json.dumps({
        "schema_version": 1, "record_type": "evidence.uia.snapshot", "run_id": "run-1",
        "operables": [{"aid": "omnibox", "class": "OmniboxViewViews", "role": "Edit", "value": "a.example"}],
    }))  # fmt: skip
    assert damaged == []
    assert snapshot.operables[0].cls == "OmniboxViewViews"


def test_several_threads_may_be_the_first_to_use_a_model() -> None:
    for _ in range(20):
        model = create_model("Pair", __base__=Record, left=(Frame, ...), digest=(Sha256, ...))
        together = Barrier(4)

        def read(digest: str, model: type[Record] = model, together: Barrier = together) -> list[str]:
            together.wait()
            record = {"schema_version": 1, "record_type": "pair", "run_id": "r", "left": FRAME_RECORD, "digest": digest}
            try:
                return sorted(parse(model, json.dumps(record))[0].model_fields_set)
            except ValueError as error:
                return [str(error)]

        with ThreadPoolExecutor(4) as threads:
            good, bad = ["digest", "left", "record_type", "run_id", "schema_version"], ["unusable fields: digest"]
            assert list(threads.map(read, ["a" * 64, "no", "b" * 64, "A" * 64])) == [good, bad, good, bad]
