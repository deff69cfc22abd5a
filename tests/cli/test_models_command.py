"""`run --engine-model` and `pipeline models` as a user meets them: two real engines, one after the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli, Spool

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import find_server, start_server, stop_server

NULL_SERVER = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "null_ocr_server.py")]
COARSE = """
[ocr_models.coarse]
engine = "rapidocr"
parameters = { "Det.score_mode" = "slow", "Det.unclip_ratio" = 2.5 }
"""


@pytest.fixture
def root(tmp_path: Path, spool: Spool, run_cli: RunCli) -> Iterator[DataRoot]:
    """Two real screens, read by a server that stands in for the default model."""
    place = DataRoot(tmp_path / "root")
    assert run_cli("--data-root", place, "ingest", spool("plain"), "--set", "settle_s=0").returncode == 0
    place.settings_file.write_text(COARSE)
    try:
        start_server(place, "ocr", [*NULL_SERVER, "--run-file", str(place.worker_file("ocr"))], timeout_s=30)
        stages = [part for name in ("list_frames", "list_windows", "ocr", "track_lines") for part in ("--stage", name)]
        assert run_cli("--data-root", place, "run", *stages, "--assume-idle-when-missing").returncode == 0
        yield place
    finally:
        stop_server(place, "ocr")


def test_another_model_reads_beside_is_compared_and_promoted(root: DataRoot, run_cli: RunCli) -> None:
    def asked(*arguments: str, code: int = 0) -> Any:
        done = run_cli("--data-root", root, "--json", *arguments)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    stood_in = find_server(root, "ocr")
    report = asked("run", "--stage", "ocr", "--engine-model", "coarse", "--assume-idle-when-missing")
    assert report["samples"] == {"find_text_lines": {"done": 2}}
    server = find_server(root, "ocr")
    assert server is not None
    assert stood_in is not None
    assert (server.pid != stood_in.pid, server.model.model_id) == (True, "PP-OCRv6-small")
    assert json.loads(server.asked)["parameters"] == {"Det.score_mode": "slow", "Det.unclip_ratio": 2.5}
    listed = asked("models", "list")
    assert [(row["name"], row["done"], row["in_use"]) for row in listed["models"]] == [
        ("default", 2, 2), ("coarse", 2, 0),
    ]  # fmt: skip
    told = asked("models", "diff", "default", "coarse", "--frames", "1")
    assert (told["frames"], len(told["disagreements"])) == (2, 1)
    assert asked("models", "promote", "coarse", "--assume-idle-when-missing")["shown_to_questions"] is True
    assert asked("models", "list")["asked"]["find_text_lines"] == "coarse"
    lines = asked("sql", "SELECT DISTINCT model_id FROM ocr_lines")
    assert lines["rows"] == [{"model_id": "PP-OCRv6-small"}]
    asked("run", "--stage", "ocr", "--assume-idle-when-missing", code=2)
    shown = run_cli("--data-root", root, "models", "diff", "coarse", "default", "--frames", "1")
    assert "a: coarse" in shown.stdout
    assert "2 frames read by both" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stage", "ocr", "--engine-model", "fine"), "no OCR model 'fine' is described; there are: coarse, default"),
        (("--engine-model", "coarse"), "--engine-model goes with --stage ocr alone"),
        (("--stage", "track_lines", "--engine-model", "coarse"), "--engine-model goes with --stage ocr alone"),
    ],
)
def test_a_model_that_cannot_be_asked_is_told(
    arguments: tuple[str, ...], message: str, tmp_path: Path, run_cli: RunCli
) -> None:
    place = DataRoot(tmp_path / "root")
    place.path.mkdir()
    place.settings_file.write_text(COARSE)
    done = run_cli("--data-root", place, "run", *arguments)
    assert done.returncode == 64
    assert message in done.stderr


def test_before_anything_was_read_there_is_no_model_to_list(tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli("--data-root", tmp_path, "models", "list")
    assert done.returncode == 7
    assert "pipeline run --until-done" in done.stderr
