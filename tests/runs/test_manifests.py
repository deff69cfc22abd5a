"""What a run leaves of itself: its manifest, whatever its end, and its lines in the audit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loop_memory import ClosingGate, fill
from screen_memory import (
    InProcessModel,
    Memory,
    minutes,
    process,
    rows,
)

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, NothingToDo, Unavailable
from pipeline.runs.manifest import last_attempt
from pipeline.runs.run_files import read_manifest, write_ended, write_started
from pipeline.stores.catalog import Catalog


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
