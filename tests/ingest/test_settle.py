"""A handoff that is still being written is not marked `[handoff-11]`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import Handoff, ingest_one, kept, run_ingest, whole_handoff

from pipeline.ingest.commit_rows import Committed, add_rows
from pipeline.ingest.result import HandoffResult, State
from pipeline.ingest.settle import Clock

HOUR_NS = 3600 * 10**9


class FakeTime:
    """A clock whose sleeps are only noted; `on_sleep` is what the producer does meanwhile."""

    def __init__(self, wall_offset_ns: int = 0, on_sleep: Callable[[], object] = lambda: None) -> None:
        self.slept: list[float] = []
        self.now = 100.0
        self.clock = Clock(lambda: time.time_ns() + wall_offset_ns, lambda: self.now, self.sleep)
        self._on_sleep = on_sleep

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self._on_sleep()


def ingest(root: Path, handoff: Handoff, fake: FakeTime) -> HandoffResult:
    return ingest_one(root, handoff.path, settle_s=2.0, clock=fake.clock)


def test_a_fresh_handoff_is_watched_for_settle_s(tmp_path: Path) -> None:
    fake = FakeTime()
    assert ingest(tmp_path / "root", whole_handoff(tmp_path / "h"), fake).state is State.ingested
    assert fake.slept == [2.0]


def test_an_old_handoff_needs_no_waiting(tmp_path: Path) -> None:
    fake = FakeTime(wall_offset_ns=HOUR_NS)
    assert ingest(tmp_path / "root", whole_handoff(tmp_path / "h"), fake).state is State.ingested
    assert fake.slept == []


def test_a_clock_behind_the_files_proves_nothing(tmp_path: Path) -> None:
    fake = FakeTime(wall_offset_ns=-HOUR_NS)
    assert ingest(tmp_path / "root", whole_handoff(tmp_path / "h"), fake).state is State.ingested
    assert fake.slept == [2.0]


def test_a_modification_time_set_back_does_not_pass_for_age(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    for path in handoff.path.rglob("*"):
        os.utime(path, (0, 0))
    fake = FakeTime()
    ingest(tmp_path / "root", handoff, fake)
    assert fake.slept == [2.0]


def test_many_fresh_handoffs_settle_together(tmp_path: Path) -> None:
    for number in range(5):
        Handoff(tmp_path / "spool" / f"h{number}").frame(str(number))
    fake = FakeTime()
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool", settle_s=2.0, clock=fake.clock)
    assert [result.state for result in outcome.results] == [State.ingested] * 5
    assert fake.slept == [2.0]


def test_a_handoff_that_changes_while_it_is_watched_is_left_for_the_next_run(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    fake = FakeTime(on_sleep=lambda: handoff.file("late.log", b"x"))
    result = ingest(tmp_path / "root", handoff, fake)
    assert (result.state, int(result.exit_code)) == (State.waiting, 2)
    assert kept(tmp_path / "root") == {}
    assert ingest(tmp_path / "root", handoff, FakeTime()).state is State.ingested


def test_a_wal_that_grows_while_it_is_watched_counts_as_a_change(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    fake = FakeTime(on_sleep=lambda: handoff.file("metadata.db-wal", b"x"))
    assert ingest(tmp_path / "root", handoff, fake).state is State.waiting


def test_an_empty_wal_and_a_shm_that_a_reader_leaves_are_no_change(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")

    def read() -> None:
        handoff.file("metadata.db-wal", b"")
        handoff.file("metadata.db-shm", b"x" * 100)

    assert ingest(tmp_path / "root", handoff, FakeTime(on_sleep=read)).state is State.ingested


def test_a_sealed_handoff_is_not_waited_for(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    handoff.file("contract.json", b'{"contract_version": "1.0", "sealed": true}')
    fake = FakeTime()
    assert ingest(tmp_path / "root", handoff, fake).state is State.ingested
    assert fake.slept == []


@pytest.mark.parametrize("contract", [b'{"sealed": "yes"}', b"[true]", b"{", b"\xff", b"[" * 5000])
def test_anything_but_sealed_true_is_waited_for(tmp_path: Path, contract: bytes) -> None:
    handoff = whole_handoff(tmp_path / "h")
    handoff.file("contract.json", contract)
    fake = FakeTime()
    assert ingest(tmp_path / "root", handoff, fake).state is State.ingested
    assert fake.slept == [2.0]


def test_a_change_right_before_the_marker_leaves_the_handoff_unmarked_and_the_next_run_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = whole_handoff(tmp_path / "h")

    def late_writer(*arguments: Any) -> Committed:
        done = add_rows(*arguments)
        handoff.frame("late")
        return done

    monkeypatch.setattr("pipeline.ingest.ingest_handoff.add_rows", late_writer)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.inserted, int(result.exit_code)) == (State.unmarked, 4, 0)
    assert not handoff.marker.exists()
    assert "the next run finishes it" in result.warnings[-1]
    monkeypatch.undo()
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.inserted, result.identical) == (State.ingested, 1, 4)
