"""Bundles made and restored by a process that is killed, or refused by the disk, at every moment."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bundle_builder import a_root, bundle_of
from handoff_builder import Handoff, ingest_one, journal, kept, of_type, rows, tree
from test_crash_sweep import install

from pipeline.bundles.verify import verify_bundle
from pipeline.cli.main import run

MOST_POINTS = 600
REFUSABLE = {"fsync", "rename", "link", "mkdir", "write", "ftruncate"}


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, where there is one: thousands of syncs there cost nothing."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bundle-sweep-") as path:
        yield Path(path)


@pytest.fixture
def source(workplace: Path) -> Path:
    """A DataRoot with all kinds of files."""
    root = a_root(workplace)
    for name in ("pipeline.toml", "uia/latest.snap.json", "contract.json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"# x\n")
    return root


def restoring(base: Path) -> list[str]:
    return ["--data-root", str(base / "root"), "bundle", "restore", str(base.parent / "x.zip")]


def creating(base: Path) -> list[str]:
    return ["--data-root", str(base.parent / "a"), "bundle", "create", str(base / "out.zip")]


def run_and_die_at(point: int, arguments: list[str]) -> bool:
    """Run a command in a forked process that is killed before its n-th point; tells whether it was."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        left = [point]

        def hit(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        install(setattr, hit)
        os._exit(run(arguments))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def final_state(base: Path) -> dict[str, Any]:
    """What must be equal, whatever happened on the way: everything but times, the run's name, and what was mended."""
    root = base / "root"
    files = {name: data.decode("latin-1") for name, data in kept(root).items() if "metadata.db" not in name}
    del files["journal.ndjson"]
    events = [event for event in journal(root) if event["event_type"] != "system.ingest.recovered"]
    found = {"rows": rows(root), "files": files, "journal": [{**event, "sequence": 0} for event in events]}
    text = json.dumps(found, sort_keys=True).replace("2026-03-01T10:00:00.000Z", "CAPTURED")
    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", "TIME", text)
    text = re.sub(r"ingest_[0-9A-Z]{26}", "ingest_RUN", text)
    text = re.sub(r'(payload_hash)(\\*": ?\\*")[0-9a-f]{64}', r"\1\2HASH", text)
    normal: dict[str, Any] = json.loads(text)
    return normal


def assert_what_is_said_is_so(base: Path, source: Path) -> None:
    """The record of a restore may be there only when all the rest is; and no file is ever half a file."""
    originals = set(kept(source).values())
    for name, data in kept(base / "root").items():
        is_own = name.split("/")[0] in ("metadata.db", "metadata.db-journal", "journal.ndjson") or ".tmp-" in name
        assert is_own or data in originals or data == b"own picture", name
    if is_said_to_be_restored(base / "root"):
        assert rows(source).items() <= rows(base / "root").items()
        held = set(kept(base / "root").values())
        evidence = {name: data for name, data in kept(source).items() if name.split("/")[0] in ("media", "handoffs")}
        assert held.issuperset(evidence.values())
        assert any(data.startswith((source / "journal.ndjson").read_bytes()) for data in held)


def is_said_to_be_restored(root: Path) -> bool:
    """A process may have been killed before the database had its table."""
    if not (root / "metadata.db").exists():
        return False
    with closing(sqlite3.connect(root / "metadata.db")) as database:
        has_table = bool(database.execute("PRAGMA table_info(metadata)").fetchall())
    return has_table and bool(of_type(root, "system.ingest.bundle.restored"))


def fresh(workplace: Path, name: str, has_evidence: bool) -> Path:
    base = workplace / name
    if has_evidence:
        shutil.copytree(workplace / "template", base / "root")
    else:
        base.mkdir()
    return base


def prepare(workplace: Path, source: Path, has_evidence: bool) -> dict[str, Any]:
    bundle_of(source, workplace / "x.zip")
    if has_evidence:
        own = Handoff(workplace / "own")
        own.frame("own", b"own picture")
        ingest_one(workplace / "template", own.path)
    base = fresh(workplace, "undisturbed", has_evidence)
    assert run(restoring(base)) == 0
    return final_state(base)


@pytest.mark.parametrize(
    ("has_evidence", "stride"),
    [(False, 9), pytest.param(False, 1, marks=pytest.mark.slow), pytest.param(True, 1, marks=pytest.mark.slow)],
)
def test_a_restore_killed_at_any_point_is_finished_by_another(
    workplace: Path, source: Path, has_evidence: bool, stride: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = prepare(workplace, source, has_evidence)
    point = 1
    while run_and_die_at(point, restoring(base := fresh(workplace, str(point), has_evidence))):
        assert_what_is_said_is_so(base, source)
        assert run(restoring(base)) in (0, 2), point
        assert final_state(base) == expected, point
        assert not [name for name in tree(base / "root") if ".tmp-" in name]
        shutil.rmtree(base)
        point += stride
        assert point < MOST_POINTS
    assert final_state(base) == expected
    assert point > 60
    assert len(journal(base / "root")) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("code", "stride"),
    [
        (errno.EIO, 5),
        pytest.param(errno.EIO, 1, marks=pytest.mark.slow),
        pytest.param(errno.ENOSPC, 1, marks=pytest.mark.slow),
    ],
)
def test_a_restore_that_the_disk_refuses_anywhere_is_finished_by_another(
    workplace: Path, source: Path, code: int, stride: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = prepare(workplace, source, has_evidence=False)
    for point in range(1, MOST_POINTS, stride):
        base = fresh(workplace, f"{code}-{point}", has_evidence=False)
        refused, status = run_refused_at(point, code, restoring(base))
        assert_what_is_said_is_so(base, source)
        if not refused:
            assert final_state(base) == expected
            assert point > 20
            capsys.readouterr()
            return
        # Some refusals only cost another try.
        assert status == 4 or (status == 0 and final_state(base) == expected), (point, refused)
        assert run(restoring(base)) in (0, 2), (point, refused)
        assert final_state(base) == expected, (point, refused)
        shutil.rmtree(base)
    pytest.fail("the sweep never came to its end")


def run_refused_at(point: int, code: int, arguments: list[str]) -> tuple[list[str], int]:
    """Run a command whose n-th call that touches the disk fails; tells which that was, and the exit code."""
    refused: list[str] = []
    left = [point]

    def hit(name: str) -> None:
        left[0] -= name in REFUSABLE
        if left[0] == 0 and not refused:
            refused.append(name)
            raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch:
        install(patch.setattr, hit)
        return refused, run(arguments)


def test_a_create_killed_at_any_point_leaves_no_bundle_or_a_whole_one(
    workplace: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = bundle_of(source, workplace / "x.zip").read_bytes()
    before = tree(source)
    point = 1
    while run_and_die_at(point, creating(base := fresh(workplace, str(point), has_evidence=False))):
        if (base / "out.zip").exists():
            assert (base / "out.zip").read_bytes() == expected
            (base / "out.zip").unlink()
        assert run(creating(base)) == 0, point
        assert (base / "out.zip").read_bytes() == expected
        assert [path.name for path in base.iterdir()] == ["out.zip"]
        shutil.rmtree(base)
        point += 1
        assert point < MOST_POINTS
    assert point > 5
    assert tree(source) == before
    assert verify_bundle(base / "out.zip").rows == 9
    capsys.readouterr()


def test_a_create_that_the_disk_refuses_anywhere_leaves_nothing(
    workplace: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for point in range(1, MOST_POINTS):
        base = fresh(workplace, str(point), has_evidence=False)
        refused, status = run_refused_at(point, errno.ENOSPC, creating(base))
        if not refused:
            assert (status, point > 2) == (0, True)
            capsys.readouterr()
            return
        assert status == 4, refused
        assert [path.name for path in base.iterdir()] in ([], ["out.zip"])
        if (base / "out.zip").exists():  # refused when its name was to be made durable
            verify_bundle(base / "out.zip")
    pytest.fail("the sweep never came to its end")
