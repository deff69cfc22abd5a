"""Model servers as processes: found, adopted, stopped, never lost. The null server stands in for a model."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from pipeline.clients import ServerGone, TextClient
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.gate import Lookout
from pipeline.reports.doctor import examine
from pipeline.runs.server_status import own_servers
from pipeline.runs.servers import (
    ensure_server,
    find_server,
    start_server,
    stop_server,
    thread_budget,
)
from pipeline.settings import Settings, load_settings
from schemas.serving import FrameRef, RunFile

NULL_SERVER = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "null_ocr_server.py")]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\x20\x00\x00\x02\x58"  # 800 x 600
CAPTURED = datetime(2026, 4, 1, tzinfo=UTC)
STUCK_START = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DataRoot]:
    place = DataRoot(tmp_path / "data").create()
    yield place
    stop_server(place, "ocr")


def start(root: DataRoot, *extra: str) -> RunFile:
    return start_server(root, "ocr", [*NULL_SERVER, *extra, "--run-file", str(root.worker_file("ocr"))], timeout_s=30)


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def ask(server: RunFile, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def read_text(server: RunFile, body: bytes, sizes: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {server.token}", "X-Image-Sizes": sizes}
    return ask(server, "POST", "/v1/text", headers, body)


def test_a_keeper_that_somebody_else_ended_is_no_zombie_of_ours(root: DataRoot) -> None:
    keeper = psutil.Process(start(root).pid).ppid()
    os.kill(keeper, signal.SIGTERM)
    assert until(lambda: not alive(keeper))
    assert psutil.pid_exists(keeper)
    assert stop_server(root, "ocr") is None
    assert not psutil.pid_exists(keeper)


def test_a_server_listens_on_loopback_only_and_its_files_are_private(root: DataRoot) -> None:
    server = start(root)
    process = psutil.Process(server.pid)
    listening = [item for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
    assert [item.laddr.ip for item in listening] == ["127.0.0.1"]
    for path in (root.worker_file("ocr"), root.workers / "ocr.json.lock", root.logs / "ocr.log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert process.nice() >= 10


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer ä"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("POST", "/v1/text"), ("GET", "/nothing")])
def test_a_request_without_the_token_is_refused(
    shared_server: RunFile, headers: dict[str, str], method: str, path: str
) -> None:
    assert ask(shared_server, method, path, headers)[0] == 401


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFile]:
    place = DataRoot(tmp_path_factory.mktemp("shared") / "data").create()
    yield start(place)
    stop_server(place, "ocr")


def test_each_image_of_a_request_has_its_own_result(shared_server: RunFile) -> None:
    status, reply = read_text(shared_server, PNG + b"one" + b"no image" + PNG + b"two", "27,8,27")
    first, failed, last = json.loads(reply)["results"]
    assert status == 200
    assert failed["error"] == "image_unreadable"
    assert (first["width"], first["height"], len(first["lines"])) == (800, 600, 40)
    same = [a == b for a, b in zip(first["lines"], last["lines"], strict=True)]
    assert same == [True, False] * 20


@pytest.mark.parametrize(
    ("body", "sizes"), [(b"abc", "2"), (b"abc", ""), (b"abc", "-3,6"), (b"", ",".join(["0"] * 33)), (b"abc", "x")]
)
def test_sizes_that_do_not_fit_the_body_are_refused(shared_server: RunFile, body: bytes, sizes: str) -> None:
    assert read_text(shared_server, body, sizes)[0] == 400


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(shared_server: RunFile) -> None:
    connection = http.client.HTTPConnection(urlsplit(shared_server.url).netloc, timeout=10)
    try:
        connection.putrequest("POST", "/v1/text")
        connection.putheader("Authorization", f"Bearer {shared_server.token}")
        connection.putheader("X-Image-Sizes", "99999999")
        connection.putheader("Content-Length", "99999999")
        connection.endheaders()
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_running_server_is_adopted(root: DataRoot) -> None:
    server = start(root)
    assert ensure_server(root, load_settings(root.settings_file), "ocr") == server
    assert start(root).pid == server.pid


def test_a_second_server_for_a_dataroot_ends_at_once(root: DataRoot) -> None:
    server = start(root)
    second = subprocess.run(
        [*NULL_SERVER, "--run-file", str(root.worker_file("ocr"))], capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 6
    assert "another server holds" in second.stderr
    assert find_server(root, "ocr") == server


def test_stopping_ends_the_process_and_removes_its_run_file(root: DataRoot) -> None:
    server = start(root)
    assert stop_server(root, "ocr") == server.pid
    assert not alive(server.pid)
    assert not root.worker_file("ocr").exists()
    assert stop_server(root, "ocr") is None


def test_a_killed_server_is_noticed_and_replaced(root: DataRoot) -> None:
    server = start(root)
    os.kill(server.pid, signal.SIGKILL)
    assert until(lambda: not alive(server.pid))
    assert find_server(root, "ocr") is None
    assert until(lambda: own_servers(root)[0]["state"] == "stopped")
    assert not root.worker_file("ocr").exists()
    assert start(root).pid != server.pid


def test_a_run_file_of_a_process_that_is_not_the_server_is_not_believed(root: DataRoot) -> None:
    server = start(root)
    for changes in ({"pid": os.getpid()}, {"created_at": server.created_at - 60}, {"url": "http://192.0.2.1:80"}):
        root.worker_file("ocr").write_text(server.model_copy(update=changes).model_dump_json())
        assert find_server(root, "ocr") is None
    root.worker_file("ocr").write_text("not json")
    assert find_server(root, "ocr") is None


def test_a_server_that_is_only_starting_is_found_and_stopped(root: DataRoot) -> None:
    """The driver died after it started the server: the lock and the pid in it are what is left."""
    with pytest.raises(Unavailable, match="not ready within"):
        start_server(root, "ocr", STUCK_START, timeout_s=0.3)
    assert own_servers(root)[0]["state"] == "starting"
    assert until(lambda: own_servers(root)[0]["pid"] is not None)
    status = own_servers(root)[0]
    assert alive(status["pid"])
    assert stop_server(root, "ocr") == status["pid"]
    assert not alive(status["pid"])


def test_a_server_that_ignores_sigterm_is_killed(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runs.server_process.STOP_GRACE_S", 0.3)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with pytest.raises(Unavailable):
        start_server(root, "ocr", [sys.executable, "-c", stubborn], timeout_s=0.5)
    pid = stop_server(root, "ocr")
    assert pid is not None
    assert not alive(pid)


@pytest.mark.parametrize(
    ("program", "message", "remedy"),
    [
        (
            "sys.stderr.write('noise\\nerror: the package x is missing → pip install x\\n'); sys.exit(5)",
            "the ocr server ended with code 5: the package x is missing",
            "pip install x",
        ),
        ("sys.exit(3)", "the ocr server ended with code 3: it said nothing", "see "),
        ("raise KeyError('k')", "the ocr server ended with code 1: KeyError: 'k'", "see "),
    ],
)
def test_why_a_server_did_not_start_reaches_the_one_who_started_it(
    root: DataRoot, program: str, message: str, remedy: str
) -> None:
    with pytest.raises(Unavailable) as caught:
        start_server(root, "ocr", [sys.executable, "-c", f"import sys; {program}"], timeout_s=20)
    assert caught.value.message == message
    assert caught.value.remedy.startswith(remedy)


def test_a_server_ends_by_itself_when_nobody_asks(root: DataRoot) -> None:
    server = start(root, "--idle-exit-s", "0.5")
    assert until(lambda: not alive(server.pid))
    assert not root.worker_file("ocr").exists()


def test_a_server_that_can_no_longer_be_found_ends(root: DataRoot) -> None:
    server = start(root)
    (root.workers / "ocr.json.lock").unlink()
    assert until(lambda: not alive(server.pid))


def test_work_for_a_client_that_went_away_is_stopped(root: DataRoot) -> None:
    server = start(root, "--delay-s", "30")
    frame = FrameRef("f", "r", CAPTURED, 800, 600, "", "")
    gate = iter([True, True, True, True, True, True])
    client = TextClient(
        server, load=lambda _: PNG, may_send=Lookout(lambda: next(gate, False)), concurrency=1, timeout_s=60
    )
    assert list(client([frame, frame])) == []
    # The thread that slept for the first client is free again.
    status, _ = read_text(server, b"no image", "8")
    assert status == 200


def test_the_client_notices_that_the_server_was_killed(root: DataRoot) -> None:
    server = start(root, "--delay-s", "30")
    frame = FrameRef("f", "r", CAPTURED, 800, 600, "", "")
    killed: list[int] = []

    def may_send() -> bool:
        if not killed and requests_of(root) == 2:
            os.kill(server.pid, signal.SIGKILL)
            killed.append(server.pid)
        return True

    client = TextClient(server, load=lambda _: PNG, may_send=Lookout(may_send), concurrency=2, timeout_s=60)
    with pytest.raises(ServerGone) as caught:
        list(client([frame] * 5))
    assert sorted(caught.value.in_flight) == [0, 1]


def requests_of(root: DataRoot) -> int | None:
    requests = own_servers(root)[0]["requests"]
    return None if requests is None else int(requests)


def test_the_environment_of_a_server_has_no_proxies(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
    environment = psutil.Process(start(root).pid).environ()
    assert "HTTPS_PROXY" not in environment
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("limit", "setting", "threads"),
    [("", 0, 4), ("2", 0, 2), ("2.5", 0, 2), ("0.5", 0, 1), ("64", 0, 4), ("2", 3, 3), ("25%", 0, 2), ("inf", 0, 4)],
)
def test_models_take_half_of_the_processors_or_what_is_allowed_or_set(
    monkeypatch: pytest.MonkeyPatch, limit: str, setting: int, threads: int
) -> None:
    monkeypatch.setattr("pipeline.budget.limits.cpus_allowed", lambda: 8.0)
    monkeypatch.setenv("AP_CPU_LIMIT", limit)
    assert thread_budget(Settings(ocr_threads=setting)) == threads


DEAF = """
import sys, time
from null_ocr_server import NullEngine
from workers import answering, server
from workers.text_service import TextService
answering._COME_BACK_S = 0.2

class Deaf(NullEngine):
    def read(self, image):
        time.sleep(1000)

parser = server.options("ocr")
sys.exit(server.serve("ocr", parser.parse_args(), lambda: TextService(Deaf())))
"""


def test_a_server_that_answers_but_whose_model_hangs_ends_and_it_is_known_why(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(NULL_SERVER[1]).parent))
    command = [sys.executable, "-c", DEAF, "--item-timeout-s", "0.2", "--run-file", str(root.worker_file("ocr"))]
    server = start_server(root, "ocr", command, timeout_s=30)
    frame = FrameRef("f", "r", CAPTURED, 800, 600, "", "")
    client = TextClient(server, load=lambda _: PNG, may_send=Lookout(lambda: True), concurrency=1, timeout_s=60)
    with pytest.raises(ServerGone) as caught:
        list(client([frame]))
    assert caught.value.in_flight == (0,)
    assert until(lambda: own_servers(root)[0]["state"] == "stopped")
    findings = [item for item in examine(root, load_settings(root.settings_file)) if item.check == "ocr server"]
    assert [item.level for item in findings] == ["warning"]
    assert "died once, last at " in findings[0].message
    assert findings[0].message.endswith("it ended with code 70")
    assert findings[0].remedy == f"read {root.logs / 'ocr.log'}"
