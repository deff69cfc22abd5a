"""`pipeline runs` and `failures`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from screen_memory import RUN, InProcessModel, Memory, failing, minutes, process

from pipeline.cli.main import run as pipeline
from pipeline.runs.run_files import write_started
from schemas.evidence import FRAME


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, 0, 1, 2)):
        memory.frame(number, moment)
    return memory


def asked(capsys: pytest.CaptureFixture[str], memory: Memory, *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = pipeline([*words, "--data-root", str(memory.root), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_runs_are_listed_newest_first_and_shown_by_the_end_of_their_id(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, memory, "runs", "list") == (0, {"runs": []})
    first = process(memory.root)
    memory.frame(3, minutes(11, 0)[0])
    second = process(memory.root)
    code, listed = asked(capsys, memory, "runs", "list")
    assert code == 0
    assert [row["run_id"] for row in listed["runs"]] == [second.run_id, first.run_id]
    assert [row["did"]["find_text_lines"] for row in listed["runs"]] == [1, 3]
    code, shown = asked(capsys, memory, "runs", "show", first.run_id[-8:])
    assert (code, shown["run_id"], shown["state"], shown["exit_code"]) == (0, first.run_id, "completed", 0)
    assert {"settings", "packages", "code_sha256", "installed_sha256", "models", "machine"} <= set(shown)
    assert asked(capsys, memory, "runs", "list", "--limit", "1")[1]["runs"][0]["run_id"] == second.run_id


def test_a_name_that_means_no_run_is_a_usage_error(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = asked(capsys, memory, "runs", "show", "01ABCDEF")
    assert (code, told["remedy"]) == (64, "pipeline runs list names them")


def test_a_run_whose_process_is_gone_is_shown_as_crashed_before_the_next_one_notes_it(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    started = {"run_id": "run_0", "state": "running", "started_utc": "2026-03-01T00:00:00.000Z", "pid": 2**22 + 1}
    write_started(memory.root, started)
    assert [row["state"] for row in asked(capsys, memory, "runs", "list")[1]["runs"]] == ["crashed"]


def test_failures_tell_sample_stage_code_tries_and_when(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, memory, "failures")[0] == 7
    model = InProcessModel(memory.root)
    model.replies[f"{RUN}/{FRAME}/1"] = failing("model_failed", retryable=True)
    process(memory.root, model)
    code, told = asked(capsys, memory, "failures")
    [failure] = told["failures"]
    assert code == 0
    assert (told["count"], told["retry"]) == (1, "pipeline run --retry-failed")
    assert {name: failure[name] for name in ("stage", "sample_id", "status", "error_code", "kind", "attempts")} == {
        "stage": "find_text_lines",
        "sample_id": f"{RUN}/{FRAME}/1",
        "status": "parked",
        "error_code": "model_failed",
        "kind": "server",
        "attempts": 3,
    }
    assert (failure["captured_utc"], failure["retry_utc"]) == ("2026-03-01T10:01:00.000Z", None)
    assert failure["failed_utc"] > "2026-03-01"
    assert asked(capsys, memory, "failures", "--stage", "list_frames")[1]["failures"] == []
    assert asked(capsys, memory, "failures", "--stage", "none")[0] == 64


def test_for_people_there_are_tables(
    memory: Memory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    model = InProcessModel(memory.root)
    for number in (0, 1):
        model.replies[f"{RUN}/{FRAME}/{number}"] = failing("model_failed", retryable=False)
    report = process(memory.root, model)
    for words, expected in (
        (["runs", "list"], [report.run_id]),
        (["runs", "show", report.run_id], ['"find_text_lines"']),
        (["failures", "--limit", "1"], ["model_failed", "and 1 more: --limit 2", "pipeline run --retry-failed"]),
    ):
        capsys.readouterr()
        assert pipeline([*words, "--data-root", str(memory.root)]) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in expected), out
