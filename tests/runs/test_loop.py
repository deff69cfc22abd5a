"""The run loop: what is pending gets done, once, whatever the shards; what fails is told and costs only itself."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from screen_memory import (
    RUN,
    InProcessModel,
    Memory,
    fact_files,
    failing,
    folder_in_memory,
    minutes,
    open_gate,
    process,
    read_text,
    rows,
)

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, Busy, ContractInvalid, DataRootMissing, NothingToDo, Unavailable, UsageError
from pipeline.gate import Gate, Verdict
from pipeline.runs.manifest import last_attempt
from pipeline.runs.run_files import read_manifest, write_ended, write_started
from pipeline.stores.catalog import Catalog
from pipeline.stores.lock import hold_lock
from schemas.evidence import FRAME, INPUT, UIA_SNAPSHOT, WINDOW

DAY = "2026-03-01"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "root")


def fill(memory: Memory, order: random.Random | None = None) -> None:
    """Two runs, three days, several hours; rows arrive in any order."""
    moments = [
        (RUN, number, f"2026-03-0{1 + number % 2}T{10 + number % 3}:{number:02d}:00.000Z") for number in range(12)
    ]
    moments += [("desk-2", number, f"2026-03-03T23:59:{50 + number}.000Z") for number in range(4)]
    if order:
        order.shuffle(moments)
    for run_id, number, moment in moments:
        window = {"title": "T", "process_path": "/usr/bin/Editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
        memory.frame(number, moment, run_id, window_ref={"record_id": f"{run_id}/{WINDOW}/0", "window": window})
    for run_id in (RUN, "desk-2"):
        memory.put(WINDOW, 0, "2026-03-01T09:00:00.000Z", {"window": {"title": "T", "hwnd": 7}}, run_id)


def outcomes(root: DataRoot, stage: str = "find_text_lines") -> dict[str, tuple[str, str | None]]:
    return {
        row["sample_id"]: (row["status"], row["error_code"])
        for row in rows(root, "stage_outcomes")
        if row["stage"] == stage
    }


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


class ClosingGate(Gate):
    """A gate that closes after so many questions; what was asked is counted."""

    def __init__(self, root: DataRoot, after: int, closed_for: int = 10**9) -> None:
        super().__init__(root.activity_signal)
        self.asked = 0
        self._closed = range(after, after + closed_for)

    def ask(self) -> Verdict:
        self.asked += 1
        is_open = self.asked - 1 not in self._closed
        return Verdict(is_open, "the user is idle" if is_open else "the user is active")


def test_with_the_gate_closed_nothing_is_done(memory: Memory) -> None:
    fill(memory)
    model = InProcessModel(memory.root)
    with pytest.raises(Blocked, match="the user is active"):
        process(memory.root, model, ClosingGate(memory.root, 0))
    assert model.asked == []
    assert fact_files(memory.root) == {}


def test_with_nothing_pending_a_closed_gate_does_not_matter(memory: Memory) -> None:
    fill(memory)
    process(memory.root)
    with pytest.raises(NothingToDo):
        process(memory.root, gate=ClosingGate(memory.root, 0))


def test_wherever_the_gate_closes_what_is_finished_stays_and_the_rest_follows(memory: Memory, tmp_path: Path) -> None:
    whole = Memory(tmp_path / "whole")
    fill(memory)
    fill(whole)
    process(whole.root)
    done = 0
    blocked = 0
    for _ in range(100):
        try:
            process(memory.root, gate=ClosingGate(memory.root, 5), shard_frames=2)
            break
        except Blocked:
            blocked += 1
            outcome = len(rows(memory.root, "stage_outcomes"))
            assert outcome >= done
            done = outcome
    assert blocked > 5
    assert fact_files(memory.root) == fact_files(whole.root)


def test_the_gate_is_asked_before_every_shard(memory: Memory) -> None:
    for number, moment in enumerate(minutes(10, *range(6))):
        memory.frame(number, moment)
    model = InProcessModel(memory.root)
    gate = ClosingGate(memory.root, 10**9)
    process(memory.root, model, gate, shard_frames=1, stages=("find_text_lines",))
    assert gate.asked >= 6


class StoppingModel(InProcessModel):
    """A model whose reader stops when the gate says so, as the client of a server does."""

    gate: Gate

    def read(self, frames: Any) -> Any:
        for item in super().read(frames):
            if not self.gate.ask().open:
                return
            yield item


def test_a_gate_that_was_closed_for_a_moment_ends_the_run_too(memory: Memory) -> None:
    for number, moment in enumerate(minutes(10, *range(6))):
        memory.frame(number, moment)
    model = StoppingModel(memory.root)
    model.gate = ClosingGate(memory.root, 6, closed_for=1)
    with pytest.raises(Blocked):
        process(memory.root, model, model.gate, stages=("find_text_lines",))
    assert 0 < len(outcomes(memory.root)) < 6
    process(memory.root)
    assert set(outcomes(memory.root).values()) == {("done", None)}


def test_a_second_run_on_the_same_dataroot_is_told_that_it_is_busy(memory: Memory) -> None:
    fill(memory)
    memory.root.require_writable()
    with hold_lock(memory.root.run_lock, "run"), pytest.raises(Busy):
        process(memory.root)
    process(memory.root)


def test_that_the_user_is_active_counts_for_more_than_that_another_run_is_at_work(memory: Memory) -> None:
    fill(memory)
    memory.root.require_writable()
    with hold_lock(memory.root.run_lock, "run"), pytest.raises(Blocked, match="the user is active"):
        process(memory.root, gate=ClosingGate(memory.root, 0))


def test_that_the_evidence_cannot_be_read_counts_for_more_than_both(memory: Memory) -> None:
    memory.root.require_writable()
    memory.root.metadata_db.write_bytes(b"no database" * 100)
    with hold_lock(memory.root.run_lock, "run"), pytest.raises(ContractInvalid):
        process(memory.root, gate=ClosingGate(memory.root, 0))


def test_a_dataroot_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "none")
    with pytest.raises(DataRootMissing):
        process(root, InProcessModel(root), open_gate(root))
    assert not root.path.exists()


def test_each_run_leaves_a_manifest_of_what_it_did(memory: Memory) -> None:
    memory.frame(0, minutes(10, 0)[0])
    report = process(memory.root)
    path = memory.root.manifests / f"run-{report.run_id.removeprefix('run_')}.json"
    manifest = read_manifest(path)
    assert (manifest["state"], manifest["run_id"], manifest["reason"]) == ("completed", report.run_id, "")
    assert manifest["started_utc"] <= manifest["ended_utc"]
    assert manifest["models"]["ocr"]["model_id"] == "a"
    assert manifest["stages"]["find_text_lines"]["counts"] == {"done": 1}
    assert manifest["stages"]["track_lines"]["counts"] == {"days": 1}
    (outcome,) = [row for row in rows(memory.root, "stage_outcomes") if row["stage"] == "find_text_lines"]
    assert manifest["stages"]["find_text_lines"]["fingerprint"] == outcome["fingerprint"]
    assert manifest["packages"]["pyarrow"]


def test_the_manifest_of_a_blocked_run_says_why_and_what_was_done(memory: Memory) -> None:
    fill(memory)
    with pytest.raises(Blocked):
        process(memory.root, gate=ClosingGate(memory.root, 5), shard_frames=4)
    (path,) = memory.root.manifests.glob("run-*.json")
    manifest = read_manifest(path)
    assert (manifest["state"], manifest["reason"]) == ("blocked", "stopped: the user is active")
    assert sum(manifest["stages"]["list_frames"]["counts"].values()) == len(rows(memory.root, "frames")) > 0


def attempt(root: DataRoot) -> dict[str, Any]:
    with Catalog(root, read_only=True) as catalog:
        return last_attempt(catalog)


def test_a_run_that_did_nothing_leaves_no_manifest_but_when_it_was(memory: Memory) -> None:
    with pytest.raises(NothingToDo):
        process(memory.root)
    assert (attempt(memory.root)["state"], attempt(memory.root)["reason"]) == ("completed", "nothing to do")
    fill(memory)
    with pytest.raises(Blocked):
        process(memory.root, gate=ClosingGate(memory.root, 0))
    assert (attempt(memory.root)["state"], attempt(memory.root)["reason"]) == ("blocked", "stopped: the user is active")
    assert not memory.root.manifests.exists()
    report = process(memory.root)
    assert attempt(memory.root)["run_id"] == report.run_id
    with pytest.raises(NothingToDo):
        process(memory.root)
    assert attempt(memory.root)["run_id"] != report.run_id
    assert [read_manifest(path)["run_id"] for path in memory.root.manifests.glob("run-*.json")] == [report.run_id]


def test_manifests_of_runs_that_worked_are_kept_for_good(memory: Memory) -> None:
    for number in range(4):
        memory.frame(number, minutes(10, number)[0])
        process(memory.root)
    found = [read_manifest(path) for path in sorted(memory.root.manifests.glob("run-*.json"))]
    assert [manifest["stages"]["find_text_lines"]["counts"] for manifest in found] == [{"done": 1}] * 4
    assert all(manifest["indexes"]["text_index"] for manifest in found)


def test_a_run_whose_model_is_not_to_be_had_leaves_a_manifest(memory: Memory) -> None:
    memory.frame(0, minutes(10, 0)[0])
    process(memory.root, stages=("list_frames",))

    class Absent(InProcessModel):
        def __call__(self, kind: str) -> Any:
            raise Unavailable("no model", remedy="get one")

    with pytest.raises(Unavailable):
        process(memory.root, Absent(memory.root), stages=("find_text_lines",))
    *_, last = sorted(memory.root.manifests.glob("run-*.json"))
    assert (read_manifest(last)["state"], read_manifest(last)["reason"]) == ("failed", "no model")


def test_a_run_that_failed_says_so(memory: Memory) -> None:
    memory.frame(0, minutes(10, 0)[0])

    class Broken(InProcessModel):
        def read(self, frames: Any) -> Any:
            raise ZeroDivisionError("what was on the screen")

    with pytest.raises(ZeroDivisionError):
        process(memory.root, Broken(memory.root))
    (path,) = memory.root.manifests.glob("run-*.json")
    manifest = read_manifest(path)
    assert (manifest["state"], manifest["reason"]) == ("failed", "ZeroDivisionError")


EARLIER = "2026-03-01T00:00:00.000Z"


def test_a_run_that_was_killed_is_found_by_the_next(memory: Memory) -> None:
    memory.frame(0, minutes(10, 0)[0])
    memory.root.require_writable()
    root = memory.root
    write_started(root, {"run_id": "run_00000000000000000000000000", "state": "running", "started_utc": EARLIER})
    before = root.run_started("run_00000000000000000000000000").read_bytes()
    process(root)
    found = read_manifest(root.run_manifest("run_00000000000000000000000000"))
    assert (found["state"], found["started_utc"], found["exit_code"]) == ("crashed", EARLIER, None)
    assert root.run_started("run_00000000000000000000000000").read_bytes() == before


def test_what_is_written_of_a_run_is_never_written_again(memory: Memory) -> None:
    fill(memory)
    report = process(memory.root)
    path = memory.root.run_manifest(report.run_id)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o400
    write_ended(memory.root, {**read_manifest(path), "state": "another"})
    assert path.read_bytes() == before
    with pytest.raises(NothingToDo):
        process(memory.root)
    assert path.read_bytes() == before


def test_the_start_and_the_end_of_each_run_are_lines_of_the_audit(memory: Memory) -> None:
    fill(memory)
    first = process(memory.root)
    write_started(memory.root, {"run_id": "run_0", "state": "running", "started_utc": EARLIER})
    with pytest.raises(NothingToDo):
        process(memory.root)
    events = [json.loads(line) for line in memory.root.run_events.read_bytes().splitlines()]
    told = [(event["event_type"], event["payload"]["run_id"], event["payload"]["state"]) for event in events]
    assert told == [
        ("system.run.started", first.run_id, "running"),
        ("system.run.ended", first.run_id, "completed"),
        ("system.run.started", "run_0", "running"),
        ("system.run.crashed", "run_0", "crashed"),
    ]
