"""Much work on files is done by a process beside ingest: the same evidence, and nothing is marked when it fails."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
from handoff_builder import RUN, Handoff, canonical_blob, journal, of_type, rows, run_ingest

from pipeline.ingest.file_operations import Link
from pipeline.ingest.file_work import FileWork
from pipeline.ingest.handoff_directory import HandoffDirectory
from pipeline.ingest.hash_files import Syncs
from pipeline.ingest.look import StillBeingWritten, quick_digest
from pipeline.ingest.pace import Pace, PaceClock
from pipeline.ingest.place_files import Placed
from pipeline.ingest.result import State
from pipeline.stores.atomic import TEMPORARY_PREFIX

MANY = 70


def handoff_of_many(path: Path, frames: int = MANY) -> Handoff:
    handoff = Handoff(path)
    for number in range(frames):
        handoff.frame(f"{number:03}", b"picture %d" % number)
    return handoff


def workers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "pipeline.ingest.file_worker" in " ".join(child.cmdline())]


@pytest.fixture
def work() -> Iterator[FileWork]:
    with FileWork(2, Pace()) as made:
        made.expect(MANY)
        yield made


def test_a_process_leaves_the_same_evidence_as_one_thread(tmp_path: Path) -> None:
    found = []
    for threads in (0, 4):
        handoff = handoff_of_many(tmp_path / f"spool{threads}" / "handoff")
        root = tmp_path / f"root{threads}"
        [result] = run_ingest(root, handoff.path, threads=threads).results
        assert (result.state, result.files_linked, result.frames_complete) == (State.ingested, MANY, MANY)
        assert handoff.marker.exists()
        blobs = {str(path.relative_to(root)): path.read_bytes() for path in (root / "media").rglob("*.blob")}
        taken = {name: row for name, row in rows(root).items() if not name.startswith("system.")}
        found.append((blobs, taken))
    assert found[0] == found[1]
    assert len(found[0][0]) == MANY
    assert workers() == []


def test_many_marked_handoffs_are_recognised_by_a_survey(tmp_path: Path) -> None:
    for number in range(MANY):
        Handoff(tmp_path / "spool" / f"{number:03}").frame(f"{number:03}")
    assert {result.state for result in run_ingest(tmp_path / "root", tmp_path / "spool").results} == {State.ingested}
    changed = tmp_path / "spool" / "007" / "notes.txt"
    changed.write_bytes(b"new")
    again = run_ingest(tmp_path / "root", tmp_path / "spool").results
    assert [Path(result.path).name for result in again if result.state is not State.already] == ["007"]
    assert [result.rows for result in again] == [1] * MANY
    assert len(of_type(tmp_path / "root", "system.ingest.handoff.completed")) == MANY + 1
    assert len(journal(tmp_path / "root")) == MANY + 1


def test_a_handoff_whose_marker_names_another_manifest_is_not_recognised(tmp_path: Path) -> None:
    for number in range(MANY):
        Handoff(tmp_path / "spool" / f"{number:03}").frame(f"{number:03}")
    run_ingest(tmp_path / "root", tmp_path / "spool")
    one, other = (tmp_path / "spool" / name / "reap_eligible.json" for name in ("003", "004"))
    right = one.read_bytes()
    one.write_bytes(other.read_bytes())
    run_ingest(tmp_path / "root", tmp_path / "spool")
    assert one.read_bytes() == right


def test_a_name_that_is_not_utf_8_among_many_is_kept(tmp_path: Path) -> None:
    handoff = handoff_of_many(tmp_path / "h")
    name = os.fsdecode(b"log-\xff.txt")
    handoff.file(name, b"x")
    [result] = run_ingest(tmp_path / "root", handoff.path).results
    assert (result.state, result.files_linked) == (State.ingested, MANY + 1)
    assert (tmp_path / "root/handoffs" / result.handoff_id / name).read_bytes() == b"x"


def test_a_sync_that_fails_beside_others_fails_all_of_them_once_none_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = handoff_of_many(tmp_path / "h", 20)
    real, synced = os.fsync, list[str]()

    def sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append(name)
        if name == refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    syncs = Syncs()
    with HandoffDirectory(handoff.path) as directory, syncs.threads:
        blobs = [entry for path, entry in directory.look().files.items() if path.startswith("media/")]
        monkeypatch.setattr(os, "fsync", sync)
        refused, before = Path(blobs[7].path).name, len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(OSError, match="Input/output error"):
            syncs.hash_files(directory.place.root, blobs).result()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        assert refused in synced


def test_a_file_that_is_not_as_it_was_seen_is_not_hashed(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 2)
    with HandoffDirectory(handoff.path) as directory:
        entries = list(directory.look().files.values())
        (handoff.path / entries[0].path).write_bytes(b"longer than it was")
        with pytest.raises(StillBeingWritten, match="changed while it was read"):
            work.hash(directory.place, entries, sync=True).result()


def test_another_directory_in_the_place_of_the_handoff_is_refused(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 2)
    with HandoffDirectory(handoff.path) as directory:
        entries = list(directory.look().files.values())
        handoff.path.rename(tmp_path / "away")
        handoff_of_many(tmp_path / "h", 2)
        with pytest.raises(StillBeingWritten, match="another directory"):
            work.hash(directory.place, entries, sync=False).result()


def test_what_the_disk_refuses_is_told_with_its_number_and_path(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 1)
    with HandoffDirectory(handoff.path) as directory:
        entry = directory.look().files[canonical_blob(f"{RUN}/evidence.capture.frame/000")]
        with pytest.raises(FileNotFoundError) as refused:
            work.link(directory.place, [Link(entry, str(tmp_path / "none" / "there"), sync=False)]).result()
        assert refused.value.errno == errno.ENOENT


def test_a_place_that_is_taken_is_named_and_left_alone(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 2)
    (tmp_path / "taken").write_bytes(b"mine")
    with HandoffDirectory(handoff.path) as directory:
        entries = [entry for path, entry in directory.look().files.items() if path.endswith(".blob")]
        targets = (str(tmp_path / name) for name in ("taken", "free"))
        links = [Link(entry, target, sync=True) for entry, target in zip(entries, targets, strict=True)]
        assert work.link(directory.place, links).result() == [0]
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert (tmp_path / "free").stat().st_ino == entries[1].inode


def test_when_the_process_is_killed_nothing_is_marked_and_the_next_run_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = handoff_of_many(tmp_path / "spool" / "handoff")
    real = FileWork.link

    def link(self: FileWork, *arguments: object) -> object:
        for worker in workers():
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        return real(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(FileWork, "link", link)
        [result] = run_ingest(tmp_path / "root", handoff.path).results
    assert (result.state, int(result.exit_code)) in ((State.failed, 4), (State.ingested, 0))
    assert handoff.marker.exists() == (result.state is State.ingested)
    run_ingest(tmp_path / "root", handoff.path)
    assert handoff.marker.exists()
    assert len(list((tmp_path / "root" / "media").rglob("*.blob"))) == MANY


def test_after_the_process_died_this_one_goes_on_by_itself(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 2)
    [worker] = workers()
    worker.kill()
    with HandoffDirectory(handoff.path) as directory:
        entries = list(directory.look().files.values())
        worker.wait()
        failures = [work.hash(directory.place, entries, sync=False).exception() for _ in range(3)]
        assert all(error is None or getattr(error, "errno", 0) == errno.EIO for error in failures)
        assert len(work.hash(directory.place, entries, sync=False).result()) == len(entries)


def test_who_waits_does_what_the_process_has_not_begun(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 2)
    [worker] = workers()
    worker.suspend()  # it takes nothing on
    with HandoffDirectory(handoff.path) as directory:
        entries = list(directory.look().files.values())
        answers = [work.hash(directory.place, entries, sync=False) for _ in range(30)]
        assert len(answers[-1].result()) == len(entries)
        assert not answers[0].done()
        worker.resume()
        assert {tuple(answer.result()) for answer in answers} == {tuple(answers[-1].result())}


def test_what_is_not_begun_when_a_handoff_is_left_is_not_linked_any_more(tmp_path: Path, work: FileWork) -> None:
    handoff = handoff_of_many(tmp_path / "h", 30)
    [worker] = workers()
    worker.suspend()
    with HandoffDirectory(handoff.path) as directory:
        files = directory.look().files
        blobs = [entry for path, entry in files.items() if path.endswith(".blob")]
        links = [Link(entry, str(tmp_path / f"{number}.blob"), sync=False) for number, entry in enumerate(blobs)]
        placed = Placed(linking=[([], work.link(directory.place, [link])) for link in links])
        later = threading.Timer(0.3, worker.resume)
        later.start()
        placed.give_up()
        later.join()
        linked = len(list(tmp_path.glob("*.blob")))
        assert linked < len(blobs)
        assert all(answer.done() for _, answer in placed.linking)
    assert len(list(tmp_path.glob("*.blob"))) == linked


def test_while_the_user_is_active_nothing_is_given_to_a_process(tmp_path: Path) -> None:
    from pipeline.ingest.gate_mode import GateMode

    clock = PaceClock(monotonic=lambda: 0.0, sleep=lambda _: None, cpu_s=lambda: 0.0)
    pace = Pace(object(), GateMode.active_safe, clock)  # type: ignore[arg-type]
    pace.step()
    assert pace.is_slow
    with FileWork(4, pace) as slow:
        slow.expect(10_000)
        assert workers() == []
        assert slow.survey([str(tmp_path)]).result() == [None]


def test_an_ingest_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # as a person's ingest that is killed
        made = FileWork(2, Pace())
        made.expect(MANY)
        os.write(writing, str(workers()[0].pid).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    worker = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], timeout=20)
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", range(30))
def test_the_quick_look_sees_what_the_look_sees_or_leaves_it_alone(tmp_path: Path, number: int) -> None:
    random = Random(number)
    handoff = tmp_path / "h"
    make_tree(random, handoff, 0)
    strange = random.random() < 0.3
    if strange:
        random.choice(STRANGE)(handoff)
    with HandoffDirectory(handoff) as directory:
        quick = quick_digest(str(handoff))
        assert quick is None if strange else quick == directory.look().stat_sha256


def make_tree(random: Random, folder: Path, depth: int) -> None:
    folder.mkdir()
    for name in random.sample(["media", "a b", "ä", os.fsdecode(b"\xff"), "metadata.db", "z"], random.randrange(1, 6)):
        if depth < 4 and random.random() < 0.5:
            make_tree(random, folder / name, depth + 1)
        else:
            (folder / name).write_bytes(bytes(random.randrange(3)))
    if random.random() < 0.5:
        for name in ("metadata.db-shm", "metadata.db-wal", "reap_eligible.json"):
            (folder / name).write_bytes(b"")


STRANGE = (
    lambda handoff: (handoff / "link").symlink_to("/"),
    lambda handoff: os.mkfifo(handoff / "fifo"),
    lambda handoff: (handoff / f"{TEMPORARY_PREFIX}reap_eligible.json-1").write_bytes(b"{}"),
    lambda handoff: (handoff / "metadata.db-wal").write_bytes(b"frames"),
)
