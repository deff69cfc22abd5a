"""Logs and progress: lines for people, objects for programs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from io import StringIO

import pytest
from command_line import RunCli
from rich.console import Console

from pipeline.cli.logs import JsonLines
from pipeline.runs.progress import BarProgress, LogProgress
from pipeline.runs.rate import Rate


def test_a_record_is_one_object_a_line_with_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_RUN_ID", "r-1")
    record = logging.makeLogRecord({"name": "pipeline", "levelname": "INFO", "msg": "a\n%s", "args": ("b",),
                                    "created": 1.5, "fields": {"stage": "ocr", "done": 3}})  # fmt: skip
    assert json.loads(JsonLines().format(record)) == {
        "ts_utc": "1970-01-01T00:00:01.500+00:00", "level": "info", "logger": "pipeline", "message": "a\nb",
        "ap_run_id": "r-1", "stage": "ocr", "done": 3,
    }  # fmt: skip
    assert "\n" not in JsonLines().format(record)


@pytest.mark.parametrize(
    "arguments", [("run", "--log-json"), ("ingest", "--log-json", "nowhere"), ("run", "--no-such")]
)
def test_every_line_on_stderr_is_an_object_an_error_too(arguments: tuple[str, ...], run_cli: RunCli) -> None:
    done = run_cli(*arguments, env={"AP_LOG_JSON": "1"} if "--no-such" in arguments else {})
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 64
    assert told[-1]["level"] == "error"


def test_without_it_an_error_is_a_line_and_its_remedy(run_cli: RunCli) -> None:
    assert run_cli("run").stderr.startswith("error: no DataRoot was named\n  → ")


def test_an_unexpected_error_is_named_without_what_it_said(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import logging, sys\nfrom pipeline.cli.logs import set_up_logs\nset_up_logs({'AP_LOG_JSON': '1'})\n"
        "raise ValueError('words from the screen')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    told = json.loads(done.stderr)
    assert (done.returncode, told["level"], told["message"]) == (1, "critical", "unexpected error: ValueError")
    assert "words" not in done.stderr


def test_elsewhere_than_on_a_terminal_a_line_comes_while_nothing_gets_done(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = LogProgress()
    with caplog.at_level(logging.INFO, "pipeline"), progress:
        progress.start("find_text_lines", 10)
        progress.advance(4)
        progress.tick("gate open: the user is idle")
        monkeypatch.setattr("pipeline.runs.progress.LOG_EVERY_S", 0.0)
        progress.tick("gate open: the user is idle")
        progress.advance(6)
        progress.tick("gate open: the user is idle")
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "find_text_lines: 10 pending"
    assert said[1].startswith("find_text_lines: 4 of 10, ")
    assert said[1].endswith("left, gate open: the user is idle")
    assert said[2].startswith("find_text_lines: 10 of 10")
    assert len(said) == 3


def test_a_terminal_shows_how_many_how_fast_how_long_still_and_the_gate() -> None:
    progress, screen = BarProgress(), StringIO()
    progress._progress.live.console = Console(file=screen, force_terminal=True, width=120)
    with progress:
        progress.start("find_text_lines", 10)
        progress.advance(4)
        progress.tick("gate open: the user is idle")
    shown = screen.getvalue()
    for part in ("find_text_lines", "4/10", "/s, ", " left", "gate open: the user is idle"):
        assert part in shown


def test_a_rate_is_that_of_the_last_minute() -> None:
    moments = iter([0.0, 10.0, 10.0, 20.0, 20.0, 100.0, 100.0, 100.0])
    rate = Rate(lambda: next(moments))
    rate.add(30)
    assert rate.per_s() == 1.5
    assert rate.left_s(10) is None
