"""Runs of the bundled desk in processes of their own, and what is seen of them from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from pipeline.dataroot import DataRoot
from pipeline.engines.ray_folder import processes_of, remove_folder
from pipeline.runs.server_status import own_servers
from pipeline.runs.servers import start_server
from schemas.fields import utc_text

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
            time.sleep(0.5 if closely else 0.1)
        _, self.stderr = self.process.communicate()
        return self.process.returncode

    def left(self) -> list[psutil.Process]:
        """Processes of the run that are still there."""
        return [item for item in self.below if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]


def start_run(root: DataRoot, *options: str, environment: Mapping[str, str] | None = None) -> Watched:
    """Start `pipeline run` with what a user's environment needs at least."""
    return Watched(subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--data-root", str(root), "run", "--until-done", *STAGES, *options],
        env={**bare_environment(root.path.parent), **(environment or {})}, cwd=REPOSITORY,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ))  # fmt: skip


def run_to_end(root: DataRoot, engine: str) -> Watched:
    """Run with an engine and no activity signal until all is done."""
    watched = start_run(root, "--engine", engine, "--assume-idle-when-missing")
    assert watched.end(closely=True) == 0, watched.stderr
    return watched


def bare_environment(home: Path) -> dict[str, str]:
    """Make an environment that knows nothing of the user who runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8"}


def serve_truth(root: DataRoot, *options: str) -> None:
    """Start the server that knows what stands on the bundled screens."""
    start_server(root, "ocr", [*TRUTH_SERVER, *options, "--run-file", str(root.worker_file("ocr"))], timeout_s=60)


def requests(root: DataRoot) -> int:
    """Count the requests that the server has had."""
    return next(int(item["requests"] or 0) for item in own_servers(root) if item["kind"] == "ocr")


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something; fails when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


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


@dataclass(frozen=True)
class Head:
    """A Ray that a user started by hand; `environment` is for one who joins it."""

    address: str
    process: subprocess.Popen[bytes]
    folder: Path
    environment: Mapping[str, str]

    def workers(self) -> list[psutil.Process]:
        """Processes that work for somebody who joined."""
        return [item for item in processes_of(self.folder) if "work_descriptors" in item.name()]


@contextmanager
def started_head(loopback: bool = True) -> Iterator[Head]:
    """Start `ray start --head` with ports, folder and token of its own; ended by the ids of its processes."""
    folder = Path(tempfile.mkdtemp(prefix="ap-"))  # a short path: it holds Unix sockets
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text("f" * 64)
    port, client_port = _free_ports()
    command = ["start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--port", str(port),
               "--ray-client-server-port", str(client_port), "--temp-dir", str(folder), "--num-cpus", "2",
               "--include-dashboard", "false", "--object-store-memory", str(100 << 20)]  # fmt: skip
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0" if loopback else "1"}  # fmt: skip
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *command],
            env={**bare_environment(folder), **settings}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        until(lambda: "Ray runtime started" in (folder / "output").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "output").read_text()
        yield Head(f"127.0.0.1:{port}", process, folder, {"RAY_AUTH_TOKEN_PATH": str(token)})
    finally:
        process.terminate()
        remove_folder(folder, patience_s=3)  # it may wait for its own for a minute
        process.wait(30)


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
