"""Captured screens for tests of the run loop, what became of them, and a gate that closes."""

from __future__ import annotations

import random

from screen_memory import (
    RUN,
    Memory,
    rows,
)

from pipeline.dataroot import DataRoot
from pipeline.gate import Gate, Verdict
from schemas.evidence import WINDOW


def fill(memory: Memory, order: random.Random | None = None) -> None:
    """Two runs, three days, several hours; rows arrive in any order."""
    moments = [
        (RUN, number, f"2026-03-0{1 + number % 2}T{10 + number % 3}:{number:02d}:00.000Z") for number in range(12)
    ]
    moments += [("desk-2", number, f"2026-03-03T23:59:{50 + number}.000Z") for number in range(4)]
    if order:
        order.shuffle(moments)
    for run_id, number, moment in moments:
        window = {"title": "T", "process_path": "/usr/bin/Editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
        memory.frame(number, moment, run_id, window_ref={"record_id": f"{run_id}/{WINDOW}/0", "window": window})
    for run_id in (RUN, "desk-2"):
        memory.put(WINDOW, 0, "2026-03-01T09:00:00.000Z", {"window": {"title": "T", "hwnd": 7}}, run_id)


def outcomes(root: DataRoot, stage: str = "find_text_lines") -> dict[str, tuple[str, str | None]]:
    return {
        row["sample_id"]: (row["status"], row["error_code"])
        for row in rows(root, "stage_outcomes")
        if row["stage"] == stage
    }


class ClosingGate(Gate):
    """A gate that closes after so many questions; what was asked is counted."""

    def __init__(self, root: DataRoot, after: int, closed_for: int = 10**9) -> None:
        super().__init__(root.activity_signal)
        self.asked = 0
        self._closed = range(after, after + closed_for)

    def ask(self) -> Verdict:
        self.asked += 1
        is_open = self.asked - 1 not in self._closed
        return Verdict(is_open, "the user is idle" if is_open else "the user is active")
