"""A bounded piece of `scripts/sweep_faults`, and that its oracle sees what it is to see (docs/reliability.md)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fault_process import can_trace
from ingest_oracle import violations_after_a_fault, violations_at_the_end
from ingest_scenarios import REPOSITORY, SCENARIOS, Workplace, run_command
from screen_memory import folder_in_memory

SAMPLE, PAIRS = 44, 4


def sweep(*arguments: str) -> dict[str, Any]:
    program = [sys.executable, str(REPOSITORY / "scripts/sweep_faults.py"), "--nice", "0", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not can_trace(), reason="needs strace; test_crash_sweep.py sweeps without")
def test_an_ingest_that_meets_a_fault_at_any_call_marks_nothing_that_is_not_safe() -> None:
    scenarios = [part for name in ("copies", "mixed") for part in ("--scenario", name)]
    found = sweep("--sample", str(SAMPLE), "--pairs", str(PAIRS), *scenarios)
    assert found["violations"] == []
    # The gate is asked by the clock, so a run may make some calls fewer than the one that was listed.
    assert found["points"] >= SAMPLE - 6
    assert found["pairs"] + found["pairs_not_met"] == PAIRS
    assert found["points_listed"] > 1500
    faults = {"KILL", "EIO", "ENOSPC"} | ({"EIO-AFTER"} if shutil.which("cc") else set())
    assert faults <= {fault.removesuffix("+") for fault in found["points_by_fault"]}
    assert any(fault.endswith("+") for fault in found["points_by_fault"])


@pytest.fixture
def ingested() -> Iterator[Workplace]:
    with folder_in_memory() as path:
        workplace = Workplace(path, SCENARIOS["mixed"])
        workplace.renew()
        assert run_command(workplace.command()) == 0
        yield workplace


def judged(workplace: Workplace) -> tuple[list[str], list[str]]:
    found = violations_after_a_fault(workplace.base, workplace.truth)
    return found, violations_at_the_end(workplace.base, workplace.truth)


def blob(workplace: Workplace) -> Path:
    return min((workplace.base / "root/media").rglob("*.blob"))


def execute(workplace: Workplace, statement: str) -> None:
    with closing(sqlite3.connect(workplace.base / "root/metadata.db")) as connection, connection:
        connection.execute(statement)


def test_an_undisturbed_ingest_violates_nothing(ingested: Workplace) -> None:
    assert judged(ingested) == ([], [])


def test_a_marker_over_a_missing_blob_is_a_lie(ingested: Workplace) -> None:
    blob(ingested).unlink()
    after, end = judged(ingested)
    assert any("is marked, without file" in line for line in after)
    assert any("is marked, its bytes gone" in line for line in after)
    assert any("at the end without file" in line for line in end)


def test_a_marker_over_a_blob_of_zeros_is_a_lie(ingested: Workplace) -> None:
    path = blob(ingested)
    size = path.stat().st_size
    path.unlink()  # it is the producer's own file too
    path.write_bytes(bytes(size))
    after, end = judged(ingested)
    assert after
    assert end


@pytest.mark.parametrize("kind", ["evidence.capture.frame", "system.ingest.handoff.completed", "retention.eligible"])
def test_a_marker_over_a_missing_row_is_a_lie(ingested: Workplace, kind: str) -> None:
    execute(ingested, f"DELETE FROM metadata WHERE record_type = '{kind}'")
    after, end = judged(ingested)
    assert any("is marked, without row" in line for line in after)
    assert any("at the end without row" in line for line in end)


def test_a_marker_over_a_changed_row_is_a_lie(ingested: Workplace) -> None:
    execute(ingested, "UPDATE metadata SET payload = payload || ' ' WHERE id LIKE '%frame/0'")
    after, end = judged(ingested)
    assert after
    assert end


def test_a_marker_without_its_journal_event_is_a_lie(ingested: Workplace) -> None:
    (ingested.base / "root/journal.ndjson").write_bytes(b"")
    after, end = judged(ingested)
    assert any("is marked, without event" in line for line in after)
    assert any("at the end without event" in line for line in end)


def test_a_torn_marker_is_seen(ingested: Workplace) -> None:
    (ingested.base / "h/reap_eligible.json").write_bytes(b'{"schema": "auto')
    assert all(judged(ingested))


def test_a_lost_byte_of_the_handoff_is_seen_without_a_marker_too(ingested: Workplace) -> None:
    (ingested.base / "h/reap_eligible.json").unlink()
    (ingested.base / "h/journal.ndjson").write_bytes(b"")
    after, _ = judged(ingested)
    assert after == ["handoff h lost or changed journal.ndjson"]


def test_leftovers_and_rows_that_nobody_handed_off_are_seen_at_the_end(ingested: Workplace) -> None:
    (ingested.base / "root/.tmp-x").touch()
    execute(ingested, "INSERT INTO metadata VALUES ('run-1/x', '{}', 'x', NULL, 'run-1')")
    _, end = judged(ingested)
    assert [line for line in end if line.startswith("left behind")] == ["left behind: root/.tmp-x"]
    assert "at the end there is also row run-1/x" in end
