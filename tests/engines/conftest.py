"""What the tests of engines share: all of the machine, since Ray takes half a minute to start on one processor."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _all_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in other processes are held to half of it otherwise; `tests/budget` shows that they are."""
    monkeypatch.setenv("PIPELINE_CPU_SHARE", "1")
