"""A lost fact file costs its hour: it is made again, the damaged one is kept, and the rows are those of before."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from embedding_model import Embedder, process_with
from screen_memory import InProcessModel, Memory, minutes, rows

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ContractInvalid, NothingToDo
from pipeline.gate import Gate, Verdict
from pipeline.reports.doctor import examine
from pipeline.runs.run_files import read_manifest
from pipeline.settings import Settings
from pipeline.stores.facts import FactsStore
from pipeline.stores.text_index import TextIndex
from schemas.evidence import WINDOW

ALL_TABLES = ("records", "frames", "windows", "line_tracks", "spans", "stage_outcomes")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """Two hours of a day and one of another, all processed."""
    place = Memory(tmp_path / "root")
    for number, moment in enumerate([*minutes(10, 0, 1, 2), *minutes(11, 0, 1), *minutes(9, 0, day="2026-03-02")]):
        place.frame(number, moment, window_ref={"record_id": "w/0", "window": {"title": f"T{number // 2}", "hwnd": 7}})
        place.put(WINDOW, number, moment, {"window": {"title": f"T{number // 2}", "hwnd": 7}})
    process_with(place.root, Embedder(place.root))
    return place


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    """Turn one bit over in the first page."""
    content = bytearray(path.read_bytes())
    content[60] ^= 4
    path.write_bytes(content)


def file_of(root: DataRoot, table: str, producer: str, hour: str = "10") -> Path:
    [path] = (root.facts / table).glob(f"*/day=2026-03-01/hour={hour}/part-{producer}.parquet")
    return path


def content(root: DataRoot) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables; how long a model took is no part of what it said."""
    return {
        table: [{name: value for name, value in row.items() if name != "metrics"} for row in rows(root, table)]
        for table in ALL_TABLES
    }


def index_again(root: DataRoot) -> None:
    """Have the index built again, which reads every file."""
    root.text_index.unlink()


def quarantined(root: DataRoot) -> dict[str, bytes]:
    folder = root.quarantine / "facts"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_index(root: DataRoot) -> None:
    with TextIndex(root.text_index) as index:
        coverage = index.coverage(0, 2**62)
    assert coverage.captured == coverage.processed == len(rows(root, "frames"))


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize(
    ("table", "producer", "asked"),
    [
        ("records", "find_text_lines", 3),
        ("records", "embed_spans", 0),
        ("frames", "list_frames", 0),
        ("windows", "list_windows", 0),
        ("line_tracks", "track_lines", 0),
        ("spans", "build_spans", 0),
        ("stage_outcomes", "catalog", 0),
    ],
)
def test_a_damaged_file_is_kept_and_its_hour_made_again(
    table: str, producer: str, asked: int, damage: Callable[[Path], None], memory: Memory,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    before = content(memory.root)
    path = file_of(memory.root, table, producer)
    damage(path)
    damaged = path.read_bytes()
    index_again(memory.root)
    model, embedder = InProcessModel(memory.root), Embedder(memory.root)
    report = process_with(memory.root, embedder, model)
    name = str(path.relative_to(memory.root.facts))
    assert quarantined(memory.root) == {f"{name}.1": damaged}
    assert report.healed == [name]
    assert (len(model.asked), embedder.asked) == (asked, [])
    assert content(memory.root) == before
    require_index(memory.root)
    [told] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert str(path) in told
    assert "it is kept as" in told
    with pytest.raises(NothingToDo):
        process_with(memory.root, embedder, model)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize(
    ("table", "producer"),
    [("records", "find_text_lines"), ("frames", "list_frames"), ("windows", "list_windows")],
)
def test_a_file_that_is_found_damaged_while_its_hour_grows_costs_nothing_of_what_was_just_done(
    table: str, producer: str, once: bool, memory: Memory, tmp_path: Path
) -> None:
    whole = DataRoot(shutil.copytree(memory.root.path, tmp_path / "whole"))
    for root in (memory.root, whole):
        place = object.__new__(Memory)
        place.root = root
        place.frame(50, minutes(10, 3)[0], window_ref={"record_id": "w/0", "window": {"title": "T1", "hwnd": 7}})
        place.put(WINDOW, 50, minutes(10, 3)[0], {"window": {"title": "T1", "hwnd": 7}})
    process_with(whole, Embedder(whole))
    cut(file_of(memory.root, table, producer))
    model = InProcessModel(memory.root)
    process_with(memory.root, Embedder(memory.root), model, until_done=not once)
    assert len(quarantined(memory.root)) == 1
    assert len(model.asked) == len(set(model.asked)) == (4 if table == "records" else 1)
    assert content(memory.root) == content(whole)
    require_index(memory.root)


@pytest.mark.parametrize(
    ("table", "producer", "hour"),
    [
        ("records", "find_text_lines", "10"),
        ("records", "embed_spans", "11"),
        ("frames", "list_frames", "11"),
        ("windows", "list_windows", "10"),
        ("line_tracks", "track_lines", "11"),
        ("spans", "build_spans", "10"),
        ("stage_outcomes", "catalog", "10"),
    ],
)
def test_a_file_that_was_taken_away_is_made_again(table: str, producer: str, hour: str, memory: Memory) -> None:
    before = content(memory.root)
    file_of(memory.root, table, producer, hour).unlink()
    report = process_with(memory.root, Embedder(memory.root))
    assert len(report.healed) == 1
    assert report.healed[0].startswith(f"{table} of desk-1, 2026-03-01")
    assert content(memory.root) == before
    require_index(memory.root)


def test_what_doctor_says_of_a_damaged_file_is_what_helps(memory: Memory, tmp_path: Path) -> None:
    """Also where nothing that a run does would read the file."""
    before = content(memory.root)
    [ok] = [item for item in examine(memory.root, Settings()) if item.check == "facts"]
    assert ok.level == "ok"
    path = file_of(memory.root, "records", "find_text_lines")
    flip(path)
    [found] = [item for item in examine(memory.root, Settings()) if item.check == "facts"]
    assert found.level == "failure"
    assert str(path) in found.message
    assert found.remedy.startswith("move it out of derived/facts, then: pipeline run --until-done")
    path.rename(tmp_path / "away")
    [found] = [item for item in examine(memory.root, Settings()) if item.check == "facts"]
    assert (found.level, found.remedy) == ("failure", "pipeline run --until-done makes them again")
    process_with(memory.root, Embedder(memory.root))
    assert content(memory.root) == before
    assert ok in examine(memory.root, Settings())


def test_several_damaged_files_are_all_healed_in_one_run(memory: Memory) -> None:
    before = content(memory.root)
    for path in memory.root.facts.rglob("part-*.parquet"):
        cut(path)
    index_again(memory.root)
    files = len(list(memory.root.facts.rglob("part-*.parquet")))
    process_with(memory.root, Embedder(memory.root))
    assert len(quarantined(memory.root)) <= files
    assert content(memory.root) == before
    require_index(memory.root)


def test_a_run_that_is_stopped_while_it_heals_is_finished_by_the_next(memory: Memory) -> None:
    before = content(memory.root)
    cut(file_of(memory.root, "records", "find_text_lines"))
    index_again(memory.root)
    asked: list[bool] = []

    class Closing(Gate):
        """Closes once the damaged file has been found."""

        def ask(self) -> Verdict:
            asked.append(bool(quarantined(memory.root)))
            return Verdict(not asked[-1], "made for a test")

    with pytest.raises(Blocked):
        process_with(memory.root, Embedder(memory.root), gate=Closing(memory.root.activity_signal))
    [manifest] = [
        found
        for path in memory.root.manifests.glob("run-*.json")
        if (found := read_manifest(path))["state"] == "blocked"
    ]
    assert len(manifest["healed"]) == 1
    model = InProcessModel(memory.root)
    process_with(memory.root, Embedder(memory.root), model)
    assert len(model.asked) == 3
    assert content(memory.root) == before


def test_what_came_after_in_the_same_place_is_kept_beside_the_first(memory: Memory) -> None:
    path = file_of(memory.root, "frames", "list_frames")
    for _ in range(2):
        cut(path)
        index_again(memory.root)
        process_with(memory.root, Embedder(memory.root))
    name = str(path.relative_to(memory.root.facts))
    assert set(quarantined(memory.root)) == {f"{name}.1", f"{name}.2"}


def test_a_file_that_is_damaged_again_at_once_ends_the_run(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that damages what is written is no case for trying for ever."""
    path = file_of(memory.root, "frames", "list_frames")
    cut(path)
    index_again(memory.root)
    merge = FactsStore.merge

    def damaging(self: FactsStore, table: str, *place: Any) -> None:
        merge(self, table, *place)
        if table == "frames":
            cut(path)

    monkeypatch.setattr(FactsStore, "merge", damaging)
    with pytest.raises(ContractInvalid, match=r"part-list_frames\.parquet cannot be read"):
        process_with(memory.root, Embedder(memory.root))
    assert len(quarantined(memory.root)) == 1


def test_a_sound_file_of_another_version_is_left_alone(memory: Memory) -> None:
    path = file_of(memory.root, "frames", "list_frames")
    kept = pq.ParquetFile(path).read()
    pq.write_table(kept.rename_columns([f"old_{name}" for name in kept.column_names]), path)
    index_again(memory.root)
    with pytest.raises(ContractInvalid, match="columns are others"):
        process_with(memory.root, Embedder(memory.root))
    assert quarantined(memory.root) == {}
    assert path.exists()
