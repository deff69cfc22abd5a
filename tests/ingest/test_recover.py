"""What a crash left is cleared away, and the journal says so; evidence is never touched `[root-2]`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from handoff_builder import Handoff, ingest_one, journal, kept, whole_handoff

from pipeline.ingest.result import State

DIE = (
    "import os, signal, sys\n"
    "from pipeline.cli.main import run\n"
    "from pipeline.stores.journal import Journal\n"
    "Journal.append_all = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    "run(['--data-root', sys.argv[1], 'ingest', sys.argv[2], '--set', 'settle_s=0'])\n"
)


def test_a_crash_between_rows_and_journal_is_completed_and_noted(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    first = Handoff(tmp_path / "first")
    first.frame("first")
    ingest_one(tmp_path / "root", first.path)
    done = subprocess.run([sys.executable, "-c", DIE, tmp_path / "root", handoff.path], check=False)
    assert done.returncode == -signal.SIGKILL
    before = kept(tmp_path / "root")
    assert ingest_one(tmp_path / "root", handoff.path).state is State.already
    events = journal(tmp_path / "root")
    assert [event["event_type"] for event in events] == [
        "system.ingest.handoff.completed",
        "system.ingest.recovered",
        "system.ingest.handoff.completed",
    ]
    assert events[1]["event_id"].startswith("system.ingest/recovered/")
    assert events[1]["payload"]["process"].isdigit()
    after = kept(tmp_path / "root")
    assert {name: after[name] for name in before if name != "journal.ndjson"} == {
        name: data for name, data in before.items() if name != "journal.ndjson"
    }


def test_temporary_files_of_a_dead_process_are_counted(tmp_path: Path) -> None:
    first, second = Handoff(tmp_path / "a"), Handoff(tmp_path / "b")
    first.frame("a")
    second.frame("b")
    root = tmp_path / "root"
    ingest_one(root, first.path)
    (root / "media/.tmp-ingest").mkdir()
    (root / "media/.tmp-ingest/half").write_bytes(b"half a blob")
    (root / "derived/ingest.lock").write_text("4711\n")
    ingest_one(root, second.path)
    (event,) = [event for event in journal(root) if event["event_type"] == "system.ingest.recovered"]
    assert event["payload"] == {"process": "4711", "temporary_files_removed": 1, "transaction_rolled_back": False}
    assert not (root / "media/.tmp-ingest").exists()


def test_an_ingest_that_came_to_its_end_leaves_nothing_to_recover(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    for _ in range(3):
        ingest_one(tmp_path / "root", handoff.path)
    assert [event["event_type"] for event in journal(tmp_path / "root")] == ["system.ingest.handoff.completed"]
    assert os.path.getsize(tmp_path / "root/derived/ingest.lock") == 0  # noqa: PTH202
