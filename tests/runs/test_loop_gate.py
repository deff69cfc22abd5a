"""The run loop and what may keep it from work: the user, another run, evidence that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loop_memory import ClosingGate, fill, outcomes
from screen_memory import (
    InProcessModel,
    Memory,
    fact_files,
    minutes,
    process,
    rows,
)

from pipeline.errors import Blocked, Busy, ContractInvalid, NothingToDo
from pipeline.gate import Gate
from pipeline.stores.lock import hold_lock


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
