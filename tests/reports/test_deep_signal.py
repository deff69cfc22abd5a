"""A living activity signal is watched for a second: replaced, rising, readable `[gate-1]`, `[gate-2]`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sidecar_root import SidecarRoot

from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.side_files import check_signal


def watch(root: SidecarRoot, *steps: object) -> tuple[list[str], str]:
    """Watch the signal while a producer does one step after each look."""
    remaining = list(steps)

    def produce(_: float) -> None:
        step = remaining.pop(0) if remaining else None
        if isinstance(step, bytes):
            (root.path / "activity/activity_signal.json").write_bytes(step)
        elif isinstance(step, int):
            root.signal(seq=step)

    findings = Findings()
    check_signal(root.root, 2.0, findings, sleep=produce)
    codes = [reason.code for level in ("failure", "warning") for reason in findings.reasons(level)]
    return codes, next(message for name, _, message, _ in findings.checks() if name == "activity signal")


@pytest.fixture
def root(tmp_path: Path) -> SidecarRoot:
    place = SidecarRoot(tmp_path / "r")
    place.signal(seq=5)
    return place


def test_a_signal_that_is_replaced_and_rises_is_in_order(root: SidecarRoot) -> None:
    codes, message = watch(root, 6, 7, 7, 9)
    assert codes == []
    assert message.startswith("activity/activity_signal.json, 0.")
    assert int(message.split(", ")[-1].split()[0]) > 2


def test_a_signal_without_seq_is_in_order(root: SidecarRoot) -> None:
    root.signal(seq=None)
    assert watch(root)[0] == []


def test_a_seq_that_runs_backwards_is_seen(root: SidecarRoot) -> None:
    assert watch(root, 6, 4)[0] == ["signal_seq"]


def test_a_signal_written_in_place_is_seen(root: SidecarRoot) -> None:
    now = json.dumps({"ts_utc": datetime.now(UTC).isoformat(), "idle_seconds": 1, "user_active": True}).encode()
    assert watch(root, now)[0] == ["signal_in_place"]


def test_a_torn_signal_is_seen(root: SidecarRoot) -> None:
    root.signal(seq=5)
    torn = root.file("activity/.torn", b'{"ts_utc": ')

    def replace(_: float) -> None:
        if torn.exists():
            torn.rename(root.path / "activity/activity_signal.json")

    findings = Findings()
    check_signal(root.root, 2.0, findings, sleep=replace)
    assert findings.count("signal_malformed") == 1
