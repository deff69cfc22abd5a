"""What an operator reads: how far things are, and what is not fit."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from embedding_model import Embedder, process_with
from screen_memory import RUN, InProcessModel, Memory, failing, minutes, process

from pipeline.cli.main import run
from pipeline.cli.show_indexes import age_in_words
from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ContractInvalid, DataRootMissing
from pipeline.gate import Gate, Verdict
from pipeline.reports import doctor
from pipeline.reports.doctor import examine, to_json
from pipeline.reports.status import report_status
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from schemas.evidence import FRAME, WINDOW


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    place = Memory(tmp_path / "root")
    for number in range(4):
        place.frame(number, f"2026-03-0{1 + number % 2}T10:0{number}:00.000Z")
    return place


STAGES = ("list_frames", "list_windows", "visit_urls", "find_text_lines", "track_lines")


def stages(root: DataRoot) -> dict[str, tuple[int, int, int, int]]:
    """Done, pending, failed and parked of some stages."""
    report = report_status(root, Settings())
    return {
        row["stage"]: (row["done"], row["pending"], row["failed"], row["parked"])
        for row in report["stages"]
        if row["stage"] in STAGES
    }


def test_before_the_first_run_all_is_pending(memory: Memory) -> None:
    assert stages(memory.root) == {
        "list_frames": (0, 4, 0, 0),
        "list_windows": (0, 0, 0, 0),
        "visit_urls": (0, 0, 0, 0),
        "find_text_lines": (0, 4, 0, 0),
        "track_lines": (0, 0, 0, 0),
    }
    assert report_status(memory.root, Settings())["last_run"]["run_id"] is None


def test_after_a_run_nothing_is(memory: Memory) -> None:
    report = process(memory.root)
    assert stages(memory.root) == {
        "list_frames": (4, 0, 0, 0),
        "list_windows": (0, 0, 0, 0),
        "visit_urls": (2, 0, 0, 0),
        "find_text_lines": (4, 0, 0, 0),
        "track_lines": (2, 0, 0, 0),
    }
    last = report_status(memory.root, Settings())["last_run"]
    assert (last["run_id"], last["state"]) == (report.run_id, "completed")


def test_what_is_half_done_is_told_stage_by_stage(memory: Memory) -> None:
    model = InProcessModel(memory.root)
    model.replies[f"{RUN}/{FRAME}/0"] = failing("model_failed", retryable=True)
    model.replies[f"{RUN}/{FRAME}/1"] = failing("image_unreadable", retryable=False)
    process(memory.root, model, until_done=False, retry_backoff_s=60)
    memory.frame(7, minutes(10, 7)[0])
    memory.put(WINDOW, 0, "2026-03-09T10:00:00.000Z", {"window": {}})
    memory.insert(f"{RUN}/x", "{", FRAME, None, None)
    process(memory.root, stages=("list_frames",))
    assert stages(memory.root) == {
        "list_frames": (5, 0, 0, 0),
        "list_windows": (0, 1, 0, 0),
        "visit_urls": (1, 2, 0, 0),
        "find_text_lines": (2, 2, 1, 1),
        "track_lines": (1, 1, 0, 0),
    }
    report = report_status(memory.root, Settings())
    assert report["unreadable_rows"] == 1
    assert report["failures"] == [
        {
            "stage": "find_text_lines",
            "status": status,
            "error_code": code,
            "count": 1,
            "example": f"{RUN}/{FRAME}/{number}",
        }
        for status, code, number in [("failed", "model_failed", 0), ("parked", "image_unreadable", 1)]
    ]


@pytest.mark.parametrize(
    ("signal", "is_open", "reason"),
    [
        (None, False, "there is no activity signal"),
        (False, True, "the user is idle"),
        (True, False, "the user is active"),
    ],
)
def test_the_gate_is_told(signal: bool | None, is_open: bool, reason: str, memory: Memory) -> None:
    if signal is not None:
        memory.root.activity_signal().parent.mkdir()
        content = {"ts_utc": datetime.now(UTC).isoformat(), "idle_seconds": 9, "user_active": signal}
        memory.root.activity_signal().write_text(json.dumps(content))
    assert report_status(memory.root, Settings())["gate"] == {"open": is_open, "reason": reason}


def indexes(root: DataRoot, later_s: int = 0) -> dict[str, Any]:
    found = report_status(root, Settings(), lambda: time.time_ns() // 1000 + later_s * 1_000_000)["indexes"]
    assert isinstance(found, dict)
    return found


def test_what_questions_can_read_is_told_with_its_age_and_how_far_it_is_behind(memory: Memory) -> None:
    nothing = {"present": False, "built_utc": None, "age_s": None, "up_to_date": False}
    text = {"frames_captured_since": 4, "frames_read_since": 0, "renew": "pipeline run --until-done"}
    assert indexes(memory.root)["text_index"] == {**nothing, **text}
    assert indexes(memory.root)["landscape"] | {"renew": ""} == {
        **nothing, "spans": 0, "left_out": 0, "model": None, "renew": "",
    }  # fmt: skip
    process(memory.root)
    text = indexes(memory.root, later_s=7200)["text_index"]
    assert 7200 <= text["age_s"] < 7260
    assert text["built_utc"].endswith("Z")
    assert (text["present"], text["up_to_date"]) == (True, True)
    memory.frame(7, minutes(10, 7)[0])
    memory.frame(8, minutes(10, 8)[0])
    text = indexes(memory.root)["text_index"]
    assert (text["up_to_date"], text["frames_captured_since"], text["frames_read_since"]) == (False, 2, 0)


def test_frames_that_were_read_after_the_index_was_built_are_told(memory: Memory) -> None:
    process(memory.root, stages=("list_frames",))

    class Closing(Gate):
        def ask(self) -> Verdict:
            return Verdict(len(model.asked) < 3, "made for a test")

    model = InProcessModel(memory.root)
    with pytest.raises(Blocked):
        process(memory.root, model, Closing(memory.root.activity_signal), shard_frames=1)
    text = indexes(memory.root)["text_index"]
    assert (text["up_to_date"], text["frames_captured_since"], text["frames_read_since"]) == (False, 0, 3)


def test_a_landscape_is_told_with_its_model_and_when_it_is_behind(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    memory = Memory(tmp_path / "root")
    memory.frame(0, minutes(10, 0)[0])
    process_with(memory.root, Embedder(memory.root))
    found = indexes(memory.root)["landscape"]
    assert (found["present"], found["up_to_date"], found["spans"], found["model"]) == (True, True, 1, "a")
    assert found["renew"] == "pipeline landscape build"
    with Catalog(memory.root) as catalog:
        catalog.evidence_changed([(RUN, "2026-03-01")])
    assert indexes(memory.root)["landscape"]["up_to_date"] is False


def test_status_shows_indexes_and_the_last_attempt_to_people(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    process(memory.root)
    assert run(["--data-root", str(memory.root), "status"]) == 0
    out = capsys.readouterr().out
    assert "text index: built 20" in out
    assert "ago), up to date" in out or "(just now), up to date" in out
    assert "landscape: none yet  → " in out
    assert "last attempt" not in out
    memory.frame(7, minutes(10, 7)[0])
    with pytest.raises(Blocked):
        process(memory.root, gate=Gate(memory.root.activity_signal))
    assert run(["--data-root", str(memory.root), "status"]) == 0
    out = capsys.readouterr().out
    assert "behind: 1 frame captured since  → pipeline run --until-done" in out
    assert "last attempt: blocked (20" in out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (1, "1 second ago"), (59, "59 seconds ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
     (200_000, "2 days ago")],
)  # fmt: skip
def test_an_age_is_said_as_a_person_says_it(seconds: int, words: str) -> None:
    assert age_in_words(seconds) == words


def test_looking_changes_nothing(memory: Memory) -> None:
    process(memory.root)

    def content() -> dict[Path, bytes]:
        """All files but SQLite's own of a database in WAL mode, which any reader makes."""
        files = [path for path in memory.root.path.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}

    before = content()
    report_status(memory.root, Settings())
    examine(memory.root, Settings())
    assert content() == before


def test_ids_that_look_like_markup_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = Memory(tmp_path / "root")
    frame = memory.frame(0, minutes(10, 0)[0], run_id="a[/b]:smile:")
    memory.blob(frame, minutes(10, 0)[0]).unlink()
    process(memory.root)
    assert run(["--data-root", str(memory.root), "status"]) == 0
    out = capsys.readouterr().out
    assert f"parked: 1 in find_text_lines: blob_missing (e.g. {frame})" in out
    assert "find_text_lines" in out.splitlines()[4]


def test_a_catalog_that_is_damaged_is_told(memory: Memory) -> None:
    process(memory.root)
    memory.root.catalog_db.write_bytes(b"This file is no database.\n" * 40)
    with pytest.raises(ContractInvalid, match="catalog"):
        report_status(memory.root, Settings())
    assert findings(memory.root)["catalog"][0] == "failure"


def findings(root: DataRoot) -> dict[str, tuple[str, str, str]]:
    return {item.check: (item.level, item.message, item.remedy) for item in examine(root, Settings())}


def test_a_fit_dataroot_has_no_failures_and_each_problem_has_its_remedy(memory: Memory) -> None:
    process(memory.root)
    memory.root.path.chmod(0o700)
    found = findings(memory.root)
    assert set(found) == {
        "platform",
        "file system",
        "writable",
        "privacy",
        "disk",
        "metadata",
        "catalog",
        "facts",
        "activity signal",
        "packages",
        "ocr model",
        "embedding model",
        "landscape",
        "ocr server",
        "embed server",
        "vlm server",
        "vlm",
    }
    assert {level for level, _, _ in found.values()} <= {"ok", "warning"}
    assert all(remedy for level, _, remedy in found.values() if level != "ok")


def broken(memory: Memory, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "privacy":
        memory.root.path.chmod(0o755)
    elif what == "metadata":
        memory.root.metadata_db.write_bytes(b"x" * 5000)
    elif what == "file system":
        monkeypatch.setattr(doctor, "_file_system", lambda path: "9p")
    elif what == "disk":
        monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 2**80)
    elif what == "packages":
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    elif what == "ocr model":
        monkeypatch.setattr(doctor, "_OCR_MODELS", ("absent.onnx",))


@pytest.mark.parametrize(
    ("what", "level", "remedy"),
    [
        ("privacy", "warning", "chmod 700"),
        ("metadata", "failure", "pipeline ingest"),
        ("file system", "failure", "move the DataRoot to a Linux file system"),
        ("disk", "warning", "make room"),
        ("packages", "failure", "pip install"),
        ("ocr model", "failure", "pip install"),
        ("activity signal", "warning", "start the sidecar"),
    ],
)
def test_what_is_not_fit_is_found_with_its_remedy(
    what: str, level: str, remedy: str, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(memory, monkeypatch, what)
    found = findings(memory.root)[what]
    assert found[0] == level
    assert remedy in found[2]
    result: dict[str, Any] = to_json(examine(memory.root, Settings()))
    assert result["ok"] is (level != "failure")


def test_doctor_exits_with_4_when_something_fails(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    memory.root.metadata_db.write_bytes(b"x" * 5000)
    assert run(["--data-root", str(memory.root), "doctor", "--json"]) == 4
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is False
    assert any(reason.startswith("metadata: ") for reason in content["reasons"])


def test_a_missing_dataroot_is_no_finding_but_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataRootMissing):
        examine(DataRoot(tmp_path / "none"), Settings())
