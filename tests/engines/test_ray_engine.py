"""The Ray engine as a user meets it: the rows of the local engine, loopback only, and nothing left behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from screen_memory import fact_files, rows

from pipeline.clients.endpoint import is_loopback
from pipeline.dataroot import DataRoot
from pipeline.runs.servers import server_status, start_server, stop_server
from schemas.fields import utc_text

pytest.importorskip("ray", reason="the extra `ray` is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]
DESK = REPOSITORY / "dataroot_fixtures" / "desk"
TRUTH_SERVER = [sys.executable, str(Path(__file__).with_name("truth_server.py")), "--fixtures", str(DESK)]
STAGES = [item for name in ("list_frames", "list_windows", "visit_urls", "find_text_lines", "track_lines")
          for item in ("--stage", name)]  # fmt: skip
FRAMES = 24


@dataclass
class Watched:
    """A run in a process of its own, and what was seen of the processes below it."""

    process: subprocess.Popen[str]
    below: set[psutil.Process] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    listening: set[str] = field(default_factory=set)
    stderr: str = ""

    def look(self) -> None:
        """Note the processes."""
        with suppress(psutil.Error):
            self.below |= set(psutil.Process(self.process.pid).children(recursive=True))

    def look_closely(self) -> None:
        """Note what they are called and listen on, too."""
        self.look()
        for child in self.below:
            with suppress(psutil.Error):
                self.names.add(child.name())
                self.listening |= {
                    item.laddr.ip for item in child.net_connections("inet") if item.status == psutil.CONN_LISTEN
                }

    def end(self, closely: bool = False) -> int:
        """Watch until the run ends; returns its exit code."""
        while self.process.poll() is None:
            self.look_closely() if closely else self.look()
            time.sleep(0.5)
        _, self.stderr = self.process.communicate()
        return self.process.returncode

    def left(self) -> list[psutil.Process]:
        """Processes of the run that are still there."""
        return [item for item in self.below if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]


def start_run(root: DataRoot, engine: str, *options: str) -> Watched:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return Watched(subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--data-root", str(root), "run", "--until-done", "--engine", engine,
         *STAGES, *options],
        env={**kept, "HOME": str(root.path.parent), "LC_ALL": "C.UTF-8"}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ))  # fmt: skip


def run(root: DataRoot, engine: str) -> Watched:
    watched = start_run(root, engine, "--assume-idle-when-missing")
    assert watched.end(closely=True) == 0, watched.stderr
    return watched


def serve_truth(root: DataRoot, *options: str) -> None:
    start_server(root, "ocr", [*TRUTH_SERVER, *options, "--run-file", str(root.worker_file("ocr"))], timeout_s=60)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    folder = tmp_path_factory.mktemp("desk")
    spool, root = shutil.copytree(DESK / "spool", folder / "spool"), DataRoot(folder / "root")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "ingest", str(spool), "--set", "settle_s=0"]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    return root


@pytest.fixture(scope="module")
def expected(ingested: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The fact files of the local engine."""
    root = DataRoot(shutil.copytree(ingested.path, tmp_path_factory.mktemp("local") / "root"))
    serve_truth(root)
    run(root, "local")
    stop_server(root, "ocr")
    return fact_files(root)


@pytest.fixture
def desk(ingested: DataRoot, tmp_path: Path) -> Iterator[DataRoot]:
    root = DataRoot(shutil.copytree(ingested.path, tmp_path / "root"))
    yield root
    stop_server(root, "ocr")


def test_rows_are_those_of_the_local_engine_and_ray_stays_on_this_machine(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    serve_truth(desk)
    watched = run(desk, "ray")
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


def kill_and_run_again(desk: DataRoot, times: int, expected: dict[str, bytes]) -> None:
    """Kill runs while Ray starts and while it works, by turns; then let one end."""
    serve_truth(desk, "--delay-s", "0.1")
    moments = random.Random(times)
    killed = []
    for number in range(times):
        asked = requests(desk)
        watched = start_run(desk, "ray", "--assume-idle-when-missing")
        while watched.process.poll() is None and not (watched.below if number % 2 else requests(desk) > asked):
            watched.look()
            time.sleep(0.2)
        time.sleep(moments.uniform(0.0, 1.0))
        watched.look()
        watched.process.kill()
        watched.process.communicate()
        killed.append(watched)
    last = start_run(desk, "ray", "--assume-idle-when-missing")
    assert last.end() in (0, 2), last.stderr
    assert max(len(watched.below) for watched in killed) > 5
    assert [watched.left() for watched in killed] == [[]] * times
    assert fact_files(desk) == expected
    assert list(desk.scratch.iterdir()) == []


def test_killed_at_any_moment_the_next_run_gives_the_same_rows_and_ends_what_was_left(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    kill_and_run_again(desk, 3, expected)


@pytest.mark.slow
def test_killed_ten_times(desk: DataRoot, expected: dict[str, bytes]) -> None:
    kill_and_run_again(desk, 10, expected)


@dataclass
class Signal:
    """Writes the activity signal, as a sidecar does, until it is told to stop."""

    root: DataRoot
    user_active: bool = False

    def __enter__(self) -> Signal:
        self._write()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _keep_writing(self) -> None:
        while not self._end.wait(0.1):
            self._write()

    def _write(self) -> None:
        signal_file = self.root.path / "activity" / "activity_signal.json"
        signal_file.parent.mkdir(exist_ok=True)
        content = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": 60, "user_active": self.user_active}
        signal_file.with_suffix(".new").write_text(json.dumps(content))
        signal_file.with_suffix(".new").replace(signal_file)


def requests(root: DataRoot) -> int:
    return next(int(item["requests"] or 0) for item in server_status(root) if item["kind"] == "ocr")


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_closed_gate_ends_the_run_with_3_and_what_was_finished_is_kept(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    serve_truth(desk, "--delay-s", "0.5")
    with Signal(desk) as sidecar:
        watched = start_run(desk, "ray")
        until(lambda: requests(desk) >= 4)
        sidecar.user_active = True
        assert watched.end() == 3, watched.stderr
        asked = requests(desk)
        assert 0 < len(rows(desk, "records")) < FRAMES
        assert watched.left() == []
        assert requests(desk) == asked
        sidecar.user_active = False
        assert start_run(desk, "local").end() == 0
    assert fact_files(desk) == expected


@pytest.mark.slow
def test_a_worker_process_that_dies_costs_nothing_but_time(desk: DataRoot, expected: dict[str, bytes]) -> None:
    serve_truth(desk, "--delay-s", "0.3")
    watched = start_run(desk, "ray", "--assume-idle-when-missing")
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
