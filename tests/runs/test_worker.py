"""`pipeline worker`: at work while the user is away, gone when they come, awake when something arrives."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tenacity
from screen_memory import InProcessModel, Memory, fact_files, minutes, process, rows
from sidecar import Sidecar, sidecar

from pipeline.dataroot import DataRoot
from pipeline.errors import Busy, Unavailable
from pipeline.gate import Gate, Verdict
from pipeline.runs import worker as worker_module
from pipeline.runs.outages import wait_s
from pipeline.runs.report import RunReport
from pipeline.runs.worker import Worker

HOLD_S = 0.3


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, *range(12))):
        made.frame(number, moment)
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "NEWS_EVERY_S", 0.05)
    monkeypatch.setattr(worker_module, "BUSY_S", 0.05)
    monkeypatch.setattr(worker_module, "AFTER_ERROR", tenacity.wait_fixed(0.05))


class AskingModel(InProcessModel):
    """Asks the gate before each frame, as a client does."""

    gate: Gate

    def read(self, frames: object) -> Iterator[object]:  # type: ignore[override]
        for item in super().read(frames):  # type: ignore[arg-type]
            if not self.gate.ask().open:
                return
            yield item


@contextmanager
def working(
    root: DataRoot, model: AskingModel, run: Callable[[], RunReport] | None = None
) -> Iterator[tuple[Worker, list[Verdict]]]:
    changes: list[Verdict] = []
    gate = model.gate = Gate(root.activity_signal, resume_hold_s=HOLD_S, on_change=changes.append)
    made = Worker(root, gate, run or (lambda: process(root, model, gate, shard_frames=4)), resume_hold_s=HOLD_S)
    thread = threading.Thread(target=made.work, name="worker")
    thread.start()
    try:
        yield made, changes
    finally:
        made.stop()
        thread.join()


def test_it_waits_for_idleness_to_hold_and_works_then_and_on_what_arrives(memory: Memory) -> None:
    model = AskingModel(memory.root)
    with sidecar(memory.root) as user, working(memory.root, model) as (made, changes):
        assert until(lambda: len(changes) == 1)
        assert (changes[0].open, changes[0].reason, model.asked) == (False, "the user is active", [])
        user.say(active=False)
        assert until(lambda: made.report.runs["nothing to do"] == 1)
        assert len(model.asked) == 12
        memory.frame(12, minutes(11, 0)[0])
        assert until(lambda: made.report.runs["done"] == 2)
    assert len(model.asked) == 13
    assert made.report.done["find_text_lines"] == {"done": 13}


def test_whatever_the_user_does_the_rows_are_those_of_a_run_in_peace(memory: Memory, tmp_path: Path) -> None:
    whole = Memory(tmp_path / "whole")
    for number, moment in enumerate(minutes(10, *range(12))):
        whole.frame(number, moment)
    process(whole.root)
    model = AskingModel(memory.root, seconds=0.03)
    with sidecar(memory.root) as user, working(memory.root, model) as (made, _):
        while not made.report.runs["nothing to do"]:
            enough = len(model.asked) + 3
            user.say(active=False)
            while len(model.asked) < enough and not made.report.runs["nothing to do"]:
                time.sleep(0.01)
            _come(user, model)
    assert made.report.runs["paused"] > 1
    assert fact_files(memory.root) == fact_files(whole.root)
    assert {row["status"] for row in rows(memory.root, "stage_outcomes")} == {"done"}


def _come(user: Sidecar, model: InProcessModel) -> None:
    """The user comes; from the next word of the gate on nothing is asked."""
    user.say(active=True)
    time.sleep(0.15)
    asked = len(model.asked)
    time.sleep(0.15)
    assert len(model.asked) == asked


@pytest.mark.parametrize("error", [Unavailable("no model", remedy="get one"), ValueError("a bug"), Busy("another")])
def test_an_error_of_a_run_does_not_end_it(memory: Memory, error: Exception) -> None:
    model = AskingModel(memory.root)
    failures = iter([error, error])

    def run() -> RunReport:
        for failure in failures:
            raise failure
        return process(memory.root, model, model.gate)

    with sidecar(memory.root) as user, working(memory.root, model, run) as (made, _):
        user.say(active=False)
        assert until(lambda: made.report.runs["nothing to do"] == 1)
    assert made.report.runs["busy" if isinstance(error, Busy) else "failed"] == 2
    assert made.report.runs["done"] == 1


def test_what_waits_longer_after_each_error_never_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits = [wait_s(attempt, worker_module.AFTER_ERROR) for attempt in (1, 2, 3, 50)]
    assert waits == [5.0, 10.0, 20.0, 600.0]


def test_stopped_in_the_middle_of_a_run_it_keeps_what_is_finished(memory: Memory) -> None:
    model = AskingModel(memory.root, seconds=0.1)
    with sidecar(memory.root) as user, working(memory.root, model) as (made, _):
        user.say(active=False)
        assert until(lambda: len(model.asked) >= 6)
        made.stop()
        assert until(lambda: made.report.runs["paused"] == 1)
    done = made.report.done["find_text_lines"]["done"]
    assert 4 <= done < 12
    assert sum(row["stage"] == "find_text_lines" for row in rows(memory.root, "stage_outcomes")) == done


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_ends_on_a_signal_and_is_the_only_one_of_its_dataroot(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    empty = Memory(tmp_path / "root")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(empty.root.path), "worker", "--engine", "local"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        lines = iter(first.stderr.readline, "")
        assert any("gate closed: there is no activity signal" in line for line in lines)
        if number == signal.SIGTERM:
            second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert second.returncode == 6
            assert "another worker is at work" in second.stderr
        first.send_signal(number)
        assert first.wait(30) == code
        first.stderr.read()
