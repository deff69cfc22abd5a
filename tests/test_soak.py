"""The soak, for some seconds: the real commands, and all that happens around them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def soak(minutes: float) -> dict[str, object]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "soak.py"), "--minutes", str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_some_seconds_of_a_hard_life_lose_nothing() -> None:
    result = soak(0.05)
    assert result["wrong"] == []


@pytest.mark.slow
def test_two_minutes_of_a_hard_life_lose_nothing() -> None:
    result = soak(2.0)
    assert result["wrong"] == []
