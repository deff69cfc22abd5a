"""A worker's Ray while the user is there: it stands still, starting or at work, and goes on when they have left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from ray_runs import FRAMES, REPOSITORY, STAGES, Signal, Watched, bare_environment, requests, serve_truth, until
from screen_memory import fact_files, rows

from pipeline.dataroot import DataRoot
from pipeline.engines.ray import RayEngine
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate, GateTerms
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.servers import find_server, stop_server
from pipeline.runs.worker import Worker
from pipeline.settings import Settings

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest_plugins = ["ray_desk"]

HOLD_S = 0.2


def of_ray(pid: int) -> list[psutil.Process]:
    """All below the keeper that a process started, the driver first."""
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if "pipeline.engines.ray_keeper" in child.cmdline():
                return child.children(recursive=True)
    return []


def stands(pid: int) -> bool:
    states = set()
    for process in of_ray(pid):
        with suppress(psutil.NoSuchProcess):
            states.add(process.status())
    return states - {psutil.STATUS_ZOMBIE} == {psutil.STATUS_STOPPED}


def read(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those of fact files that say what was read; a worker makes more than the runs that these are held against."""
    return {name: content for name, content in files.items() if "part-find_text_lines" in name}


@contextmanager
def working(root: DataRoot, engine: RayEngine) -> Iterator[Worker]:
    """A worker in a thread of this process, which reads frames with the server that is there."""
    settings, terms = Settings(), GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=False)
    gate = Gate(root.activity_signal, **terms, resume_hold_s=HOLD_S)

    def model(kind: str) -> TextModel:
        server = find_server(root, kind)
        assert server is not None
        return text_model(root, settings, server, gate, settings.request_concurrency)

    def run_once() -> RunReport:
        return run(root, settings, RunOptions(True, tuple(STAGES[1::2])), engine, gate, model, LogProgress())

    worker = Worker(root, gate, run_once, resume_hold_s=HOLD_S)
    thread = threading.Thread(target=worker.work)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join()
        engine.end()


def test_ray_stands_still_when_the_user_comes_and_the_same_one_goes_on(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    me = psutil.Process().pid
    serve_truth(desk, "--delay-s", "0.1")
    engine = RayEngine(
        desk, Settings(), GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=False), 2, stay_s=60
    )
    with Signal(desk) as sidecar, working(desk, engine) as worker:
        until(lambda: len(of_ray(me)) > 1)
        driver = of_ray(me)[0]
        sidecar.user_active = True
        until(lambda: stands(me))
        assert requests(desk) == 0
        sidecar.user_active = False
        until(lambda: requests(desk) >= 4)
        sidecar.user_active = True
        until(lambda: stands(me))
        asked, done = requests(desk), len(rows(desk, "records"))
        time.sleep(0.5)
        assert requests(desk) == asked < FRAMES
        assert done < FRAMES
        sidecar.user_active = False
        until(lambda: worker.report.runs["nothing to do"] > 0)
        until(lambda: stands(me))
        processes = of_ray(me)
        assert processes[0] == driver
        assert len(processes) > 5
    assert [item for item in processes if item.is_running()] == []
    assert worker.report.runs["paused"] >= 2
    assert list(desk.scratch.iterdir()) == []
    assert fact_files(desk) == expected


@contextmanager
def worker(root: DataRoot) -> Iterator[Watched]:
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "worker", "--engine", "ray"]
    watched = Watched(subprocess.Popen(
        [*command, "--set", f"resume_hold_s={HOLD_S}"], cwd=REPOSITORY, env=bare_environment(root.path.parent),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ))  # fmt: skip
    try:
        yield watched
    finally:
        if watched.process.poll() is None:
            watched.process.kill()
            watched.process.communicate()
        stop_server(root, "embed")


@pytest.mark.slow
def test_one_that_does_not_get_over_it_is_started_anew(desk: DataRoot, expected: dict[str, bytes]) -> None:
    serve_truth(desk, "--delay-s", "0.1")
    with Signal(desk) as sidecar, worker(desk) as watched:
        pid = watched.process.pid
        until(lambda: requests(desk) >= 4)
        driver = of_ray(pid)[0]
        sidecar.user_active = True
        until(lambda: stands(pid))
        next(process for process in of_ray(pid) if process.name() == "raylet").kill()
        sidecar.user_active = False
        until(lambda: read(fact_files(desk)) == read(expected) != {}, timeout_s=120)
        assert of_ray(pid)[0] != driver
        watched.look()
        watched.process.send_signal(signal.SIGTERM)
        assert watched.end() == 0, watched.stderr
        assert [item for item in watched.left() if "workers" not in " ".join(item.cmdline())] == []
    assert watched.stderr.count("INFO Ray started after") == 2
    assert list(desk.scratch.iterdir()) == []
