"""What holds up a run or ends it early: minutes that are used up, the user, a full disk."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from screen_memory import InProcessModel, Memory, minutes, rows

from pipeline.dag import Stage
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import Model, Shard, ShardResult
from pipeline.errors import Blocked, DiskRefused, NothingToDo, UsageError
from pipeline.gate import Gate, GateTerms
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.run_files import write_started
from pipeline.runs.watch import RunWatch
from pipeline.settings import Settings
from schemas.fields import utc_text
from schemas.serving import ReadText

TERMS = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """Six frames."""
    memory = Memory(tmp_path / "root")
    for number, ts_utc in enumerate(minutes(9, 0, 1, 2, 3, 4, 5)):
        memory.frame(number, ts_utc)
    return memory


def signal(memory: Memory, *, idle_s: float, active: bool = False) -> None:
    """Write the signal: valid for two seconds, so right before each run."""
    path = memory.root.path / "activity" / "activity_signal.json"
    path.parent.mkdir(exist_ok=True)
    content = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": idle_s, "user_active": active}
    path.with_name("new").write_text(json.dumps(content))
    path.with_name("new").replace(path)


def work(memory: Memory, **settings: Any) -> RunReport:
    model = InProcessModel(memory.root, seconds=0.03)
    gate = Gate(memory.root.activity_signal, max_age_s=60.0)
    return run(memory.root, Settings(shard_frames=1, **settings), RunOptions(until_done=True), LocalEngine(memory.root),
               gate, model, LogProgress())  # fmt: skip


def frames_read(memory: Memory) -> int:
    return len(rows(memory.root, "records"))


def test_a_stage_stops_when_its_minutes_are_used_up_and_goes_on_after_the_user_was_there(memory: Memory) -> None:
    limit = {"stage_minutes_per_idle": {"find_text_lines": 0.05 / 60}}
    signal(memory, idle_s=3600)
    report = work(memory, **limit)
    read = frames_read(memory)
    assert 1 <= read <= 2
    assert report.samples["find_text_lines"]["done"] == read
    assert report.samples["list_frames"]["done"] == 6
    signal(memory, idle_s=3600)
    with pytest.raises(NothingToDo, match="find_text_lines has used up its minutes of this idle window"):
        work(memory, **limit)
    assert frames_read(memory) == read
    time.sleep(0.02)
    signal(memory, idle_s=0.0)
    work(memory, **limit)
    assert frames_read(memory) > read


def test_without_a_limit_all_is_done_at_once(memory: Memory) -> None:
    signal(memory, idle_s=3600)
    work(memory)
    assert frames_read(memory) == 6


def test_a_limit_of_a_stage_that_asks_no_model_is_refused(memory: Memory) -> None:
    with pytest.raises(UsageError, match="names no model stage: track_lines"):
        work(memory, stage_minutes_per_idle={"track_lines": 5})


def test_what_preempted_a_run_is_noted_in_the_audit_journal_for_good(memory: Memory) -> None:
    def read_and_come_back() -> ReadText:
        signal(memory, idle_s=0, active=True)
        return ReadText(width=640, height=480, lines=[], elapsed_us=1)

    signal(memory, idle_s=3600)
    model = InProcessModel(memory.root)
    model.replies = {f"desk-1/evidence.capture.frame/{number}": read_and_come_back for number in (2, 3, 4, 5)}
    settings = Settings(shard_frames=1, budget_by="governor")
    with RunWatch(memory.root, settings, TERMS, LogProgress()) as watch, pytest.raises(Blocked):
        run(memory.root, settings, RunOptions(), LocalEngine(memory.root), Gate(memory.root.activity_signal, **TERMS),
            model, watch.progress, watch=watch)  # fmt: skip
    events = [orjson.loads(line) for line in memory.root.run_events.read_bytes().splitlines()]
    kinds = [event["event_type"] for event in events]
    assert kinds[0] == "system.run.started"
    assert kinds[-1] == "system.run.ended"
    told = events[kinds.index("system.run.preempted")]["payload"]
    assert told["reason"].startswith("stopped: ")
    assert told["run_id"] == events[0]["payload"]["run_id"]
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert watch.progress.preemptions == 1


class FullDisk(LocalEngine):
    """The disk is full from the first shard of a model stage on."""

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: Model | None, code_version: str
    ) -> Iterator[ShardResult]:
        if model is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        yield from super().run(stage, shards, model, code_version)


def test_a_full_disk_ends_a_run_with_4_and_keeps_what_was_finished(memory: Memory) -> None:
    gate = Gate(memory.root.activity_signal, **TERMS)
    with pytest.raises(DiskRefused, match="No space left"):
        run(memory.root, Settings(), RunOptions(), FullDisk(memory.root), gate, InProcessModel(memory.root),
            LogProgress())  # fmt: skip
    assert len(rows(memory.root, "frames")) == 6


def test_a_disk_that_is_full_before_the_work_begins_is_told_as_that(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_started(memory.root, {"run_id": "run_1", "state": "running", "started_utc": "2026-03-01T10:00:00.000Z"})
    monkeypatch.setattr("pipeline.stores.journal.os.write", write)
    with pytest.raises(DiskRefused, match="No space left"):
        run(memory.root, Settings(), RunOptions(), LocalEngine(memory.root), Gate(memory.root.activity_signal, **TERMS),
            InProcessModel(memory.root), LogProgress())  # fmt: skip
