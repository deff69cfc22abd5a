"""What a Ray worker does, in this process: the same rows, nothing for a dead driver, its errors as data."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from screen_memory import RUN, Memory, minutes

from pipeline.dag import stage
from pipeline.engines.ray_node import here
from pipeline.engines.ray_results import describe, read_results
from pipeline.engines.ray_work import Job, process_start, work_descriptors
from pipeline.engines.shards import Shard, ShardResult, work_shard
from pipeline.errors import ContractInvalid
from pipeline.gate import GateTerms
from pipeline.settings import Settings
from pipeline.stores.catalog import Sample
from pipeline.stores.evidence import EvidenceStore
from schemas.evidence import FRAME
from schemas.fields import parse_utc

OPEN = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)
CLOSED = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=False)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "root")


@pytest.fixture
def shards(memory: Memory) -> list[Shard]:
    """Two shards of list_frames; a row of the second is not there."""
    moments = minutes(10, 1, 2) + minutes(11, 3)
    names = [memory.frame(number, moment) for number, moment in enumerate(moments)] + [f"{RUN}/gone/0"]
    samples = [
        Sample(name, FRAME, RUN, int(parse_utc(moment).timestamp() * 1_000_000), moment[:10], moment[11:13])
        for name, moment in zip(names, [*moments, moments[-1]], strict=True)
    ]
    return [Shard(RUN, "2026-03-01", hour, tuple(s for s in samples if s.hour == hour)) for hour in ("10", "11")]


def job(memory: Memory, job_id: str, terms: GateTerms = OPEN, **driver: Any) -> Job:
    own = {"driver": os.getpid(), "driver_started": process_start(os.getpid()), **driver}
    return Job(
        job_id,
        own.pop("wanted", memory.root.path),
        memory.root.path,
        Settings(),
        terms,
        stage("list_frames"),
        None,
        None,
        "1",
        1,
        place=own.pop("place", here()),
        node="127.0.0.1",
        **own,
    )


def work(given: Job, shards: list[Shard]) -> list[tuple[int, ShardResult]]:
    descriptors = pa.Table.from_pylist([describe(index, shard) for index, shard in enumerate(shards)])
    return [(index, result) for index, _, result in read_results(work_descriptors(descriptors, given), shards)]


def test_what_comes_back_is_what_the_local_engine_makes(memory: Memory, shards: list[Shard]) -> None:
    with EvidenceStore(memory.root) as evidence:
        expected = [work_shard(stage("list_frames"), shard, evidence, None, "1") for shard in shards]
    for (index, result), local in zip(work(job(memory, "a"), shards), expected, strict=True):
        assert result.shard is shards[index]
        assert result.batch.rows.equals(local.batch.rows)
        assert result.batch.rows.schema == local.batch.rows.schema
        assert replace(result, batch=local.batch, elapsed_s=0) == replace(local, elapsed_s=0)
        assert result.batch.results == local.batch.results
    assert [len(result.batch.results) for result in expected] == [2, 2]


def test_nothing_is_done_for_a_driver_that_is_dead(memory: Memory, shards: list[Shard]) -> None:
    dead = subprocess.Popen(["sleep", "60"])
    started = process_start(dead.pid)
    dead.kill()
    dead.wait()
    done = work(job(memory, "b", driver=dead.pid, driver_started=started), shards)
    assert [result.batch.results for _, result in done] == [[], []]
    done = work(job(memory, "c", driver_started=1), shards)  # another process with its number
    assert [result.batch.results for _, result in done] == [[], []]


def test_nothing_is_done_once_the_driver_does_not_want_it_any_more(
    memory: Memory, shards: list[Shard], tmp_path: Path
) -> None:
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    assert [len(result.batch.results) for _, result in work(job(memory, "g", wanted=wanted), shards)] == [2, 2]
    wanted.rmdir()
    assert [result.batch.results for _, result in work(job(memory, "h", wanted=wanted), shards)] == [[], []]


def test_a_gate_that_was_closed_stays_so_for_the_rest_of_the_job_only(memory: Memory, shards: list[Shard]) -> None:
    given = job(memory, "d", CLOSED)
    assert [result.batch.results for _, result in work(given, shards)] == [[], []]
    assert [result.batch.results for _, result in work(replace(given, gate=OPEN), shards)] == [[], []]
    done = work(replace(given, job_id="e", gate=OPEN), shards)
    assert [len(result.batch.results) for _, result in done] == [2, 2]


def test_an_error_of_ours_is_raised_in_the_driver_as_it_was(memory: Memory, shards: list[Shard]) -> None:
    memory.root.metadata_db.write_bytes(b"no database")
    with pytest.raises(ContractInvalid, match="no readable SQLite database") as raised:
        work(job(memory, "f"), shards)
    assert raised.value.remedy
