"""The run loop: what is pending gets done, once, whatever the shards; what fails is told and costs only itself."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loop_memory import fill, outcomes
from screen_memory import (
    RUN,
    InProcessModel,
    Memory,
    fact_files,
    failing,
    minutes,
    open_gate,
    process,
    read_text,
    rows,
)

from pipeline.dataroot import DataRoot
from pipeline.errors import DataRootMissing, NothingToDo, UsageError
from pipeline.stores.catalog import Catalog
from schemas.evidence import FRAME, INPUT, UIA_SNAPSHOT, WINDOW

DAY = "2026-03-01"


@pytest.mark.parametrize("shard_frames", [1, 3, 5])
def test_files_do_not_depend_on_the_size_of_shards_or_the_order_of_arrival(
    shard_frames: int, memory: Memory, tmp_path: Path
) -> None:
    fill(memory)
    process(memory.root)
    other = Memory(tmp_path / "other")
    fill(other, random.Random(shard_frames))
    process(other.root, shard_frames=shard_frames)
    assert fact_files(other.root) == fact_files(memory.root)
    assert {row["row_hash"] for row in rows(memory.root, "records")} != set()


def test_all_that_was_captured_becomes_rows(memory: Memory) -> None:
    fill(memory)
    report = process(memory.root)
    assert report.samples["list_frames"] == report.samples["find_text_lines"] == Counter(done=16)
    assert report.samples["list_windows"] == Counter(done=2)
    assert (report.days["visit_urls"], report.days["track_lines"]) == (4, 3)
    assert len(rows(memory.root, "frames")) == len(rows(memory.root, "records")) == 16
    assert [row["frame_count"] for row in rows(memory.root, "line_tracks") if row["text"] == "a shows the same"] == [
        6,
        6,
        4,
    ]


def test_a_second_run_has_nothing_to_do_and_changes_nothing(memory: Memory) -> None:
    fill(memory)
    process(memory.root)
    before = fact_files(memory.root)
    model = InProcessModel(memory.root)
    with pytest.raises(NothingToDo):
        process(memory.root, model)
    assert model.asked == []
    assert fact_files(memory.root) == before


def test_nothing_captured_is_nothing_to_do(memory: Memory) -> None:
    with pytest.raises(NothingToDo):
        process(memory.root)


@pytest.mark.parametrize("late", ["10:01", "10:07", "12:30", "09:00", "23:59"])
def test_a_frame_that_arrives_later_gives_the_rows_of_one_that_did_not(
    late: str, memory: Memory, tmp_path: Path
) -> None:
    whole = Memory(tmp_path / "whole")
    for number, moment in enumerate(minutes(10, 2, 4, 6) + minutes(12, 0)):
        memory.frame(number, moment)
        whole.frame(number, moment)
    process(memory.root)
    memory.frame(9, f"{DAY}T{late}:00.000Z")
    whole.frame(9, f"{DAY}T{late}:00.000Z")
    report = process(memory.root)
    process(whole.root)
    assert report.samples["find_text_lines"] == Counter(done=1)
    assert fact_files(memory.root) == fact_files(whole.root)


def test_tracks_end_at_midnight(memory: Memory) -> None:
    memory.frame(0, "2026-03-01T23:59:59.999Z")
    memory.frame(1, "2026-03-02T00:00:00.000Z")
    process(memory.root)
    assert [row["frame_count"] for row in rows(memory.root, "line_tracks")] == [1, 1, 1, 1]


def test_a_frame_without_a_record_does_not_end_a_track(memory: Memory) -> None:
    frames = [memory.frame(number, moment) for number, moment in enumerate(minutes(10, 0, 1, 2))]
    model = InProcessModel(memory.root)
    model.replies[frames[1]] = failing("image_unreadable", retryable=False)
    process(memory.root, model)
    same = [row for row in rows(memory.root, "line_tracks") if row["text"] == "a shows the same"]
    assert [(row["frame_count"], row["last_frame_id"]) for row in same] == [(2, frames[2])]


def test_a_page_visit_is_found_through_the_whole_run(memory: Memory) -> None:
    address = {"role": "Edit", "aid": "omnibox", "value": "a.example/x", "rect": [1, 2, 30, 40]}
    for number, moment in enumerate(minutes(10, 0, 1, 2)):
        snapshot = memory.put(
            UIA_SNAPSHOT, number, moment, {"hwnd": 7, "content_hash": "c" * 64, "operables": [address]}
        )
        window = {"record_id": "w", "window": {"hwnd": 7, "process_path": "chrome.exe"}}
        memory.frame(number, moment, window_ref=window, uia_ref={"record_id": snapshot, "content_hash": "c" * 64})
    memory.put(WINDOW, 0, minutes(9, 0)[0], {"window": {"hwnd": 7}})
    reload = {"t_utc": f"{DAY}T10:01:30Z", "kind": "key", "key": "F5"}
    memory.put(INPUT, 0, f"{DAY}T10:01:31.000Z", {"events": [reload]})
    process(memory.root)
    assert [(row["url"], row["frame_count"]) for row in rows(memory.root, "url_visits")] == [
        ("a.example/x", 2),
        ("a.example/x", 1),
    ]
    memory.put(INPUT, 1, f"{DAY}T10:00:31.000Z", {"events": [{**reload, "t_utc": f"{DAY}T10:00:30Z"}]})
    report = process(memory.root)
    assert (report.days["visit_urls"], report.days["track_lines"]) == (1, 0)
    assert [row["frame_count"] for row in rows(memory.root, "url_visits")] == [1, 1, 1]


def test_a_retryable_failure_is_tried_again_and_then_parked(memory: Memory) -> None:
    good, bad = (memory.frame(number, moment) for number, moment in enumerate(minutes(10, 0, 1)))
    model = InProcessModel(memory.root)
    model.replies[bad] = failing("model_failed", retryable=True)
    report = process(memory.root, model, max_attempts=4)
    assert model.asked.count(bad) == 4
    assert model.asked.count(good) == 1
    assert report.samples["find_text_lines"] == Counter(done=1, failed=3, parked=1)
    assert report.parked == 1
    assert outcomes(memory.root) == {good: ("done", None), bad: ("parked", "model_failed")}
    with pytest.raises(NothingToDo):
        process(memory.root, model)


def test_a_failure_that_passes_is_forgotten(memory: Memory) -> None:
    frame = memory.frame(0, minutes(10, 0)[0])
    model = InProcessModel(memory.root)
    replies = iter([failing("model_failed", retryable=True)(), read_text("Save")])
    model.replies[frame] = lambda: next(replies)
    process(memory.root, model)
    assert outcomes(memory.root) == {frame: ("done", None)}
    assert [row["text"] for row in rows(memory.root, "line_tracks")] == ["Save"]


def test_a_failure_that_would_come_again_is_parked_at_once(memory: Memory) -> None:
    frame = memory.frame(0, minutes(10, 0)[0])
    model = InProcessModel(memory.root)
    model.replies[frame] = failing("image_unreadable", retryable=False)
    process(memory.root, model)
    assert model.asked == [frame]
    assert outcomes(memory.root) == {frame: ("parked", "image_unreadable")}


def test_one_pass_leaves_what_failed_for_the_next_run(memory: Memory) -> None:
    frame = memory.frame(0, minutes(10, 0)[0])
    model = InProcessModel(memory.root)
    model.replies[frame] = failing("model_failed", retryable=True)
    for attempts, status in [(1, "failed"), (2, "failed"), (3, "parked")]:
        process(memory.root, model, until_done=False)
        assert len(model.asked) == attempts
        assert outcomes(memory.root) == {frame: (status, "model_failed")}


def test_a_failed_sample_waits_its_turn(memory: Memory) -> None:
    frame = memory.frame(0, minutes(10, 0)[0])
    model = InProcessModel(memory.root)
    model.replies[frame] = failing("model_failed", retryable=True)
    process(memory.root, model, until_done=False, retry_backoff_s=60)
    with pytest.raises(NothingToDo):
        process(memory.root, model, until_done=False)
    assert model.asked == [frame]


def test_what_is_wrong_with_one_piece_of_evidence_is_told_and_the_rest_is_processed(memory: Memory) -> None:
    moments = minutes(10, *range(9))
    good, missing, changed, folder, link, gone = (memory.frame(n, moments[n]) for n in range(6))
    memory.blob(missing, moments[1]).unlink()
    memory.blob(changed, moments[2]).write_bytes(b"other pixels")
    for frame_id, moment in ((folder, moments[3]), (link, moments[4])):
        memory.blob(frame_id, moment).unlink()
    memory.blob(folder, moments[3]).mkdir()
    memory.blob(link, moments[4]).symlink_to("/etc/hostname")
    incomplete = memory.put(FRAME, 6, moments[6], {"width": 5})
    memory.put(WINDOW, 0, moments[7], {"window": "damaged"})

    class Vanishing(InProcessModel):
        def __call__(self, kind: str) -> Any:
            with sqlite3.connect(memory.root.metadata_db) as connection:
                connection.execute("DELETE FROM metadata WHERE id = ?", [gone])
            connection.close()
            return super().__call__(kind)

    process(memory.root, Vanishing(memory.root))
    assert outcomes(memory.root) == {
        good: ("done", None),
        missing: ("parked", "blob_missing"),
        changed: ("parked", "blob_hash_differs"),
        folder: ("parked", "blob_unreadable"),
        link: ("parked", "blob_unreadable"),
        gone: ("parked", "evidence_missing"),
        incomplete: ("parked", "row_incomplete"),
    }
    assert outcomes(memory.root, "list_windows") == {f"{RUN}/{WINDOW}/0": ("parked", "row_incomplete")}
    assert outcomes(memory.root, "list_frames")[incomplete] == ("parked", "row_incomplete")
    assert [row["sample_id"] for row in rows(memory.root, "records")] == [good]


@pytest.mark.parametrize(
    ("blob_path", "code"),
    [
        ("elsewhere/pixels.png", None),
        ("../outside.png", "blob_missing"),
        ("/etc/hostname", "blob_missing"),
        ("a\x00b", "blob_missing"),
        ("x" * 5000, "blob_missing"),
        ("loop/x", "blob_missing"),
        ("", "blob_missing"),
    ],
)
def test_a_blob_in_another_place_is_taken_only_inside_the_dataroot(
    blob_path: str, code: str | None, memory: Memory
) -> None:
    moment = minutes(10, 0)[0]
    frame = memory.frame(0, moment, blob_path=blob_path)
    elsewhere = memory.root.path / "elsewhere" / "pixels.png"
    elsewhere.parent.mkdir()
    memory.blob(frame, moment).rename(elsewhere)
    (memory.root.path.parent / "outside.png").write_bytes(elsewhere.read_bytes())
    (memory.root.path / "loop").symlink_to("loop")
    process(memory.root)
    assert outcomes(memory.root) == {frame: ("parked", code) if code else ("done", None)}


def test_a_record_id_too_long_for_a_file_name_costs_only_its_frame(memory: Memory) -> None:
    good = memory.frame(0, minutes(10, 0)[0])
    long_id = f"{RUN}/{FRAME}/{'x' * 300}"
    fields = {"width": 1, "height": 1, "content_hash": "a" * 64, "blob_path": "nowhere"}
    record = {"schema_version": 1, "record_type": FRAME, "run_id": RUN, "ts_utc": minutes(10, 1)[0], **fields}
    memory.insert(long_id, json.dumps(record), FRAME, minutes(10, 1)[0], RUN)
    process(memory.root)
    assert outcomes(memory.root) == {good: ("done", None), long_id: ("parked", "blob_unreadable")}


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:00:00.000Z", "2026-03-01T01:00:00+02:00"],
)
def test_a_frame_of_any_year_is_processed(moment: str, memory: Memory) -> None:
    frame = memory.frame(0, moment)
    process(memory.root)
    (row,) = rows(memory.root, "frames")
    assert row["frame_id"] == frame
    assert row["ts_utc"] == datetime.fromisoformat(moment).astimezone(UTC)
    assert {row["first_seen_utc"] for row in rows(memory.root, "line_tracks")} == {row["ts_utc"]}


def test_a_run_id_of_any_text_is_kept(memory: Memory) -> None:
    names = ["a b", "50%", "k=v", "ü\U0001f9ea", "..", "x" * 150, "day=2026"]
    for name in names:
        memory.frame(0, minutes(10, 0)[0], name)
    process(memory.root)
    assert sorted(row["run_id"] for row in rows(memory.root, "frames")) == sorted(names)


def test_at_most_so_many_frames_go_to_the_model(memory: Memory) -> None:
    fill(memory)
    model = InProcessModel(memory.root)
    report = process(memory.root, model, max_frames=5, shard_frames=2)
    assert len(model.asked) == 5
    assert report.samples["list_frames"] == Counter(done=16)
    assert report.samples["find_text_lines"] == Counter(done=5)
    process(memory.root, model)
    assert sorted(model.asked) == sorted(outcomes(memory.root))


def test_the_newest_day_comes_first_and_each_in_order_of_capture(memory: Memory) -> None:
    for number, moment in enumerate(["2026-03-01T10:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T10:00:00Z"]):
        memory.frame(number, moment)
    model = InProcessModel(memory.root)
    process(memory.root, model, oldest_share=0.0)
    assert [name.rsplit("/", 1)[1] for name in model.asked] == ["2", "1", "0"]


def test_only_the_stages_that_were_named_run(memory: Memory) -> None:
    fill(memory)
    model = InProcessModel(memory.root)
    report = process(memory.root, model, stages=("list_windows", "list_frames"))
    assert set(report.samples) == {"list_frames", "list_windows"}
    assert model.asked == []
    assert not report.days
    process(memory.root)
    assert len(rows(memory.root, "records")) == 16


def test_an_unknown_stage_is_refused_before_anything_is_touched(memory: Memory) -> None:
    with pytest.raises(UsageError):
        process(memory.root, stages=("read",))
    assert not memory.root.derived.exists()


def test_the_projection_says_what_the_catalog_says(memory: Memory) -> None:
    fill(memory)
    model = InProcessModel(memory.root)
    model.replies[f"{RUN}/{FRAME}/3"] = failing("model_failed", retryable=True)
    process(memory.root, model, until_done=False, retry_backoff_s=60)
    with Catalog(memory.root, read_only=True) as catalog:
        kept = catalog.connection.execute(
            "SELECT stage, sample_id, run_id, ts_us, status, error_code, fingerprint, output_id, output_hash"
            " FROM outcomes ORDER BY 1, 2"
        ).fetchall()
        assert catalog.unprojected_hours() == []
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    shown = [
        tuple(
            (value - epoch) // timedelta(microseconds=1) if name == "ts_utc" else value for name, value in row.items()
        )
        for row in rows(memory.root, "stage_outcomes")
    ]
    assert sorted(shown) == sorted(kept)


def test_a_dataroot_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "none")
    with pytest.raises(DataRootMissing):
        process(root, InProcessModel(root), open_gate(root))
    assert not root.path.exists()
