"""Profiles on the command line: what is missing is said before any work, and no VLM is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import RunCli
from screen_memory import Memory, minutes
from vlm_memory import show

from pipeline.runs.servers import missing_package


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    found = Memory(tmp_path / "root")
    show(found, 0, minutes(10, 0)[0])
    return found


@pytest.mark.skipif(missing_package("embed") is not None, reason="the extra `embed` is not installed")
def test_full_without_a_vlm_is_one_sentence_and_exit_5(memory: Memory, run_cli: RunCli) -> None:
    done = run_cli("--data-root", memory.root, "run", "--profile", "full", "--assume-idle-when-missing")
    assert done.returncode == 5
    assert "the profile full cannot run: no VLM is configured: vlm_model_path is empty" in done.stderr
    assert "→ pipeline run --profile full --set vlm_model_path=FOLDER" in done.stderr
    assert not memory.root.facts.exists()


def test_embedded_says_that_there_is_no_vlm_and_works(memory: Memory, run_cli: RunCli) -> None:
    done = run_cli("--data-root", memory.root, "run", "--stage", "list_frames", "--assume-idle-when-missing", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("profile embedded: OCR and embeddings; no VLM is configured") == 1
    assert json.loads(done.stdout)["samples"] == {"list_frames": {"done": 1}}


def test_doctor_tells_of_the_profile_that_is_set(memory: Memory, run_cli: RunCli) -> None:
    done = run_cli("--data-root", memory.root, "doctor", "--json", "--set", "profile=full")
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["profile full: VLM folder"]["level"] == "failure"
    assert found["profile full: VLM folder"]["message"] == "no VLM is configured: vlm_model_path is empty"
    assert done.returncode == 4
