"""What becomes of a handoff by its `contract.json`; each test is a row of docs/compatibility.md `[handoff-10]`."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conformance_handoff import Handoff, rows, whole_handoff
from conformance_stage1 import stage1

MAJOR, MINOR = (
    int(number)
    for number in re.findall(
        r'CONTRACT_VERSION = "(\d+)\.(\d+)"',
        (Path(__file__).resolve().parent.parent.parent / "schemas" / "contract_version.py").read_text(),
    )[0]
)
OURS = f"{MAJOR}.{MINOR}"


def ingest(tmp_path: Path, contract: dict[str, Any]) -> tuple[Handoff, subprocess.CompletedProcess[str]]:
    handoff = whole_handoff(tmp_path / "h", contract=contract)
    return handoff, stage1(tmp_path / "root", handoff.path, "--json")


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    found: list[str] = json.loads(done.stdout)["handoffs"][0]["warnings"]
    return found


TAKEN = {
    "missing": ({}, "no contract.json"),
    "names_no_version": ({"producer": "sidecar"}, "names no contract_version"),
    "our_version": ({"contract_version": OURS}, ""),
    "our_version_of_a_draft": ({"contract_version": OURS, "schema_hash": "0" * 64}, "another schema_hash"),
    "newer_minor": ({"contract_version": f"{MAJOR}.{MINOR + 1}"}, "kept unread"),
    "third_number": ({"contract_version": f"{OURS}.7"}, ""),
    **({"older_minor": ({"contract_version": f"{MAJOR}.{MINOR - 1}"}, "")} if MINOR else {}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_handoff_10_taken(tmp_path: Path, name: str) -> None:
    contract, warning = TAKEN[name]
    handoff, done = ingest(tmp_path, {**contract, "sealed": True} if contract else {})
    assert done.returncode == 0
    assert handoff.marker.exists()
    told = [line for line in warnings(done) if "contract.json" in line]
    assert len(told) == bool(warning)
    assert all(warning in line for line in told)


@pytest.mark.parametrize("version", [f"{MAJOR + 1}.0", f"{MAJOR - 1}.9", str(MAJOR + 1), "next"])
def test_handoff_10_refused(tmp_path: Path, version: str) -> None:
    handoff, done = ingest(tmp_path, {"contract_version": version, "sealed": True})
    assert done.returncode == 4
    assert not handoff.marker.exists()
    assert rows(tmp_path / "root") == {}
