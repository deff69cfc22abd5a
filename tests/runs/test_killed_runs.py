"""A run may be killed at any moment: readers never see a row twice, and the next run ends as an undisturbed one."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from screen_memory import Memory, fact_files, minutes, process

from pipeline.dataroot import DataRoot
from pipeline.runs.run_files import read_manifest
from schemas.arrow import KEYS
from schemas.evidence import UIA_SNAPSHOT

TESTS = Path(__file__).resolve().parent.parent


class KilledRuns:
    """The process that runs and kills."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("killed_runs.py")],
            env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, root: DataRoot, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"root": str(root.path), **order}) + "\n")
        self.process.stdin.flush()
        ended = json.loads(self.process.stdout.readline())
        assert isinstance(ended, dict)
        return ended

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0


@pytest.fixture(scope="module")
def runs() -> Iterator[KilledRuns]:
    started = KilledRuns()
    yield started
    started.close()


def fill(path: Path, frames: int) -> Memory:
    memory = Memory(path)
    address = {"role": "Edit", "aid": "omnibox", "value": "a.example/x"}
    for number in range(frames):
        moment = minutes(10 + number // 20, number % 20)[0]
        snapshot = memory.put(UIA_SNAPSHOT, number, moment, {"content_hash": "c" * 64, "operables": [address]})
        memory.frame(number, moment, uia_ref={"record_id": snapshot, "content_hash": "c" * 64})
    return memory


def require_sound(root: DataRoot) -> None:
    """Every file that a glob finds can be read, and no key is there twice."""
    for table, keys in KEYS.items():
        if list((root.facts / table).glob("*/*/*/part-*.parquet")):
            pattern = root.facts / table / "**" / "part-*.parquet"
            query = f"SELECT count(*), count(DISTINCT ({', '.join(keys)},)) FROM read_parquet('{pattern}')"
            total, distinct = duckdb.execute(query).fetchall()[0]
            assert total == distinct, table


def test_killed_around_every_write_the_next_run_makes_it_good(runs: KilledRuns, tmp_path: Path) -> None:
    memory = fill(tmp_path / "root", frames=4)
    untouched = tmp_path / "untouched"
    shutil.copytree(memory.root.path, untouched)
    events = int(runs.run(memory.root, shard_frames=2)["events"])
    expected = fact_files(memory.root)
    assert events > 20
    assert {name.split("/")[0] for name in expected} >= {
        "frames",
        "records",
        "url_visits",
        "line_tracks",
        "stage_outcomes",
    }
    for event in range(events):
        root = DataRoot(tmp_path / f"killed-{event}")
        shutil.copytree(untouched, root.path)
        assert runs.run(root, shard_frames=2, at_event=event)["killed"]
        require_sound(root)
        ended = runs.run(root, shard_frames=3)
        assert ended["code"] in (0, 2), event
        assert fact_files(root) == expected, event
        states = sorted(read_manifest(path)["state"] for path in root.manifests.glob("run-*.json"))
        assert states in (["completed"], ["crashed"], ["completed", "crashed"], ["completed", "completed"])


def test_killed_at_random_moments_the_rows_are_those_of_an_undisturbed_run(runs: KilledRuns, tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole", frames=80)
    memory = fill(tmp_path / "root", frames=80)
    process(whole.root)
    moments = random.Random(2026)
    killed = 0
    for _ in range(20):
        ended = runs.run(memory.root, shard_frames=4, seconds=0.06, after_s=moments.uniform(0.05, 0.6))
        killed += ended["killed"]
        require_sound(memory.root)
    assert killed >= 10
    assert runs.run(memory.root, shard_frames=4)["code"] in (0, 2)
    require_sound(memory.root)
    assert fact_files(memory.root) == fact_files(whole.root)
