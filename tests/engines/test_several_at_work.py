"""Shards that are worked on side by side: when one ends early, what the others finish is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from screen_memory import InProcessModel, Memory, minutes, open_gate, rows

from pipeline.dag import Stage
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import Model, Shard, ShardResult, nothing_done
from pipeline.errors import Blocked, Unavailable
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings


class SideBySide(LocalEngine):
    """Takes all shards at once; the first of them comes back undone, as when a gate closes or a server dies."""

    closed = False

    def __init__(self, memory: Memory, *, server_gone: bool) -> None:
        super().__init__(memory.root)
        self._server_gone = server_gone

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: Model | None, code_version: str
    ) -> Iterator[ShardResult]:
        taken = list(shards)
        if stage.model:
            yield nothing_done(stage, taken.pop(0), server_gone=self._server_gone)
        yield from super().run(stage, taken, model, code_version)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, 1, 2, 3)):
        made.frame(number, moment)
    return made


def work(memory: Memory, engine: SideBySide) -> None:
    options, model = RunOptions(until_done=True), InProcessModel(memory.root)
    run(memory.root, Settings(shard_frames=1), options, engine, open_gate(memory.root), model, LogProgress())


def test_a_run_that_is_blocked_keeps_what_the_others_finished(memory: Memory) -> None:
    engine = SideBySide(memory, server_gone=False)
    with pytest.raises(Blocked, match="the user was active for a moment"):
        work(memory, engine)
    assert len(rows(memory.root, "records")) == 2
    assert engine.closed


def test_a_server_that_always_dies_costs_no_frame_of_the_others(memory: Memory) -> None:
    engine = SideBySide(memory, server_gone=True)
    with pytest.raises(Unavailable, match="died 5 times in a row"):
        work(memory, engine)
    assert len(rows(memory.root, "records")) == 2
    assert engine.closed
