"""While the user is active a server does nothing: one that works is stopped by its keeper where it stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from pipeline.clients import TextClient
from pipeline.dataroot import DataRoot
from pipeline.gate import Lookout
from pipeline.runs import holds
from pipeline.runs.quiet import quiet_servers
from pipeline.runs.server_process import Limits, holders, read_history, spawn
from pipeline.runs.server_status import own_servers
from pipeline.runs.servers import start_server, stop_server
from schemas.serving import FrameRef, RunFile

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\x20\x00\x00\x02\x58"  # 800 x 600
FRAME = FrameRef("f", "r", datetime(2026, 4, 1, tzinfo=UTC), 800, 600, "", "")
FRAMES = [FRAME, FRAME]

BUSY = """
import sys, time
from null_ocr_server import NullEngine
from workers import server
from workers.text_service import TextService

def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

class Busy(NullEngine):
    def read(self, image):
        if image.endswith(b"busy"):
            spin(1000)
        return super().read(image)

    def interrupt(self):
        pass

def load():
    spin({load_s})
    return TextService(Busy())

sys.exit(server.serve({kind!r}, server.options({kind!r}).parse_args(), load))
"""
"""A server whose model works on whatever it is told, and that takes its time to load it."""


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataRoot]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "scripts"))
    place = DataRoot(tmp_path / "data").create()
    yield place
    for kind in ("ocr", "embed"):
        stop_server(place, kind)


LIMITS = Limits(start_s=90, silence_s=60, threads=1)


def command(root: DataRoot, kind: str, load_s: float) -> list[str]:
    code = BUSY.format(kind=kind, load_s=load_s)
    return [sys.executable, "-c", code, "--run-file", str(root.worker_file(kind))]


def start(root: DataRoot, kind: str = "ocr", *, light: bool = False) -> RunFile:
    return start_server(root, kind, command(root, kind, 0.0), 60, replace(LIMITS, light=light))


def state(root: DataRoot, kind: str = "ocr") -> str:
    return str(next(item["state"] for item in own_servers(root) if item["kind"] == kind))


def work_that_never_ends(server: RunFile) -> None:
    """Have the server begin an item that it cannot be stopped in, and hang up."""
    used_s = psutil.Process(server.pid).cpu_times().user
    is_open = Lookout(lambda: psutil.Process(server.pid).cpu_times().user < used_s + 0.2)
    client = TextClient(server, load=lambda _: PNG + b"busy", may_send=is_open, concurrency=1, timeout_s=60)
    assert list(client(FRAMES)) == []


def reads(server: RunFile) -> bool:
    client = TextClient(server, load=lambda _: PNG, may_send=Lookout(lambda: True), concurrency=1, timeout_s=60)
    return len(list(client(FRAMES))) == 2


def test_a_server_that_works_on_is_stopped_and_ended_when_nobody_uses_it(root: DataRoot) -> None:
    server = start(root)
    work_that_never_ends(server)
    quiet_servers(root)
    assert until(lambda: state(root) == "paused")
    used_s = psutil.Process(server.pid).cpu_times().user
    time.sleep(0.3)
    assert psutil.Process(server.pid).cpu_times().user == used_s
    holds.let_go(root, "ocr")
    assert until(lambda: state(root) == "stopped")
    assert read_history(root, "ocr")["deaths"] == 0


def is_idle(server: RunFile) -> bool:
    """For longer than its keeper looks back."""
    used_s = sum(psutil.Process(server.pid).cpu_times()[:2])
    time.sleep(0.5)
    return sum(psutil.Process(server.pid).cpu_times()[:2]) == used_s


def test_a_server_that_does_nothing_is_left_alone_and_works_when_it_is_asked_again(root: DataRoot) -> None:
    server = start(root)
    assert until(lambda: is_idle(server))
    quiet_servers(root)
    time.sleep(1.0)
    assert state(root) == "ready"
    assert reads(server)


def test_a_server_that_was_stopped_while_it_loaded_goes_on_when_it_is_wanted_again(root: DataRoot) -> None:
    root.workers.mkdir(parents=True)
    root.logs.mkdir()
    assert holds.hold(root, "ocr")
    assert spawn(root, "ocr", command(root, "ocr", load_s=2.0), root.logs / "ocr.log", LIMITS) is not None
    assert until(lambda: len(holders(root, "ocr", wait_s=0)) == 2)
    quiet_servers(root)
    assert until(lambda: state(root) == "paused")
    assert reads(start(root))


def test_a_server_that_is_only_being_started_stands_still_and_comes_up_when_it_is_wanted(
    root: DataRoot,
) -> None:
    root.workers.mkdir(parents=True)
    root.logs.mkdir()
    assert holds.hold(root, "ocr")
    keeper = spawn(root, "ocr", command(root, "ocr", load_s=0.5), root.logs / "ocr.log", LIMITS)
    assert keeper is not None
    quiet_servers(root)  # at once, so that it cannot have said yet who it is; if it has, its server is stopped
    assert until(lambda: psutil.Process(keeper.pid).status() == psutil.STATUS_STOPPED or state(root) == "paused")
    assert reads(start(root))


def test_the_server_that_questions_use_works_once_it_is_ready(root: DataRoot) -> None:
    server = start(root, "embed", light=True)
    quiet_servers(root)
    work_that_never_ends(server)
    time.sleep(1.0)
    assert state(root, "embed") == "ready"
