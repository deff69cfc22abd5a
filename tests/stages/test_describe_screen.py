"""What a VLM said becomes records, and rows of screens, elements and dialogs that point at frame, box and record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import orjson
import pyarrow as pa

from pipeline.dag import stage
from pipeline.stages.describe_screen import describe_screen
from pipeline.stages.list_dialogs import list_dialogs
from pipeline.stages.list_screens import list_screens
from pipeline.stages.list_ui_elements import list_ui_elements
from pipeline.stages.model_record import Making
from schemas.record import row_hash
from schemas.screen import DescribedScreen, Dialog, Screen, UiElement
from schemas.serving import FrameRef, ModelIdentity, SampleFailure

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
MODEL = ModelIdentity(provider_id="vllm", model_id="m", model_digest="d" * 64)
MAKING = Making("describe_screen", 1, "c" * 64, MODEL, "0.1", "the prompt", "e" * 64)
FRAMES = [FrameRef(f"run/frame/{number}", "run", NOW, 64, 48, "a" * 64, "blob") for number in range(3)]
SCREEN = Screen(
    width=64,
    height=48,
    app_kind="editor",
    summary="writes e\u0301",
    elements=[
        UiElement(role="button", label="Save", bbox=(1, 2, 3, 4), state="normal"),
        UiElement(role="icon", label="", bbox=(5, 6, 7, 8), state="disabled"),
    ],
    dialogs=[Dialog(kind="error", title="Disk full", bbox=(0, 0, 64, 24))],
    dropped=1,
)


def describe(frames: Sequence[FrameRef]) -> Iterator[tuple[int, DescribedScreen | SampleFailure]]:
    yield 1, DescribedScreen(SCREEN, prompt_tokens=9, reply_tokens=5, elapsed_us=7)
    yield 0, SampleFailure("reply_invalid", "made for a test", False, b"what it said")


def records() -> pa.Table:
    return describe_screen(FRAMES, describe, MAKING).rows


def test_a_record_is_of_the_frame_and_the_outcome_of_the_keyframe() -> None:
    batch = describe_screen(FRAMES, describe, MAKING)
    (row,) = batch.rows.to_pylist()
    assert (row["sample_id"], row["modality"], row["prompt"], row["prompt_hash"]) == (
        "run/frame/1", "vlm", "the prompt", "e" * 64,
    )  # fmt: skip
    assert orjson.loads(row["provenance"])["evidence"] == {"run/frame/1": "a" * 64}
    assert row["row_hash"] == row_hash(row)
    done, failed = batch.results
    assert (done.sample_id, done.output_id) == ("run/derived.keyframe/frame/1", row["record_id"])
    assert (failed.sample_id, failed.failure and failed.failure.code) == (
        "run/derived.keyframe/frame/0", "reply_invalid",
    )  # fmt: skip


def test_time_and_tokens_are_no_part_of_the_row_hash() -> None:
    def later(frames: Sequence[FrameRef]) -> Iterator[tuple[int, DescribedScreen | SampleFailure]]:
        yield 1, DescribedScreen(SCREEN, prompt_tokens=1, reply_tokens=2, elapsed_us=3)

    assert describe_screen(FRAMES, later, MAKING).rows["row_hash"] == records()["row_hash"]


def test_another_prompt_is_another_record_and_another_fingerprint() -> None:
    other = Making("describe_screen", 1, "c" * 64, MODEL, "0.1", "another", "f" * 64)
    assert describe_screen(FRAMES, describe, other).rows["record_id"] != records()["record_id"]
    item = stage("describe_screen")
    assert item.fingerprint(MODEL, "e" * 64) != item.fingerprint(MODEL, "f" * 64)


def test_rows_point_at_frame_box_model_and_record() -> None:
    (record,) = records().to_pylist()
    (screen,) = list_screens(records()).to_pylist()
    elements, (dialog,) = list_ui_elements(records()).to_pylist(), list_dialogs(records()).to_pylist()
    for row in (screen, *elements, dialog):
        assert {name: row[name] for name in ("frame_id", "record_id", "row_hash", "model_digest")} == {
            "frame_id": "run/frame/1",
            "record_id": record["record_id"],
            "row_hash": record["row_hash"],
            "model_digest": "d" * 64,
        }
    assert (screen["summary"], screen["element_count"], screen["dropped"]) == ("writes \u00e9", 2, 1)
    boxes = [[row[side] for side in ("left", "top", "right", "bottom")] for row in (*elements, dialog)]
    assert boxes == [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 64, 24]]
    assert [(row["role"], row["label"], row["state"], row["source"]) for row in elements] == [
        ("button", "Save", "normal", "vlm"), ("icon", "", "disabled", "vlm"),
    ]  # fmt: skip
    assert len({row["element_id"] for row in elements}) == 2
    assert (dialog["kind"], dialog["title"]) == ("error", "Disk full")


def test_no_records_give_no_rows() -> None:
    empty = records().slice(0, 0)
    assert [make(empty).num_rows for make in (list_screens, list_ui_elements, list_dialogs)] == [0, 0, 0]
