"""What Ray's driver is given, and that this process stays as it was."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from ray_runs import TRUTH_SERVER
from screen_memory import Memory, minutes, open_gate, rows

from pipeline.dataroot import DataRoot
from pipeline.engines.ray import RayEngine
from pipeline.engines.ray_environment import driver_environment, end_on_sigterm
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.errors import Terminated, Unavailable
from pipeline.gate import GateTerms
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.runs.servers import start_server, stop_server
from pipeline.settings import Settings

TERMS = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)


def test_a_ray_of_our_own_has_a_token_that_this_process_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.4:6379")
    before = dict(os.environ)
    own, other = driver_environment(own=True), driver_environment(own=True)
    assert len(own["RAY_AUTH_TOKEN"]) == 64
    assert own["RAY_AUTH_TOKEN"] != other["RAY_AUTH_TOKEN"]
    assert own["RAY_USAGE_STATS_ENABLED"] == own["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "RAY_ADDRESS" not in own
    assert dict(os.environ) == before


def test_one_that_is_joined_is_given_the_users_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    joined = driver_environment(own=False)
    assert joined["RAY_AUTH_TOKEN"] == "mine"
    assert joined["RAY_NUM_REDIS_GET_RETRIES"] == "1"


def test_a_server_is_not_given_the_users_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = DataRoot(tmp_path / "root").create()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    server = start_server(root, "ocr", [*TRUTH_SERVER, "--run-file", str(root.worker_file("ocr"))], timeout_s=60)
    given = Path(f"/proc/{server.pid}/environ").read_bytes()
    stop_server(root, "ocr")
    assert b"PATH=" in given
    assert b"f" * 64 not in given


def test_sigterm_ends_a_run_as_an_exception_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with end_on_sigterm(), pytest.raises(Terminated) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_command_that_has_its_own_way_with_sigterm_keeps_it() -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    with end_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]


def test_stages_without_a_model_start_no_ray(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    frame_id = memory.frame(1, minutes(10, 1)[0])
    engine = RayEngine(memory.root, Settings(), TERMS, cpus=2)
    options = RunOptions(until_done=True, stages=("list_frames",))
    report = run(memory.root, Settings(), options, engine, open_gate(memory.root), no_model, LogProgress())
    assert report.engine == "ray"
    assert [row["frame_id"] for row in rows(memory.root, "frames")] == [frame_id]
    assert engine.startup_s == 0
    assert list(memory.root.scratch.glob("ray-*")) == []


def test_a_ray_that_cannot_start_is_told_when_it_is_needed_and_what_needs_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    memory = Memory(tmp_path / "root")
    memory.frame(1, minutes(10, 1)[0])
    long = tmp_path / ("long" * 10)
    long.mkdir()
    engine = RayEngine(memory.root, Settings(), TERMS, cpus=2)
    server = start_server(
        memory.root, "ocr", [*TRUTH_SERVER, "--run-file", str(memory.root.worker_file("ocr"))], timeout_s=60
    )
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(Unavailable, match="too long a path"):
        run(
            memory.root, Settings(), RunOptions(), engine, open_gate(memory.root),
            lambda _: text_model(memory.root, Settings(), server, open_gate(memory.root), 1), LogProgress(),
        )  # fmt: skip
    stop_server(memory.root, "ocr")
    assert len(rows(memory.root, "frames")) == 1
    assert list(memory.root.scratch.iterdir()) == []


def no_model(kind: str) -> TextModel:
    raise AssertionError(kind)
