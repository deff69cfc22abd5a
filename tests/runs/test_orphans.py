"""No process of a server outlives those who wanted it, whoever is killed, stopped or hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from server_user import NULL_SERVER

from pipeline.dataroot import DataRoot
from pipeline.runs.server_process import holders, is_held
from pipeline.runs.server_status import own_servers
from pipeline.runs.servers import find_server, stop_server

REPOSITORY = Path(__file__).parents[2]


class User:
    """A process that uses the server."""

    def __init__(self, root: DataRoot, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server_user.py")), str(root), *options],
            env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.server = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DataRoot]:
    place = DataRoot(tmp_path / "data").create()
    yield place
    stop_server(place, "ocr")


@pytest.fixture
def use(root: DataRoot) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def make(*options: str) -> User:
        users.append(User(root, *options))
        return users[-1]

    yield make
    for user in users:
        user.kill()


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_gone(root: DataRoot, *pids: int) -> bool:
    return until(lambda: not is_held(root, "ocr") and not any(alive(pid) for pid in pids))


def keeper_of(root: DataRoot) -> int:
    server, keeper = holders(root, "ocr")
    assert server.ppid() == keeper.pid
    return keeper.pid


def test_a_server_ends_with_the_last_of_its_users_that_was_killed(root: DataRoot, use: Callable[..., User]) -> None:
    first, second = use(), use()
    keeper = keeper_of(root)
    assert second.server == first.server
    first.kill()
    time.sleep(0.6)  # the keeper has looked twice
    assert alive(first.server)
    second.kill()
    assert all_gone(root, first.server, keeper)
    assert not root.worker_file("ocr").exists()


def test_a_server_stays_after_an_orderly_end_and_an_operators_one_after_any(
    root: DataRoot, use: Callable[..., User]
) -> None:
    first = use()
    first.end()
    time.sleep(0.6)
    second = use("stay")
    assert second.server == first.server
    second.kill()
    time.sleep(0.6)
    assert find_server(root, "ocr") is not None


def test_a_stopped_server_whose_user_was_killed_is_ended(root: DataRoot, use: Callable[..., User]) -> None:
    user = use()
    keeper = keeper_of(root)
    os.kill(user.server, signal.SIGSTOP)
    user.kill()
    assert all_gone(root, user.server, keeper)


def test_a_server_that_gives_no_sign_of_life_is_killed_and_it_is_known_why(
    root: DataRoot, use: Callable[..., User]
) -> None:
    user = use()
    os.kill(user.server, signal.SIGSTOP)
    assert until(lambda: not alive(user.server))
    assert until(lambda: own_servers(root)[0]["state"] == "stopped")
    status = own_servers(root)[0]
    assert (status["restarts"], status["died_of"]) == (1, "it did not say how it is for 1 s")
    again = use()
    assert again.server != user.server
    assert own_servers(root)[0]["restarts"] == 1
    assert stop_server(root, "ocr") == again.server
    assert own_servers(root)[0]["restarts"] == 0


def test_a_server_dies_with_its_keeper(root: DataRoot, use: Callable[..., User]) -> None:
    user = use()
    os.kill(keeper_of(root), signal.SIGKILL)
    assert all_gone(root, user.server)
    use()
    assert own_servers(root)[0]["died_of"] == "it was killed, and its keeper too"


def test_a_keeper_that_is_stopped_does_not_outlive_the_one_who_started_it(
    root: DataRoot, use: Callable[..., User]
) -> None:
    user = use()
    keeper = keeper_of(root)
    os.kill(keeper, signal.SIGSTOP)
    os.kill(user.server, signal.SIGKILL)
    user.kill()
    assert all_gone(root, user.server, keeper)


def test_a_keeper_that_is_stopped_is_ended_with_its_server(root: DataRoot, use: Callable[..., User]) -> None:
    user = use()
    keeper = keeper_of(root)
    os.kill(keeper, signal.SIGSTOP)
    assert stop_server(root, "ocr") == user.server
    assert all_gone(root, user.server, keeper)


SPAWNING = """
import os, subprocess, sys
more = [sys.executable, "-c", "import os, time; os.setsid(); time.sleep(1000)"]
if os.fork() == 0:
    subprocess.Popen(more, env={name: value for name, value in os.environ.items() if not NAMELESS or "_" not in name})
    os._exit(0)
os.wait()
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def sleepers(folder: Path) -> list[int]:
    return [process.pid for process in psutil.process_iter() if is_sleeper(process, folder)]


def is_sleeper(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cmdline()[-1:] == ["import os, time; os.setsid(); time.sleep(1000)"] and process.cwd() == str(
            folder
        )
    except psutil.Error:
        return False


def test_what_a_server_started_ends_with_it(
    root: DataRoot, use: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = SPAWNING.replace("NAMELESS", "True")
    user = use("--", sys.executable, "-c", code, *NULL_SERVER[1:])
    assert len(sleepers(tmp_path)) == 1
    os.kill(user.server, signal.SIGKILL)
    assert all_gone(root, user.server)
    assert sleepers(tmp_path) == []


def test_what_is_left_when_server_and_keeper_were_killed_ends_with_the_next_start(
    root: DataRoot, use: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = SPAWNING.replace("NAMELESS", "False")
    user = use("--", sys.executable, "-c", code, *NULL_SERVER[1:])
    assert len(sleepers(tmp_path)) == 1
    os.kill(keeper_of(root), signal.SIGKILL)
    assert all_gone(root, user.server)
    use()
    assert until(lambda: sleepers(tmp_path) == [])


def test_the_notes_of_keeper_and_users_are_private(root: DataRoot, use: Callable[..., User]) -> None:
    use()
    names = {path.name: path.stat().st_mode & 0o777 for path in root.workers.iterdir()}
    assert names == {"ocr.json": 0o600, "ocr.json.lock": 0o600, "ocr.json.users": 0o600, "ocr.json.history": 0o600}
    assert json.loads((root.workers / "ocr.json.history").read_bytes())["runs"] is True
