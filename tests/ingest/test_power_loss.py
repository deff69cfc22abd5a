"""Power cuts: what a disk could hold after one, and that the marker is true in all of it (docs/reliability.md)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_process import can_trace
from ingest_scenarios import SCENARIOS, Workplace
from power_loss import PowerLoss
from power_loss_disk import Cut, Disk
from power_loss_record import Files, Move, Name, Operation, Recording, Sync, Write
from screen_memory import folder_in_memory

from pipeline.stores.metadata import MetadataStore

needs_strace = pytest.mark.skipif(not can_trace(), reason="needs strace, and leave to trace")
SEEDS = [str(number) for number in range(400)]
OLD, NEW = 1, 2
TOP, FOLDER, OTHER = 0, 3, 4


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as path:
        yield path


def prepared(folder: Path, scenario: str) -> Workplace:
    workplace = Workplace(folder, SCENARIOS[scenario])
    workplace.renew()
    return workplace


@needs_strace
@pytest.mark.parametrize(
    ("scenario", "states"),
    [("links", 60), ("two", 40), ("filled", 30), pytest.param("session", 1000, marks=pytest.mark.slow)],
)
def test_after_any_power_cut_the_marker_is_true_and_a_rerun_ends_the_same(
    folder: Path, scenario: str, states: int
) -> None:
    loss = PowerLoss(prepared(folder, scenario))
    tried = [loss.judge(loss.draw(f"{scenario}/{number}")) for number in range(states)]
    assert [(one.cut, one.violations) for one in tried if one.violations] == []
    assert any(one.is_marked for one in tried)
    assert len({one.digest for one in tried}) > min(states // 3, 100)


def unsynced(is_meant: Callable[[str, bool], bool]) -> Callable[[], None]:
    """Patch this process so that some files or directories are not synced; told by path and whether a directory."""
    real = os.fsync

    def sync(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if not is_meant(path, stat.S_ISDIR(os.fstat(descriptor).st_mode)):
            real(descriptor)

    def install() -> None:
        os.fsync = sync  # type: ignore[assignment]

    return install


def commit_late() -> None:
    """Patch this process so that rows are committed when the store is closed, after the marker."""
    real = MetadataStore.close

    @contextmanager
    def transaction(self: MetadataStore) -> Iterator[None]:
        if not self._writable.in_transaction:
            self._writable.execute("BEGIN IMMEDIATE")
        yield

    def close(self: MetadataStore) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("COMMIT")
        real(self)

    MetadataStore.transaction = transaction  # type: ignore[method-assign]
    MetadataStore.close = close  # type: ignore[method-assign]


MUTATIONS = {
    "the folders of blobs are not synced": ("links", unsynced(lambda path, is_folder: is_folder and "/media/" in path)),
    "the top of the blobs is not synced": ("links", unsynced(lambda path, is_folder: path.endswith("/root/media"))),
    "a producer's file is linked without a sync": ("links", unsynced(lambda path, _: "/h/media/" in path)),
    "a copy is not synced": ("copies", unsynced(lambda path, is_folder: not is_folder and "/.tmp-ingest" in path)),
    "the journal is not synced": ("two", unsynced(lambda path, _: path.endswith("/journal.ndjson"))),
    "the journal's folder is not synced": ("links", unsynced(lambda path, _: path.endswith("/root"))),
    "rows are committed after the marker": ("links", commit_late),
}


@needs_strace
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_an_ingest_that_forgets_a_step_is_caught(folder: Path, mutation: str) -> None:
    scenario, install = MUTATIONS[mutation]
    loss = PowerLoss(prepared(folder, scenario), install)
    found = next((seed for seed in SEEDS if loss.judge(loss.draw(seed), rerun=False).violations), None)
    assert found is not None


@needs_strace
def test_an_ingest_that_forgets_nothing_is_not_accused(folder: Path) -> None:
    loss = PowerLoss(prepared(folder, "links"))
    assert [seed for seed in SEEDS[:80] if loss.judge(loss.draw(seed), rerun=False).violations] == []


def written_and_renamed(*syncs: int) -> Recording:
    """A file of 8 bytes is replaced by one of 1,024 through a rename; what is synced before the rename, and after."""
    before = Files(TOP, {OLD: bytearray(b"old text"), NEW: bytearray()}, {TOP: {"file": OLD}})
    rename = Move(Name(TOP, "new", None), Name(TOP, "file", NEW))
    made: list[Operation] = [Name(TOP, "new", NEW), Write(NEW, 0, b"x" * 1024)]
    made += [Sync(node, 2) for node in syncs if node == NEW]
    made.append(rename)
    made += [Sync(node, len(made)) for node in syncs if node == TOP]
    return Recording(before, made)


def contents_after(recording: Recording, moment: int | None = None, sector: int = 512) -> set[bytes]:
    """All that the file may hold after a cut at some moment, the last one unless told."""
    disk = Disk(recording, [])
    moment = len(recording.operations) if moment is None else moment
    styles = ("none", "all", "prefix", "few", "half", "most", "names", "data")
    cuts = [Cut(f"{style} {seed}", moment, style, sector, True) for style in styles for seed in range(40)]
    return {disk.after(cut).tree().get("file", b"lost") for cut in cuts}


def test_what_was_not_synced_may_be_old_new_torn_or_empty() -> None:
    found = contents_after(written_and_renamed())
    assert {b"old text", b"x" * 1024, b"", bytes(1024), bytes(512) + b"x" * 512, b"x" * 512 + bytes(512)} == found


def test_a_torn_write_may_part_at_larger_sectors_only() -> None:
    assert contents_after(written_and_renamed(), sector=4096) == {b"old text", b"x" * 1024, b"", bytes(1024)}


def test_a_synced_file_is_renamed_whole_or_not_at_all() -> None:
    assert contents_after(written_and_renamed(NEW)) == {b"old text", b"x" * 1024}


def test_a_synced_directory_keeps_the_name_and_not_the_content() -> None:
    found = contents_after(written_and_renamed(TOP))
    assert b"old text" not in found
    assert bytes(1024) in found


def test_what_was_synced_stays() -> None:
    assert contents_after(written_and_renamed(NEW, TOP)) == {b"x" * 1024}


def test_a_sync_that_had_not_returned_keeps_nothing() -> None:
    recording = written_and_renamed(NEW, TOP)
    assert b"old text" in contents_after(recording, moment=len(recording.operations) - 1)


def test_a_file_is_lost_with_the_directory_whose_own_name_was_not_synced() -> None:
    before = Files(TOP, {NEW: bytearray()}, {TOP: {}, FOLDER: {}})
    made: list[Operation] = [Name(TOP, "folder", FOLDER), Name(FOLDER, "file", NEW), Sync(FOLDER, 2)]
    disk = Disk(Recording(before, made), [])
    assert disk.after(Cut("any", 3, "none", 512, True)).tree() == {}
    assert Disk(Recording(before, [*made, Sync(TOP, 3)]), []).after(Cut("any", 4, "none", 512, True)).tree() == {
        "folder/file": b""
    }


def test_a_rename_to_another_directory_never_loses_both_names() -> None:
    before = Files(TOP, {OLD: bytearray(b"a")}, {TOP: {"from": FOLDER, "to": OTHER}, FOLDER: {"a": OLD}, OTHER: {}})
    disk = Disk(Recording(before, [Move(Name(FOLDER, "a", None), Name(OTHER, "a", OLD))]), [])
    found = {tuple(sorted(disk.after(Cut(str(seed), 1, "half", 512, True)).tree())) for seed in range(40)}
    assert found == {("from/a",), ("to/a",), ("from/a", "to/a")}


def test_a_producer_that_did_not_sync_may_lose_its_own_files_until_they_are_synced_for_it() -> None:
    before = Files(TOP, {OLD: bytearray(b"picture")}, {TOP: {"h": FOLDER}, FOLDER: {"a": OLD}})
    lost, kept = Cut("any", 0, "none", 512, False), Cut("any", 1, "none", 512, False)
    disk = Disk(Recording(before, [Sync(OLD, 0)]), ["h"])
    assert disk.after(lost).tree() == {"h/a": b""}
    assert disk.after(kept).tree() == {"h/a": b"picture"}
