"""What questions read keeps up by itself: at the end of a run, and where the user ends every run."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from embedding_model import Embedder
from processed_desk import answer_of
from screen_memory import InProcessModel, Memory, minutes, open_gate, rows

from pipeline.cli.main import run as run_command
from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.errors import Blocked, NothingToDo
from pipeline.gate import Gate, Verdict
from pipeline.reports.indexes import report_indexes
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.index_rows import Coverage
from pipeline.stores.landscape import open_landscape, read_manifest
from pipeline.stores.landscape_build import verify_landscape
from pipeline.stores.text_index import TextIndex

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
needs_lancedb = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("lancedb") is None, reason="the extra landscape is not installed"
)

TESTS = Path(__file__).resolve().parent.parent
HOUR_S = 3600


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    place = Memory(tmp_path / "root")
    fill(place, 0, 6)
    return place


def fill(memory: Memory, first: int, last: int) -> None:
    """One frame a minute, each with a window of its own."""
    for number in range(first, last):
        window = {"title": f"T{number}", "process_path": "/usr/bin/editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
        memory.frame(number, minutes(10, number)[0], window_ref={"record_id": "w/0", "window": window})


class Clock:
    """The time of now, and what a test adds to it."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + int(self.later_s * 1_000_000)


class UserComesBack(Gate):
    """Open until the model has read so many frames in this run."""

    def __init__(self, root: DataRoot, model: InProcessModel, frames: int) -> None:
        super().__init__(root.activity_signal)
        self._model, self._most = model, len(model.asked) + frames

    def ask(self) -> Verdict:
        return Verdict(len(self._model.asked) < self._most, "made for a test")


def process(
    root: DataRoot, clock: Callable[[], int], gate: Gate | None = None, model: InProcessModel | None = None,
    embedder: Embedder | None = None, **options: Any,
) -> RunReport:  # fmt: skip
    chosen = RunOptions(**{"until_done": True, **options})
    settings = Settings(shard_frames=1, retry_backoff_s=0)
    return run(root, settings, chosen, LocalEngine(root), gate or open_gate(root), model or InProcessModel(root),
               LogProgress(), embedder or Embedder(root), clock)  # fmt: skip


def blocked_run(root: DataRoot, clock: Clock, frames: int = 1) -> None:
    model = InProcessModel(root)
    with pytest.raises(Blocked):
        process(root, clock, UserComesBack(root, model, frames), model)
    assert len(model.asked) == frames


def coverage(root: DataRoot) -> Coverage:
    with TextIndex(root.text_index) as index:
        return index.coverage(0, 2**62)


def indexes(root: DataRoot, clock: Clock) -> dict[str, Any]:
    with EvidenceStore(root) as evidence, Catalog(root, read_only=True) as catalog:
        return report_indexes(root, evidence, catalog, clock())


def test_an_index_that_no_run_reaches_the_end_for_still_moves_on(memory: Memory) -> None:
    clock = Clock()
    blocked_run(memory.root, clock)
    assert not memory.root.text_index.exists()
    seen = []
    for _ in range(4):
        clock.later_s += HOUR_S + 60
        blocked_run(memory.root, clock)
        with TextIndex(memory.root.text_index) as index:
            found = [text for _, text in index.search('"pixels"', 10)]
        seen.append((coverage(memory.root).processed, len(found)))
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)]


@needs_lancedb
def test_so_does_the_landscape(memory: Memory) -> None:
    clock = Clock()
    blocked_run(memory.root, clock)
    spans = []
    for _ in range(3):
        clock.later_s += HOUR_S + 60
        blocked_run(memory.root, clock)
        manifest = read_manifest(memory.root)
        assert manifest is not None
        spans.append(manifest.pinned.spans)
        assert verify_landscape(memory.root)[1] == []
    assert spans == [6, 6, 6]  # each frame's title is a span's text, read or not
    assert len({row["text"] for row in rows(memory.root, "spans")}) == 6


def test_within_the_hour_a_run_reads_first(memory: Memory) -> None:
    clock = Clock()
    blocked_run(memory.root, clock)
    clock.later_s += HOUR_S + 60
    blocked_run(memory.root, clock)
    before = memory.root.text_index.stat().st_ino
    for _ in range(2):
        clock.later_s += HOUR_S / 4
        blocked_run(memory.root, clock)
        assert memory.root.text_index.stat().st_ino == before
    assert coverage(memory.root).processed == 1
    assert len(rows(memory.root, "records")) > 2


def test_a_renewal_that_the_user_ended_is_not_tried_again_within_the_hour(memory: Memory) -> None:
    """Else a large index would keep every run from reading."""
    clock = Clock()
    blocked_run(memory.root, clock)

    class ClosedToIndexes(Gate):
        """Closes as soon as a run begins to build days or indexes, and not for reading."""

        def ask(self) -> Verdict:
            with Catalog(memory.root, read_only=True) as catalog:
                days = catalog.connection.execute("SELECT count(*) FROM day_outcomes").fetchone()[0]
            return Verdict(days <= known, "made for a test")

    known = 1  # the visits, which are built before anything is read
    clock.later_s += HOUR_S + 60
    with pytest.raises(Blocked):
        process(memory.root, clock, ClosedToIndexes(memory.root.activity_signal))
    assert not memory.root.text_index.exists()
    clock.later_s += HOUR_S / 2
    blocked_run(memory.root, clock, frames=2)
    assert not memory.root.text_index.exists()
    clock.later_s += HOUR_S
    blocked_run(memory.root, clock)
    assert coverage(memory.root).processed == 3


def test_how_old_an_index_may_be_can_be_set(memory: Memory) -> None:
    clock = Clock()
    process(memory.root, clock)
    fill(memory, 6, 12)
    blocked_run(memory.root, clock)
    model = InProcessModel(memory.root)
    clock.later_s += HOUR_S + 60
    for age_s, processed in ((10**9, 6), (0, 8)):
        gate = UserComesBack(memory.root, model, 1)
        with pytest.raises(Blocked):
            run(memory.root, Settings(shard_frames=1, index_max_age_s=age_s), RunOptions(until_done=True),
                LocalEngine(memory.root), gate, model, LogProgress(), None, clock)  # fmt: skip
        clock.later_s += 1
        assert coverage(memory.root).processed == processed


def test_with_nothing_new_nothing_is_renewed_however_old(memory: Memory) -> None:
    clock = Clock()
    process(memory.root, clock)
    before = {path: path.stat().st_mtime_ns for path in memory.root.index.rglob("*")}
    clock.later_s += 100 * HOUR_S
    with pytest.raises(NothingToDo):
        process(memory.root, clock)
    assert {path: path.stat().st_mtime_ns for path in memory.root.index.rglob("*")} == before


def test_an_answer_after_a_blocked_run_says_what_it_does_not_know_yet(memory: Memory) -> None:
    clock = Clock()
    process(memory.root, clock)
    fill(memory, 6, 9)
    question = "When was 'pixels of desk-1' last seen?"
    assert answer_of(memory.root, question).coverage.frames_captured == 9
    blocked_run(memory.root, clock)
    for shown in (6, 7):
        answer = answer_of(memory.root, question)
        assert (answer.state, answer.needs_processing) == ("ok", True)
        assert [lack.reason for lack in answer.missing] == ["not_processed"]
        assert (answer.coverage.frames_captured, answer.coverage.frames_processed) == (9, shown)
        nothing = answer_of(memory.root, "When was QX-7 first seen?")
        assert nothing.state == "not_available_yet"
        clock.later_s += HOUR_S + 60  # the second time, of an index that was renewed and is behind again
        blocked_run(memory.root, clock)
    assert coverage(memory.root).processed == 8


def test_frames_that_a_stopped_run_had_not_even_listed_count_as_waiting(memory: Memory) -> None:
    clock = Clock()
    process(memory.root, clock)
    fill(memory, 6, 9)

    class Early(Gate):
        """Closes after one frame was listed."""

        def ask(self) -> Verdict:
            with Catalog(memory.root, read_only=True) as catalog:
                done = catalog.connection.execute("SELECT count(*) FROM outcomes WHERE stage = 'list_frames'")
                return Verdict(done.fetchone()[0] < 7, "made for a test")

    with pytest.raises(Blocked):
        process(memory.root, clock, Early(memory.root.activity_signal))
    memory.root.text_index.unlink()
    with pytest.raises(Blocked):
        process(memory.root, clock, Early(memory.root.activity_signal))
    process(memory.root, clock, stages=("list_windows",))  # ends, and renews, with two frames unlisted
    answer = answer_of(memory.root, "When was QX-7 first seen?")
    assert answer.state == "not_available_yet"
    assert answer.coverage.frames_captured >= 9
    process(memory.root, clock)
    assert answer_of(memory.root, "When was QX-7 first seen?").state == "no_evidence"


def test_all_was_read_but_the_user_is_back_before_the_index_is_renewed(memory: Memory) -> None:
    clock = Clock()
    process(memory.root, clock)
    fill(memory, 6, 7)
    embedder = Embedder(memory.root)

    class Late(Gate):
        def ask(self) -> Verdict:
            return Verdict(not embedder.asked, "made for a test")

    with pytest.raises(Blocked):
        process(memory.root, clock, Late(memory.root.activity_signal), embedder=embedder)
    assert indexes(memory.root, clock)["text_index"]["up_to_date"] is False
    assert process(memory.root, clock).renewed.keys() >= {"text_index"}


@needs_lancedb
def test_a_run_brings_the_landscape_up_and_its_hash_is_that_of_the_command(memory: Memory, run_cli: RunCli) -> None:
    report = process(memory.root, Clock())
    assert report.renewed.keys() == {"text_index", "landscape"}
    by_run = read_manifest(memory.root)
    assert by_run is not None
    assert verify_landscape(memory.root) == (by_run, [])
    build = ("--data-root", memory.root, "landscape", "build", "--json")
    blocked = run_cli(*build)
    assert (blocked.returncode, blocked.stderr.splitlines()[0]) == (3, "error: stopped: there is no activity signal")
    done = run_cli(*build, "--assume-idle-when-missing")
    assert json.loads(done.stdout)["manifest_sha256"] == by_run.manifest_sha256
    by_command = read_manifest(memory.root)
    assert by_command is not None
    assert by_command.folder != by_run.folder
    with pytest.raises(NothingToDo):
        process(memory.root, Clock())
    assert read_manifest(memory.root) == by_command


@needs_lancedb
def test_a_landscape_whose_content_stays_is_left_as_it_is(memory: Memory) -> None:
    process(memory.root, Clock())
    before = read_manifest(memory.root)
    for path in (memory.root.facts / "spans").rglob("part-*.parquet"):
        shutil.copyfile(path, path.with_name("copy"))
        path.with_name("copy").rename(path)  # another time, the same content
    assert process(memory.root, Clock()).renewed.keys() == {"text_index"}
    assert read_manifest(memory.root) == before
    with pytest.raises(NothingToDo):
        process(memory.root, Clock())
    fill(memory, 6, 7)
    assert "landscape" in process(memory.root, Clock()).renewed
    assert read_manifest(memory.root) != before


@needs_lancedb
@pytest.mark.parametrize("damage", ["manifest", "folder", "table", "table is a file"])
def test_a_landscape_that_is_damaged_or_gone_is_made_whole(damage: str, memory: Memory) -> None:
    process(memory.root, Clock())
    if damage == "manifest":
        memory.root.landscape_manifest.write_bytes(b"{}")
    elif damage == "folder":
        shutil.rmtree(next(memory.root.landscape.iterdir()))
    else:
        for path in memory.root.landscape_table.rglob("*.manifest"):
            path.write_bytes(b"")
        if damage == "table is a file":
            shutil.rmtree(memory.root.landscape_table)
            memory.root.landscape_table.write_bytes(b"x")
        fill(memory, 6, 7)  # what nobody reads is not seen until it is written
    assert "landscape" in process(memory.root, Clock()).renewed
    assert verify_landscape(memory.root)[1] == []


def test_without_lancedb_one_line_says_so_and_the_run_ends_as_it_would(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    report = process(memory.root, Clock())
    assert report.renewed.keys() == {"text_index"}
    assert open_landscape(memory.root) is None
    told = [
        record.getMessage() for record in caplog.records if "autocapture-pipeline[landscape]" in record.getMessage()
    ]
    assert len(told) == 1
    caplog.clear()
    with pytest.raises(NothingToDo):
        process(memory.root, Clock())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert indexes(memory.root, Clock())["landscape"]["renew"] == "pip install 'autocapture-pipeline[landscape]'"


@needs_lancedb
@pytest.mark.parametrize("at", ["folder", "table", "manifest"])
def test_killed_while_it_writes_the_landscape_the_next_run_makes_it_whole(at: str, memory: Memory) -> None:
    process(memory.root, Clock())
    fill(memory, 6, 8)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed_landscape.py"), memory.root.path, at],
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": ""},
        check=False,
    )
    assert done.returncode == -9
    report = process(memory.root, Clock())
    assert report.renewed.keys() == {"landscape"}
    manifest, reasons = verify_landscape(memory.root)
    assert reasons == []
    assert [item.name for item in memory.root.landscape.iterdir()] == [manifest.folder]
    assert manifest.pinned.spans == 8


def test_the_report_says_when_they_were_renewed(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    process(memory.root, Clock(), stages=("list_windows", "list_frames"))
    fill(memory, 6, 7)
    arguments = ["--data-root", str(memory.root.path), "run", "--stage", "list_frames", "--engine", "local",
                 "--assume-idle-when-missing"]  # fmt: skip
    assert run_command([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["renewed"]["text_index"].endswith("Z")
    assert told["renewed"]["landscape"] is None
    assert told["healed"] == []
    fill(memory, 7, 8)
    assert run_command(arguments) == 0
    assert "text_index       renewed 20" in capsys.readouterr().out
