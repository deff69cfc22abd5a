"""`pipeline ingest --watch`: what is there, then what arrives, only while the user is idle `[gate-4]`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from handoff_builder import Handoff, ingest_one, run_ingest, whole_handoff

from pipeline.errors import Busy, ContractInvalid
from pipeline.gate import Gate
from pipeline.ingest.arrivals import Arrivals
from pipeline.ingest.drain import DrainResult
from pipeline.ingest.result import State
from pipeline.ingest.watch import Watch
from schemas.fields import utc_text

PATIENCE_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Desk:
    """A spool under watch in a thread, and a user whose signal is always fresh."""

    def __init__(self, folder: Path) -> None:
        self.root, self.spool = folder / "root", folder / "spool"
        self.spool.mkdir()
        self.passes: list[list[str]] = []
        self.blocked: list[str] = []
        self.is_user_active = False
        self.busy = 0

    def gate(self) -> Gate:
        signal_file = self.spool.parent / "signal.json"

        def path() -> Path:
            fields = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": 0, "user_active": self.is_user_active}
            signal_file.write_text(json.dumps(fields))
            return signal_file

        return Gate(path)

    def drain(self, paths: Sequence[Path]) -> DrainResult:
        self.passes.append([path.name for path in paths])
        if self.busy:
            self.busy -= 1
            raise Busy("another ingest is at work")
        return run_ingest(self.root, *paths)

    @contextmanager
    def watched(self, *, must_poll: bool = False) -> Iterator[Watch]:
        with Arrivals(must_poll=must_poll) as arrivals:
            watch = Watch([self.spool], self.drain, self.gate(), arrivals, resume_hold_s=0.1,
                          on_blocked=self.blocked.append)  # fmt: skip
            thread = threading.Thread(target=watch.run)
            thread.start()
            try:
                yield watch
            finally:
                watch.stop()
                thread.join(PATIENCE_S)
                assert not thread.is_alive()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def arrive(desk: Desk, name: str) -> Handoff:
    """A handoff that is there at once, as when its producer renames it into the spool."""
    handoff = Handoff(desk.spool.parent / "making" / name)
    handoff.frame(name)
    handoff.path = handoff.path.rename(desk.spool / name)
    return handoff


@pytest.mark.parametrize("must_poll", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_there_and_what_arrives_is_ingested(desk: Desk, must_poll: bool) -> None:
    first = arrive(desk, "a")
    with desk.watched(must_poll=must_poll):
        until(first.marker.exists)
        second = arrive(desk, "b")
        until(second.marker.exists)
    assert desk.passes == [["a"], ["b"]]


def test_nothing_runs_while_nothing_happens(desk: Desk) -> None:
    handoff = arrive(desk, "a")
    with desk.watched():
        until(handoff.marker.exists)
        before = len(desk.passes)
        time.sleep(0.5)
        assert len(desk.passes) == before == 1


def test_a_rejected_handoff_is_taken_again_only_when_it_changed(desk: Desk) -> None:
    handoff = arrive(desk, "a")
    database = (handoff.path / "metadata.db").read_bytes()
    (handoff.path / "metadata.db").write_bytes(b"no database" * 100)
    with desk.watched():
        until(lambda: len(desk.passes) == 1)
        time.sleep(0.5)
        assert len(desk.passes) == 1
        (handoff.path / "metadata.db").write_bytes(database)
        until(handoff.marker.exists)


def test_a_directory_that_becomes_a_handoff_later_is_found(desk: Desk) -> None:
    making = desk.spool / "a"
    making.mkdir()
    with desk.watched():
        time.sleep(0.2)
        whole = whole_handoff(desk.spool.parent / "whole")
        for item in sorted(whole.path.iterdir(), reverse=True):
            item.rename(making / item.name)
        until((making / "reap_eligible.json").exists)


def test_an_active_user_is_waited_for(desk: Desk) -> None:
    desk.is_user_active = True
    handoff = arrive(desk, "a")
    with desk.watched():
        until(lambda: desk.blocked == ["the user is active"])
        assert not handoff.marker.exists()
        desk.is_user_active = False
        until(handoff.marker.exists)


def test_another_ingest_at_work_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ingest.watch._BUSY_S", 0.1)
    desk.busy = 2
    handoff = arrive(desk, "a")
    with desk.watched():
        until(handoff.marker.exists)
    assert desk.passes == [["a"]] * 3


def test_an_ingest_by_hand_can_run_in_between(desk: Desk) -> None:
    first = arrive(desk, "a")
    with desk.watched():
        until(first.marker.exists)
        until(lambda: len(desk.passes) == 1)
        elsewhere = whole_handoff(desk.spool.parent / "elsewhere")
        until(lambda: ingest_one(desk.root, elsewhere.path).state in (State.ingested, State.already))


def test_where_the_kernel_has_no_watch_left_it_looks_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from watchdog.observers import Observer

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "schedule", refuse)
    monkeypatch.setattr("pipeline.ingest.arrivals.POLL_S", 0.1)
    with desk.watched():
        until(lambda: "inotify watch limit reached" in caplog.text)
        until(arrive(desk, "a").marker.exists)


def test_a_path_that_is_no_directory_is_refused(desk: Desk) -> None:
    desk.spool.rmdir()
    with Arrivals() as arrivals, pytest.raises(ContractInvalid, match="no directory that could be watched"):
        Watch([desk.spool], desk.drain, desk.gate(), arrivals, resume_hold_s=0, on_blocked=desk.blocked.append).run()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly(desk: Desk, number: signal.Signals, code: int) -> None:
    handoff = arrive(desk, "a")
    place = desk.root / "activity" / "activity_signal.json"
    place.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "pipeline", "--data-root", str(desk.root), "ingest", "--watch", str(desk.spool),
               "--set", "settle_s=0"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def is_marked() -> bool:
            signal_text = json.dumps({"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": 9, "user_active": False})
            temporary = place.with_name("new")
            temporary.write_text(signal_text)
            temporary.rename(place)
            return handoff.marker.exists()

        until(is_marked)
        os.kill(process.pid, number)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors
    assert "a: ingested" in output


def test_watching_with_another_gate_is_a_usage_error(desk: Desk) -> None:
    command = [sys.executable, "-m", "pipeline", "--data-root", str(desk.root), "ingest", "--watch", str(desk.spool)]
    done = subprocess.run([*command, "--gate", "auto"], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "--watch works only while the user is idle" in done.stderr


def test_the_idle_gate_by_hand_exits_3_without_a_signal(desk: Desk) -> None:
    handoff = arrive(desk, "a")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(desk.root), "ingest", str(desk.spool)]
    done = subprocess.run([*command, "--gate", "idle"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "there is no activity signal; handoffs left for later: 1" in done.stdout
    assert not handoff.marker.exists()
    assert not desk.root.exists()
