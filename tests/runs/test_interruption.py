"""What is computed in this process ends with the gate, also where nothing asks it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Blocked, DamagedFactFile
from pipeline.gate import Gate, Verdict
from pipeline.runs.interruption import while_open


class SwitchedGate(Gate):
    """A gate that a test opens and closes."""

    def __init__(self) -> None:
        super().__init__(lambda: Path("nowhere"))
        self.verdict = Verdict(True, "the user is idle")

    def ask(self) -> Verdict:
        return self.verdict

    def close(self) -> None:
        self.verdict = Verdict(False, "the user is active")


STAGE: dict[str, Any] = {"__name__": "pipeline.stages.made_for_a_test"}
exec(
    """
import time

def spin(close, steps):
    while True:
        steps.append(1)
        if len(steps) == 1_000:
            close()

def stubborn(close, steps):
    while True:
        try:
            spin(close, steps)
        except Exception:
            pass

def careless(close, lost):
    close()
    while True:
        try:
            time.sleep(0.001)
        except BaseException as error:
            lost.append(type(error).__name__)
            if len(lost) == 3:
                raise
""",
    STAGE,
)


@pytest.mark.parametrize("kind", ["spin", "stubborn"])
def test_a_loop_that_never_asks_ends_with_the_gate(kind: str) -> None:
    """Also one that takes any error for its own."""
    gate, steps = SwitchedGate(), list[int]()
    with pytest.raises(Blocked, match="the user is active"):
        while_open(gate, lambda: STAGE[kind](gate.close, steps))
    assert len(steps) >= 1_000


def test_an_end_that_was_lost_as_in_a_destructor_comes_again() -> None:
    gate, lost = SwitchedGate(), list[str]()
    with pytest.raises(Blocked):
        while_open(gate, lambda: STAGE["careless"](gate.close, lost))
    assert len(lost) == 3


def test_what_may_have_a_file_open_ends_by_itself() -> None:
    gate = SwitchedGate()

    def read() -> str:
        gate.close()
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            pass
        return "read"

    assert while_open(gate, read) == "read"


def test_what_is_finished_is_given_and_errors_are_raised() -> None:
    gate = SwitchedGate()
    assert while_open(gate, lambda: 7) == 7

    def fail() -> None:
        raise DamagedFactFile(Path("x"), "torn")

    with pytest.raises(DamagedFactFile):
        while_open(gate, fail)


def test_nothing_is_ended_that_comes_after() -> None:
    gate = SwitchedGate()
    while_open(gate, lambda: None)
    gate.close()
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        pass
    assert "gate" not in [thread.name for thread in threading.enumerate()]


def test_one_within_another_ends_both() -> None:
    gate, steps = SwitchedGate(), list[int]()
    with pytest.raises(Blocked):
        while_open(gate, lambda: while_open(gate, lambda: STAGE["spin"](gate.close, steps)))


def test_in_another_thread_it_is_left_to_ask_for_itself() -> None:
    gate, found = SwitchedGate(), list[int]()
    gate.close()

    def work() -> None:
        found.append(while_open(gate, lambda: sum(range(10))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [45]


def test_a_gate_that_was_closed_for_a_moment_is_told_as_that() -> None:
    gate = SwitchedGate()
    asked = iter([Verdict(False, "the user is active")])

    def ask() -> Verdict:
        return next(asked, Verdict(True, "the user is idle"))

    gate.ask = ask  # type: ignore[method-assign]
    with pytest.raises(Blocked, match="active for a moment"):
        while_open(gate, lambda: STAGE["spin"](lambda: None, []))
