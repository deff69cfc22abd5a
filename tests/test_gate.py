"""The gate, line by line of `[gate-1]` to `[gate-3]`, with a clock that is set."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.gate import Gate, Moment

NOW = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
IDLE = {"ts_utc": "2026-03-01T10:00:00.000Z", "idle_seconds": 30, "user_active": False}


class Signal:
    """A signal file, and a gate that looks at it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "activity_signal.json"
        self.now = NOW
        self.awake_behind_s = 0.0
        self.gate = Gate(lambda: self.path, clocks=self.clocks, **settings)

    def clocks(self) -> Moment:
        passed_s = (self.now - NOW).total_seconds()
        return Moment(self.now, 1_000 + passed_s, 500 + passed_s - self.awake_behind_s)

    def write(self, content: Any = None, **changes: Any) -> None:
        self.path.write_text(content if isinstance(content, str) else json.dumps({**IDLE, **changes}))

    def asked(self, content: Any = None, **changes: Any) -> tuple[bool, str]:
        self.write(content, **changes)
        verdict = self.gate.ask()
        return verdict.open, verdict.reason


@pytest.fixture
def signal(tmp_path: Path) -> Signal:
    return Signal(tmp_path)


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("changes", "is_open", "reason"),
    [
        ({}, True, "the user is idle"),
        ({"user_active": True}, False, "the user is active"),
        ({"idle_seconds": 0}, True, "the user is idle"),
        ({"idle_seconds": 0.5, "source": "hook", "seq": 7}, True, "the user is idle"),
        ({"more": {"fields": [1]}}, True, "the user is idle"),
        ({"ts_utc": at(-2)}, True, "the user is idle"),
        ({"ts_utc": at(-2.001)}, False, "the activity signal is 2 s old"),
        ({"ts_utc": at(-86_400)}, False, "the activity signal is 86400 s old"),
        ({"ts_utc": at(2)}, True, "the user is idle"),
        ({"ts_utc": at(2.001)}, False, "the activity signal is from the future"),
        ({"ts_utc": "2026-03-01T11:00:00+01:00"}, True, "the user is idle"),
    ],
)
def test_what_the_sidecar_says_decides_when_it_is_fresh(
    changes: dict[str, Any], is_open: bool, reason: str, signal: Signal
) -> None:
    assert signal.asked(**changes) == (is_open, reason)


def test_what_was_just_written_is_read_although_the_file_looks_the_same(signal: Signal) -> None:
    assert signal.asked(seq=5)[0]
    found = signal.path.stat()
    signal.write(seq=4)
    os.utime(signal.path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert signal.gate.ask().reason == "the activity signal's seq ran backwards"


def test_a_file_that_looks_the_same_for_long_is_read_ten_times_a_second(signal: Signal) -> None:
    for seq in (5, 4):
        signal.write(seq=seq)
        os.utime(signal.path, ns=(0, 0))
        assert signal.gate.ask().open
    signal.now += timedelta(seconds=0.1)
    assert not signal.gate.ask().open


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        json.dumps(IDLE)[:-1],
        json.dumps({**IDLE, "user_active": "false"}),
        json.dumps({**IDLE, "user_active": 0}),
        json.dumps({**IDLE, "user_active": None}),
        json.dumps({**IDLE, "idle_seconds": "30"}),
        json.dumps({**IDLE, "idle_seconds": True}),
        json.dumps({**IDLE, "idle_seconds": -1}),
        json.dumps({**IDLE, "idle_seconds": float("nan")}),
        json.dumps({**IDLE, "idle_seconds": float("inf")}),
        json.dumps({**IDLE, "ts_utc": "2026-03-01T10:00:00"}),
        json.dumps({**IDLE, "ts_utc": "now"}),
        json.dumps({**IDLE, "ts_utc": 1_772_359_200}),
        json.dumps({**IDLE, "ts_utc": "0001-01-01T00:00:00+23:00"}),
        json.dumps({**IDLE, "seq": "7"}),
        json.dumps({**IDLE, "seq": 1.5}),
        json.dumps({key: IDLE[key] for key in ("ts_utc", "user_active")}),
        json.dumps({key: IDLE[key] for key in ("ts_utc", "idle_seconds")}),
        json.dumps({key: IDLE[key] for key in ("idle_seconds", "user_active")}),
        json.dumps({**IDLE, "padding": "x" * 70_000}),
        "\ufeff" + json.dumps(IDLE),
    ],
)
@pytest.mark.parametrize("assumed", [False, True])
def test_a_malformed_signal_counts_as_an_active_user(content: str, assumed: bool, tmp_path: Path) -> None:
    signal = Signal(tmp_path, assume_idle_when_missing=assumed)
    assert signal.asked(content) == (False, "the activity signal is malformed")


def test_bytes_that_are_no_text_count_as_an_active_user(signal: Signal) -> None:
    signal.path.write_bytes(b"\xff\xfe\x00")
    assert signal.gate.ask().open is False


def test_a_missing_signal_counts_as_an_active_user(signal: Signal) -> None:
    verdict = signal.gate.ask()
    assert (verdict.open, verdict.reason) == (False, "there is no activity signal")


def test_a_missing_signal_can_be_assumed_to_mean_idle(tmp_path: Path) -> None:
    verdict = Signal(tmp_path, assume_idle_when_missing=True).gate.ask()
    assert (verdict.open, verdict.reason) == (True, "no activity signal; idleness was assumed by request")


@pytest.mark.parametrize(
    "changes", [{"ts_utc": at(-3)}, {"ts_utc": at(3)}, {"user_active": True}], ids=["stale", "future", "active"]
)
def test_a_signal_that_is_there_is_never_assumed_away(changes: dict[str, Any], tmp_path: Path) -> None:
    assert Signal(tmp_path, assume_idle_when_missing=True).asked(**changes)[0] is False


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link"])
def test_something_else_in_its_place_is_a_broken_signal_and_hangs_nobody(kind: str, tmp_path: Path) -> None:
    signal = Signal(tmp_path, assume_idle_when_missing=True)
    if kind == "directory":
        signal.path.mkdir()
    elif kind == "fifo":
        os.mkfifo(signal.path)
    else:
        signal.path.symlink_to(tmp_path / "nowhere")
    assert signal.gate.ask().open is False


def test_seq_that_runs_backwards_counts_as_an_active_user(signal: Signal) -> None:
    assert signal.asked(seq=10)[0] is True
    assert signal.asked(seq=9) == (False, "the activity signal's seq ran backwards")


def test_seq_that_stands_or_rises_is_believed(signal: Signal) -> None:
    assert [signal.asked(seq=seq)[0] for seq in (10, 10, 11, 2**70)] == [True] * 4


def test_seq_that_is_left_out_between_does_not_hide_a_step_back(signal: Signal) -> None:
    assert [signal.asked(seq=seq)[0] for seq in (10, None, 9)] == [True, True, False]


def test_a_sidecar_that_began_again_is_believed_from_its_second_word_on(signal: Signal) -> None:
    assert [signal.asked(seq=seq)[0] for seq in (10, 1, 2)] == [True, False, True]


@pytest.mark.parametrize(("idle_seconds", "is_open"), [(59.9, False), (60, True), (61, True)])
def test_more_idleness_can_be_asked_for(idle_seconds: float, is_open: bool, tmp_path: Path) -> None:
    assert Signal(tmp_path, min_idle_s=60).asked(idle_seconds=idle_seconds)[0] is is_open


def test_the_age_that_is_believed_can_be_made_smaller(tmp_path: Path) -> None:
    assert Signal(tmp_path, max_age_s=0.5).asked(ts_utc=at(-1))[0] is False


def test_the_signal_is_read_anew_each_time(signal: Signal) -> None:
    assert signal.asked()[0] is True
    signal.now += timedelta(seconds=3)
    assert signal.gate.ask().open is False
    assert signal.asked(ts_utc=at(3))[0] is True


def test_threads_that_ask_at_once_see_no_step_back(signal: Signal) -> None:
    signal.write(seq=0)
    closed: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            verdict = signal.gate.ask()
            if not verdict.open:
                closed.append(verdict.reason)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for seq in range(300):
        fresh = signal.path.with_suffix(".new")
        fresh.write_text(json.dumps({**IDLE, "seq": seq}))
        fresh.replace(signal.path)
    ended.set()
    for thread in threads:
        thread.join()
    assert closed == []


def test_when_it_was_open_is_told_once_without_gaps_and_without_the_time_that_the_machine_slept(signal: Signal) -> None:
    def looks(*offsets: float, active: bool = False) -> None:
        for offset in offsets:
            signal.now = NOW + timedelta(seconds=offset)
            signal.asked(ts_utc=at(offset), user_active=active)

    def seconds() -> tuple[float, float, bool, list[tuple[float, float]]]:
        seen = signal.gate.seen()
        assert seen is not None
        begin, us = NOW.timestamp(), 1e6
        stretches = [(start / us - begin, end / us - begin) for start, end in seen.stretches]
        return seen.since_us / us - begin, seen.until_us / us - begin, seen.is_open, stretches

    assert signal.gate.seen() is None
    looks(0, 1, 2)
    looks(3, 4, active=True)
    looks(5, 6)
    assert seconds() == (0, 6, True, [(0, 3), (5, 6)])
    looks(7, 100, 101)
    assert seconds() == (6, 101, True, [(6, 7), (100, 101)])
    assert seconds() == (101, 101, True, [])
    signal.awake_behind_s = 30
    looks(131, 132, 133)
    assert seconds()[3] == [(132, 133)]
