"""Whatever happens to clocks, file and sidecar: never open while the user is active or may be; open again in peace."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.gate import Gate, Moment

HOLD_S, MAX_AGE_S = 5.0, 2.0
START = datetime(2026, 3, 1, 10, tzinfo=UTC)
STEPS = st.sampled_from([0.1, 0.25, 0.5])


class Desk(RuleBasedStateMachine):
    """A machine with its clocks, a sidecar that writes whenever time passes, and a user."""

    @initialize(seq=st.booleans())
    def begin(self, seq: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "activity_signal.json"
        self.boot_s, self.awake_s, self.wall = 5_000.0, 4_000.0, START
        self.has_seq, self.seq = seq, 100
        self.is_active, self.is_alive = True, True
        self.gate = Gate(
            lambda: self.file, max_age_s=MAX_AGE_S, resume_hold_s=HOLD_S,
            clocks=lambda: Moment(self.wall, self.boot_s, self.awake_s),
        )  # fmt: skip
        self.whole: dict[str, object] | None = None
        """What the file says; None when it is none, or torn."""
        self.written_at = self.boot_s
        self.doubt_at = self.boot_s
        """When anything last spoke against an idle user."""
        self.write()
        self.ask()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def write(self) -> None:
        self.seq += 1
        self.whole = {"ts_utc": self.wall.isoformat(), "idle_seconds": 1, "user_active": self.is_active}
        if self.has_seq:
            self.whole["seq"] = self.seq
        self.file.write_text(json.dumps(self.whole))
        self.written_at = self.boot_s

    def ask(self) -> bool:
        verdict = self.gate.ask()
        if verdict.open:
            assert self.whole is not None, verdict
            assert self.whole["user_active"] is False, verdict
            assert self.boot_s - self.written_at <= MAX_AGE_S, verdict
            age = self.wall - datetime.fromisoformat(str(self.whole["ts_utc"]))
            assert abs(age) <= timedelta(seconds=MAX_AGE_S), verdict
            assert self.boot_s - self.doubt_at >= HOLD_S - 1e-6, (verdict, self.boot_s - self.doubt_at)
        if self.whole is None or self.whole["user_active"] or self.boot_s - self.written_at > MAX_AGE_S:
            self.doubt_at = self.boot_s
        return verdict.open

    def pass_time(self, seconds: float) -> None:
        self.boot_s += seconds
        self.awake_s += seconds
        self.wall += timedelta(seconds=seconds)
        if self.is_alive:
            self.write()

    @rule(step=STEPS, times=st.integers(1, 15))
    def time_passes(self, step: float, times: int) -> None:
        for _ in range(times):
            self.pass_time(step)
            self.ask()

    @rule()
    def the_user_comes(self) -> None:
        self.is_active = True
        if self.is_alive:
            self.write()
            assert not self.ask()

    @rule()
    def the_user_leaves(self) -> None:
        self.is_active = False

    @rule(hours=st.sampled_from([-1, 1, 24]))
    def a_clock_is_set(self, hours: int) -> None:
        self.wall += timedelta(hours=hours)
        self.doubt_at = self.boot_s
        assert not self.ask()

    @rule(seconds=st.sampled_from([3.0, 3600.0]), writes_first=st.booleans())
    def the_machine_sleeps(self, seconds: float, writes_first: bool) -> None:
        self.boot_s += seconds
        self.wall += timedelta(seconds=seconds)
        self.doubt_at = self.boot_s
        if writes_first and self.is_alive:
            self.write()
        assert not self.ask()

    @rule(part=st.floats(0, 0.99))
    def a_write_is_torn(self, part: float) -> None:
        content = self.file.read_bytes() if self.file.exists() else b"{}"
        self.file.write_bytes(content[: int(part * len(content))])
        self.whole = None
        assert not self.ask()

    @rule()
    def the_file_is_taken_away(self) -> None:
        self.file.unlink(missing_ok=True)
        self.whole = None
        assert not self.ask()

    @rule()
    def the_sidecar_dies(self) -> None:
        self.is_alive = False

    @rule(seq=st.sampled_from([0, 50]))
    def a_sidecar_is_started_anew(self, seq: int) -> None:
        was, self.is_alive, self.seq = self.seq, True, seq
        self.write()
        if self.has_seq and self.seq < was:
            self.doubt_at = self.boot_s
            assert not self.ask()
            assert not self.ask()  # looking again makes it no better

    @rule()
    def two_sidecars_take_turns(self) -> None:
        self.is_alive = True
        high, low = self.seq + 1_000, 0
        for _ in range(12):
            for seq in (high, low):
                self.seq = seq
                self.pass_time(0.5)
                if self.has_seq:
                    is_back = seq == low
                    assert not (self.ask() and is_back)
                    self.doubt_at = self.boot_s if is_back else self.doubt_at
            high, low = high + 1, low + 1

    @rule(step=STEPS)
    def peace(self, step: float) -> None:
        """When all is well and the user away, it opens."""
        self.is_alive, self.is_active = True, False
        for _ in range(int((HOLD_S + 1) / step)):
            self.pass_time(step)
            self.ask()
        assert self.ask()

    @invariant()
    def asked_at_any_time(self) -> None:
        if hasattr(self, "gate"):
            self.ask()


TestDesk = Desk.TestCase
TestDesk.settings = settings(max_examples=40, stateful_step_count=20, deadline=None, derandomize=True)
