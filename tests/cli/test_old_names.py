"""`autocapture …` and `autocapture-prime …`: the same doing and the same exit codes, with one line that says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Spool

from pipeline.cli.old_names import COMMANDS, UnknownName, translate


def autocapture(*words: object, name: str = "autocapture") -> subprocess.CompletedProcess[str]:
    """Run an old command as its console script does."""
    start = f"import sys; sys.argv[0] = {name!r}; from pipeline.cli.old_names import main; main()"
    command = [sys.executable, "-c", start, *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("handoff ingest --handoff-root H --data-dir D --mode copy", "ingest H --data-root D --mode copy"),
        ("handoff drain --spool-root=S --data-dir=D", "ingest S --data-root D"),
        ("chronicle ingest --spool-root S --data-dir D", "ingest S --data-root D"),
        ("batch run --data-dir D --max-frames 5", "run --until-done --data-root D --max-frames 5"),
        ("process once --data-dir D --assume-idle-when-missing", "run --once --data-root D --assume-idle-when-missing"),
        ("query what --data-dir D --json", "query what --data-root D --json"),
    ],
)
def test_each_old_command_has_a_new_one(old: str, now: str) -> None:
    assert translate(old.split()) == now.split()


def test_every_old_command_is_tested() -> None:
    assert len(COMMANDS) == 6


@pytest.mark.parametrize("words", ["", "handoff", "handoff delete", "ingest x", "handoff ingest --handoff-root"])
def test_what_is_no_old_command_is_refused(words: str) -> None:
    with pytest.raises(UnknownName):
        translate(words.split())


def test_an_ingest_and_a_question_by_their_old_names(spool: Spool, tmp_path: Path) -> None:
    root, handoffs = tmp_path / "root", spool("plain")
    where = ("--data-dir", root)
    done = autocapture("handoff", "drain", "--spool-root", handoffs, *where, "--set", "settle_s=0")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        0,
        "deprecated: autocapture handoff drain is now: pipeline ingest",
    )
    assert done.stderr.count("deprecated") == 1
    assert (handoffs / "plain" / "reap_eligible.json").exists()
    again = autocapture(
        "handoff", "ingest", "--handoff-root", handoffs / "plain", *where, "--set", "settle_s=0",
        name="autocapture-prime",
    )  # fmt: skip
    assert (again.returncode, "autocapture-prime handoff ingest" in again.stderr) == (2, True)
    assert autocapture("process", "once", *where).returncode == 3
    assert autocapture("batch", "run", *where).returncode == 3
    assert autocapture("query", "what did I read", *where).returncode == 7


def test_without_a_command_the_names_of_now_are_told() -> None:
    none = autocapture()
    assert (none.returncode, none.stdout) == (64, "")
    assert "now: pipeline run --until-done" in none.stderr
    assert autocapture("--help").returncode == 0
