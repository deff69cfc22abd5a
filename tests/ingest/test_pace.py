"""How hard ingest may work, by a clock that only the test moves `[gate-4]`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from handoff_builder import Handoff, kept, run_ingest, whole_handoff

from pipeline.errors import Blocked
from pipeline.gate import Gate, Moment
from pipeline.ingest.gate_mode import GateMode
from pipeline.ingest.pace import Pace, PaceClock, Stopped, cpu_of_all_processes, lowest_priority
from pipeline.ingest.result import State
from schemas.fields import utc_text

MOMENT = datetime(2026, 3, 1, 10, tzinfo=UTC)


class Desk:
    """A user, a signal that says whether they are active, and a machine whose work takes the time that is said."""

    def __init__(self, folder: Path, mode: GateMode) -> None:
        self.now_s = 0.0
        self.used_s = 0.0
        self.signal = folder / "activity_signal.json"
        clock = PaceClock(lambda: self.now_s, self.sleep, lambda: self.used_s)
        gate = Gate(
            lambda: self.signal,
            clocks=lambda: Moment(MOMENT + timedelta(seconds=self.now_s), self.now_s, self.now_s),
        )
        self.pace = Pace(gate, mode, clock)
        self.user: bool | None = None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.say()

    def say(self) -> None:
        """Write the signal as it would be now; None writes none."""
        if self.user is not None:
            moment = utc_text(MOMENT + timedelta(seconds=self.now_s))
            self.signal.write_text(json.dumps({"ts_utc": moment, "idle_seconds": 0, "user_active": self.user}))

    def work(self, seconds: float) -> None:
        """Do one piece of work, as long as that takes the processor."""
        with self.pace.turn():
            self.used_s += seconds
            self.now_s += seconds
        self.say()


def share_of_a_minute(desk: Desk, piece_s: float) -> float:
    """The greatest share of a core in any minute of five, working all the time."""
    points = [(0.0, 0.0)]
    while desk.now_s < 300:
        desk.work(piece_s)
        points.append((desk.now_s, desk.used_s))
    shares = []
    for at, used in points:
        later = [total for moment, total in points if at < moment <= at + 60]
        shares.append((later[-1] - used) / 60 if later else 0.0)
    return max(shares)


def test_active_safe_takes_less_than_5_percent_of_a_core_in_any_minute(tmp_path: Path) -> None:
    assert share_of_a_minute(Desk(tmp_path, GateMode.active_safe), 0.01) < 0.05
    assert share_of_a_minute(Desk(tmp_path, GateMode.active_safe), 0.3) < 0.05


def test_what_the_start_took_counts_where_the_user_was_there_from_the_start(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.active_safe)
    desk.used_s = 1.0
    desk.work(0.01)
    assert desk.now_s >= 20


def test_auto_works_at_full_speed_without_a_signal(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.auto)
    for _ in range(100):
        desk.work(0.1)
    assert desk.now_s == pytest.approx(10)


def test_auto_works_at_full_speed_while_the_user_is_idle_or_a_signal_is_not_alive(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.auto)
    desk.user = False
    for _ in range(100):
        desk.work(0.1)
    assert desk.now_s == pytest.approx(10)
    desk.signal.write_text('{"ts_utc": "2026-03-01T09:00:00Z", "idle_seconds": 0, "user_active": true}')
    desk.user = None
    desk.work(0.1)
    assert not desk.pace.is_slow


def test_auto_slows_down_when_the_user_comes_and_speeds_up_when_they_go(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.auto)
    desk.user = False
    for _ in range(10):
        desk.work(0.1)
    desk.user = True
    desk.say()
    before = desk.now_s
    for _ in range(20):
        desk.work(0.1)
    assert desk.now_s - before > 30
    desk.user = False
    desk.say()
    desk.work(0.1)
    desk.work(0.1)
    before = desk.now_s
    for _ in range(10):
        desk.work(0.1)
    assert desk.now_s - before == pytest.approx(1)


def test_a_user_who_goes_while_it_sleeps_is_noticed_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.auto)
    desk.user = True
    desk.say()
    desk.used_s = 10.0

    def sleep(seconds: float) -> None:
        desk.now_s += seconds
        desk.user = False
        desk.say()

    desk.sleep = sleep  # type: ignore[method-assign]
    desk.pace = Pace(desk.pace._gate, GateMode.auto, PaceClock(lambda: desk.now_s, sleep, lambda: desk.used_s))
    desk.work(0.1)
    assert desk.now_s < 2


@pytest.mark.parametrize("user", [None, True])
def test_idle_mode_is_blocked_without_a_signal_that_says_idle(tmp_path: Path, user: bool | None) -> None:
    desk = Desk(tmp_path, GateMode.idle)
    desk.user = user
    desk.say()
    with pytest.raises(Blocked):
        desk.work(0.1)


def test_a_stop_is_heard_at_the_next_step(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.auto)
    desk.pace.stop_reason = "stopped"
    with pytest.raises(Stopped):
        desk.work(0.1)


def test_the_gate_closing_in_the_middle_of_a_handoff_leaves_it_for_later(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.idle)
    desk.user = False
    desk.say()
    handoffs = [whole_handoff(tmp_path / "spool" / "a"), Handoff(tmp_path / "spool" / "b")]
    steps = 0
    real = desk.pace.step

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 6:
            desk.user = True
            desk.now_s += 1
            desk.say()
        real()

    desk.pace.step = step  # type: ignore[method-assign]
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool", pace=desk.pace)
    assert (outcome.exit_code, outcome.left, outcome.results) == (3, 2, [])
    assert "the user is active" in outcome.blocked
    assert not any(handoff.marker.exists() for handoff in handoffs)
    assert kept(tmp_path / "root").keys() <= {"metadata.db"}
    states = [result.state for result in run_ingest(tmp_path / "root", tmp_path / "spool").results]
    assert states == [State.ingested] * 2


def test_an_ingest_in_active_safe_mode_ends_like_any_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path, GateMode.active_safe)
    handoff = whole_handoff(tmp_path / "h")
    (result,) = run_ingest(tmp_path / "root", handoff.path, pace=desk.pace).results
    assert (result.state, result.frames_complete) == (State.ingested, 2)
    assert handoff.marker.exists()


def test_the_work_of_children_that_are_still_there_counts() -> None:
    import subprocess
    import sys

    code = "sum(range(30_000_000)); print('done', flush=True); input()"
    before = cpu_of_all_processes()
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu_of_all_processes() - before > 0.1
        child.communicate(b"\n")


def test_the_priority_is_the_lowest_while_it_works() -> None:
    import os

    with lowest_priority():
        assert os.getpriority(os.PRIO_PROCESS, 0) == 19
