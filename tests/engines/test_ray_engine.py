"""The Ray engine as a user meets it: the rows of the local engine, loopback only, and nothing left behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_runs import FRAMES, TRUTH_SERVER, requests, run_to_end, serve_truth, start_run, until
from screen_memory import fact_files, rows

from pipeline.dataroot import DataRoot
from pipeline.loopback import is_loopback

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest_plugins = ["ray_desk"]

ON_RAY = ("--engine", "ray", "--assume-idle-when-missing")


def test_rows_are_those_of_the_local_engine_and_ray_stays_on_this_machine(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    serve_truth(desk)
    watched = run_to_end(desk, "ray")
    assert "engine: ray (as asked for)" in watched.stderr
    assert fact_files(desk) == expected
    assert len({row["row_hash"] for row in rows(desk, "records")}) == FRAMES
    assert len(rows(desk, "line_tracks")) > FRAMES
    assert len(watched.below) > 5
    assert watched.listening != set()
    assert [address for address in watched.listening if not is_loopback(address)] == []
    assert [name for name in watched.names if "Usage" in name] == []
    assert watched.left() == []
    assert list(desk.scratch.iterdir()) == []
    assert not (desk.path.parent / ".ray").exists()


def kill_and_run_again(desk: DataRoot, times: int, engine: str, expected: dict[str, bytes]) -> None:
    """Kill runs while Ray starts and while it works, by turns; then let one end, with any engine."""
    serve_truth(desk, "--delay-s", "0.05")
    moments = random.Random(times)
    killed = []
    for number in range(times):
        asked = requests(desk)
        watched = start_run(desk, *ON_RAY)
        while watched.process.poll() is None and not (requests(desk) > asked if number % 2 else watched.below):
            watched.look()
            time.sleep(0.1)
        time.sleep(moments.uniform(0.0, 0.5))
        watched.look()
        watched.process.kill()
        watched.process.communicate()
        killed.append(watched)
    last = start_run(desk, "--engine", engine, "--assume-idle-when-missing")
    assert last.end() in (0, 2), last.stderr
    assert max(len(watched.below) for watched in killed) > 5
    assert [watched.left() for watched in killed] == [[]] * times
    assert fact_files(desk) == expected
    assert list(desk.scratch.iterdir()) == []


def test_killed_at_any_moment_the_next_run_gives_the_same_rows_and_ends_what_was_left(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    kill_and_run_again(desk, 2, "local", expected)


@pytest.mark.slow
def test_killed_ten_times(desk: DataRoot, expected: dict[str, bytes]) -> None:
    kill_and_run_again(desk, 10, "ray", expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_a_run_ends_ray_first(desk: DataRoot, number: signal.Signals) -> None:
    serve_truth(desk, "--delay-s", "0.3")
    watched = start_run(desk, *ON_RAY)
    until(lambda: requests(desk) >= 2)
    watched.look()
    watched.process.send_signal(number)
    assert watched.end() == 128 + number, watched.stderr
    assert len(watched.below) > 5
    assert watched.left() == []
    assert list(desk.scratch.iterdir()) == []
    assert "WARNING" not in watched.stderr


@pytest.mark.slow
def test_a_worker_process_that_dies_costs_nothing_but_time(desk: DataRoot, expected: dict[str, bytes]) -> None:
    serve_truth(desk, "--delay-s", "0.3")
    watched = start_run(desk, *ON_RAY)
    until(lambda: requests(desk) >= 2)
    watched.look()
    victim = next(item for item in watched.below if "work_descriptors" in item.name())
    victim.send_signal(signal.SIGKILL)
    assert watched.end() == 0, watched.stderr
    assert not victim.is_running()
    assert fact_files(desk) == expected


@pytest.mark.slow
def test_a_server_that_dies_is_started_again_and_the_rows_are_the_same(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    script = Path(__file__).with_name("run_with_a_dying_server.py")
    done = subprocess.run(
        [sys.executable, script, desk.path, *TRUTH_SERVER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the ocr server died; it is started again" in done.stderr
    assert fact_files(desk) == expected
