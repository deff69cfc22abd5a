"""Records of text: a function of the frame and the model, whatever shares its batch `[row-1]`, `[row-2]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from screen_memory import Reply, read_text

from pipeline.stages.batch import Batch
from pipeline.stages.find_text_lines import find_text_lines
from pipeline.stages.model_record import Making
from schemas.arrow import table_schema
from schemas.canonical import canonical_json, sha256_hex
from schemas.record import row_hash
from schemas.serving import FrameRef, ModelIdentity, ReadText, SampleFailure, TextLine, TextReader

MODEL = ModelIdentity(provider_id="p", model_id="m", model_digest="1" * 64)
MAKING = Making("find_text_lines", 1, "2" * 64, MODEL, "0.1")


def some_frames(*numbers: int) -> list[FrameRef]:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        FrameRef(f"r/f/{n}", "r", start + timedelta(seconds=n), 640, 480, sha256_hex(bytes([n])), f"media/{n}")
        for n in numbers
    ]


def read(frames: Sequence[FrameRef]) -> Iterator[tuple[int, Reply]]:
    for index, frame in enumerate(frames):
        yield index, read_text("Cafe\u0301", frame.content_hash[:8])


def always(*replies: tuple[int, Reply]) -> TextReader:
    def read_always(frames: Sequence[FrameRef]) -> Iterable[tuple[int, Reply]]:
        return replies

    return read_always


def make(asked: list[FrameRef], making: Making = MAKING) -> Batch:
    return find_text_lines(asked, read, making)


def test_a_record_says_what_was_read_by_whom_from_what() -> None:
    batch = make(some_frames(7))
    (row,) = batch.rows.to_pylist()
    assert batch.rows.schema == table_schema("records")
    assert orjson.loads(row["output_json"]) == {
        "width": 640,
        "height": 480,
        "lines": [
            {"text": "Caf\u00e9", "bbox": [10, 0, 300, 18], "score": 9000},
            {"text": sha256_hex(bytes([7]))[:8], "bbox": [10, 20, 300, 38], "score": 9000},
        ],
    }
    assert row["output_json"].encode() == canonical_json(orjson.loads(row["output_json"]))
    assert row["output_sha256"] == sha256_hex(row["output_json"].encode())
    assert row["record_id"].startswith("r/derived.model.output/ocr/")
    assert (row["sample_id"], row["model_digest"], row["prompt_hash"]) == ("r/f/7", "1" * 64, "")
    assert orjson.loads(row["provenance"]) == {
        "stage": "find_text_lines",
        "stage_version": 1,
        "code_version": "0.1",
        "config_hash": "2" * 64,
        "evidence": {"r/f/7": sha256_hex(bytes([7]))},
        "parents": [],
    }
    assert row["row_hash"] == row_hash(row)
    assert batch.results[0].output_id == row["record_id"]
    assert batch.results[0].output_hash == row["row_hash"]


def test_the_time_it_took_and_the_code_version_are_not_hashed() -> None:
    slower = always((0, read_text("Save").model_copy(update={"elapsed_us": 99})))
    faster = always((0, read_text("Save")))
    hashes = {
        find_text_lines(some_frames(1), reader, Making("s", 1, "2" * 64, MODEL, code)).results[0].output_hash
        for reader in (slower, faster)
        for code in ("0.1", "0.2")
    }
    assert len(hashes) == 1


def test_another_model_makes_another_record() -> None:
    other = Making("find_text_lines", 1, "2" * 64, MODEL.model_copy(update={"model_digest": "3" * 64}), "0.1")
    assert make(some_frames(1)).results[0].output_id != make(some_frames(1), other).results[0].output_id


def test_a_failure_is_a_result_without_a_row() -> None:
    failure = SampleFailure("image_unreadable", "no image", False)
    batch = find_text_lines(some_frames(1, 2), always((1, failure), (0, read_text("Save"))), MAKING)
    assert [(item.sample_id, item.failure) for item in batch.results] == [("r/f/2", failure), ("r/f/1", None)]
    assert batch.rows["sample_id"].to_pylist() == ["r/f/1"]


def test_a_frame_that_was_not_read_has_no_result() -> None:
    batch = find_text_lines(some_frames(1, 2, 3), always((2, read_text("Save"))), MAKING)
    assert [item.sample_id for item in batch.results] == ["r/f/3"]


def test_a_frame_without_text_has_a_record() -> None:
    empty = ReadText(width=640, height=480, lines=[], elapsed_us=1)
    batch = find_text_lines(some_frames(1), always((0, empty)), MAKING)
    assert batch.rows["output_json"].to_pylist() == ['{"height":480,"lines":[],"width":640}']


def test_all_the_text_that_the_wire_allows_is_kept() -> None:
    text = "\u202e\U0001f9ea\ud7ff\ue000 \\\"'" + "x" * 3000
    reply = ReadText(
        width=640, height=480, elapsed_us=1, lines=[TextLine(text=text, bbox=(0, 0, 640, 480), score=10_000)] * 500
    )
    batch = find_text_lines(some_frames(1), always((0, reply)), MAKING)
    lines = orjson.loads(batch.rows["output_json"][0].as_py())["lines"]
    assert [line["text"] for line in lines] == [text] * 500


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_rows_do_not_depend_on_order_or_split(order: list[int], cut: int) -> None:
    whole = make(some_frames(*range(6))).rows
    parts = [make(some_frames(*part)).rows for part in (order[:cut], order[cut:])]
    assert pa.concat_tables(parts).sort_by("sample_id").equals(whole)
