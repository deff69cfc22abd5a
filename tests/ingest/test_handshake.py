"""A handoff's `contract.json`, and what of a handoff is noted so that it can be verified later `[handoff-10]`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from handoff_builder import Handoff, ingest_one, kept, of_type, sha256, tree, whole_handoff

from pipeline.ingest.result import State
from schemas.canonical import canonical_sha256
from schemas.contract_version import CONTRACT_VERSION


def ingest_with(tmp_path: Path, contract: bytes | None) -> tuple[Handoff, State, list[str], str]:
    handoff = whole_handoff(tmp_path / "h")
    if contract is not None:
        handoff.file("contract.json", contract)
    result = ingest_one(tmp_path / "root", handoff.path)
    return handoff, result.state, result.warnings, result.error


@pytest.mark.parametrize("contract", [b'{"contract_version": "99.0"}', b'{"contract_version": "next"}'])
def test_another_major_version_is_refused_and_nothing_changes(tmp_path: Path, contract: bytes) -> None:
    handoff, state, _, error = ingest_with(tmp_path, contract)
    assert state is State.rejected
    assert "contract.json" in error
    assert not handoff.marker.exists()
    assert kept(tmp_path / "root") == {}


def test_a_missing_contract_is_a_warning(tmp_path: Path) -> None:
    handoff, state, warnings, _ = ingest_with(tmp_path, None)
    assert (state, warnings) == (State.ingested, [f"no contract.json: taken as contract {CONTRACT_VERSION}"])
    assert handoff.marker.exists()


def test_our_own_version_is_taken_without_a_word_and_the_file_is_kept(tmp_path: Path) -> None:
    _, state, warnings, _ = ingest_with(tmp_path, json.dumps({"contract_version": CONTRACT_VERSION}).encode())
    assert (state, warnings) == (State.ingested, [])
    assert any(name.endswith("/contract.json") for name in kept(tmp_path / "root"))


def test_the_files_of_the_handoffs_own_folder_are_noted_in_its_completion_record(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    (completed,) = of_type(tmp_path / "root", "system.ingest.handoff.completed")
    files = tree(tmp_path / "root/handoffs" / result.handoff_id)
    assert set(files) == {"activity/activity_signal.json", "journal.ndjson"}
    listed = [[name, len(content), sha256(content)] for name, content in sorted(files.items())]
    assert completed["kept_files_sha256"] == canonical_sha256(listed)
