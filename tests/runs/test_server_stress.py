"""Servers, keepers and runs killed at random moments: never an orphan, never a lost frame, the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "stress_servers.py"


def stress(*options: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def require_sound(found: dict[str, Any], kills: int) -> None:
    assert (found["orphans"], found["lost_frames"], found["fact_files_that_differ"]) == (0, 0, 0)
    assert found["kills"] == kills
    assert found["fact_files"] > 3


def test_four_kills_leave_no_orphan_and_lose_no_frame() -> None:
    require_sound(stress("--kills", "4", "--frames", "40", "--seed", "5"), 4)


@pytest.mark.slow
def test_two_hundred_kills_leave_no_orphan_and_lose_no_frame() -> None:
    require_sound(stress("--kills", "200", "--seed", "1"), 200)
