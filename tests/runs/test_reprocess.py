"""Another model, and reprocessing: what was done stays, what is redone replaces it in the facts only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from loop_memory import fill
from screen_memory import (
    RUN,
    InProcessModel,
    Memory,
    fact_files,
    failing,
    minutes,
    process,
    rows,
)

from pipeline.errors import NothingToDo
from schemas.evidence import FRAME


def test_a_new_model_takes_only_what_has_no_outcome(memory: Memory) -> None:
    first = memory.frame(0, minutes(10, 0)[0])
    process(memory.root)
    second = memory.frame(1, minutes(10, 1)[0])
    newer = InProcessModel(memory.root, "b")
    process(memory.root, newer)
    assert newer.asked == [second]
    assert {row["sample_id"]: row["model_id"] for row in rows(memory.root, "records")} == {first: "a", second: "b"}
    with pytest.raises(NothingToDo):
        process(memory.root, InProcessModel(memory.root, "c"))


def test_reprocessing_keeps_the_old_records_and_shows_the_new(memory: Memory) -> None:
    fill(memory)
    process(memory.root)
    old = {row["record_id"]: row["row_hash"] for row in rows(memory.root, "records")}
    newer = InProcessModel(memory.root, "b")
    report = process(memory.root, newer, reprocess=True)
    records = {row["record_id"]: row["row_hash"] for row in rows(memory.root, "records")}
    assert report.samples == {"find_text_lines": Counter(done=16)}
    assert old.items() <= records.items()
    assert len(records) == 32
    current = {row["output_id"] for row in rows(memory.root, "stage_outcomes") if row["stage"] == "find_text_lines"}
    assert current == set(records) - set(old)
    assert {row["model_id"] for row in rows(memory.root, "line_tracks")} == {"b"}
    again = InProcessModel(memory.root, "b")
    with pytest.raises(NothingToDo):
        process(memory.root, again, reprocess=True)
    assert again.asked == []


def test_reprocessing_ends_as_if_the_new_model_had_been_there_from_the_start(memory: Memory, tmp_path: Path) -> None:
    fill(memory)
    process(memory.root)
    process(memory.root, InProcessModel(memory.root, "b"), reprocess=True)
    fresh = Memory(tmp_path / "fresh")
    fill(fresh)
    process(fresh.root, InProcessModel(fresh.root, "b"))
    without_records = [
        {name: data for name, data in fact_files(root).items() if not name.startswith("records")}
        for root in (memory.root, fresh.root)
    ]
    assert without_records[0] == without_records[1]


def test_what_was_done_stays_done_when_the_new_model_fails_on_it(memory: Memory) -> None:
    fill(memory)
    process(memory.root)
    newer = InProcessModel(memory.root, "b")
    newer.replies[f"{RUN}/{FRAME}/3"] = failing("model_failed", retryable=False)
    report = process(memory.root, newer, reprocess=True)
    assert report.samples == {"find_text_lines": Counter(done=15, parked=1)}
    outcomes = [row for row in rows(memory.root, "stage_outcomes") if row["stage"] == "find_text_lines"]
    models = {row["record_id"]: row["model_id"] for row in rows(memory.root, "records")}
    assert {row["status"] for row in outcomes} == {"done"}
    assert Counter(models[row["output_id"]] for row in outcomes) == {"a": 1, "b": 15}


def test_what_was_given_up_is_taken_again_when_asked_for(memory: Memory) -> None:
    fill(memory)
    failed = InProcessModel(memory.root)
    failed.replies[f"{RUN}/{FRAME}/3"] = failing("model_failed", retryable=False)
    assert process(memory.root, failed).parked == 1
    mended = InProcessModel(memory.root)
    for reprocess in (False, True):
        with pytest.raises(NothingToDo):
            process(memory.root, mended, reprocess=reprocess)
    process(memory.root, mended, retry_failed=True)
    assert mended.asked == [f"{RUN}/{FRAME}/3"]
    assert {row["status"] for row in rows(memory.root, "stage_outcomes")} == {"done"}
