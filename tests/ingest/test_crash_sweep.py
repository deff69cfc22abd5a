"""Killed, or refused by the disk, at every moment: the marker is true, and a rerun ends as if nothing had happened.

Every call that changes a file, makes something durable or moves a transaction is a point. A forked process runs the
real command and dies right before its n-th point, for every n until it gets through.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import Handoff, ingest_one, journal, kept, of_type, rows, tree, whole_handoff

from pipeline.cli.main import run
from pipeline.ingest.recover import RECOVERED
from pipeline.ingest.result import State
from pipeline.stores.metadata import MetadataStore

CALLS = ("fsync", "rename", "link", "mkdir", "unlink", "rmdir", "write", "ftruncate", "utime")
STATEMENTS = ("BEGIN", "CREATE", "PRAGMA application_id", "INSERT", "COMMIT")
MOST_POINTS = 400

Hit = Callable[[str], None]


def install(set_attribute: Callable[[Any, str, Any], None], hit: Hit) -> None:
    """Have `hit` called before every point."""

    def before(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            hit(name)
            return real(*arguments, **options)

        return call

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.startswith(STATEMENTS):
                hit(sql.split()[0])
            return super().execute(sql, *arguments)

        def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            hit(sql.split()[0])
            return super().executemany(sql, *arguments)

    real_connect = sqlite3.connect
    for name in CALLS:
        set_attribute(os, name, before(name))
    set_attribute(
        sqlite3, "connect", lambda *arguments, **options: real_connect(*arguments, **options, factory=Connection)
    )


def command(base: Path, mode: str) -> list[str]:
    return ["--data-root", str(base / "root"), "ingest", str(base / "h"), "--mode", mode, "--set", "settle_s=0"]


def run_and_die_at(point: int, base: Path, mode: str) -> bool:
    """Run the command in a forked process that is killed before its n-th point; tells whether it was."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        points, counting = count(1), threading.Lock()

        def hit(_: str) -> None:
            with counting:  # files are hashed and linked by several threads
                if next(points) == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        install(setattr, hit)
        os._exit(run(command(base, mode)))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def rich_handoff(path: Path) -> Handoff:
    """A whole handoff with a database that is kept too, so that both links and copies are made."""
    handoff = whole_handoff(path)
    handoff.execute("CREATE TABLE notes(text)")
    return handoff


def final_state(base: Path) -> dict[str, Any]:
    """What must be equal, whatever happened on the way: everything but times, the run's name and where it lies."""
    found = {
        "rows": rows(base / "root"),
        "files": {name: data.decode("latin-1") for name, data in kept(base / "root").items() if is_evidence(name)},
        "journal": told(base),
        "marker": json.loads((base / "h" / "reap_eligible.json").read_bytes()),
        "leftovers": [name for where in ("root", "h") for name in tree(base / where) if ".tmp-" in name],
        "quarantine": sorted(tree(base / "root/derived/quarantine")),
    }
    text = json.dumps(found, sort_keys=True).replace(str(base), "BASE")
    text = re.sub(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", "TIME", text.replace("2026-03-01T10:00:00.000Z", "CAPTURED")
    )
    text = re.sub(r"ingest_[0-9A-Z]{26}", "ingest_RUN", text)
    text = re.sub(r'(stat_manifest_sha256|payload_hash)(\\?": ?\\?")[0-9a-f]{64}', r"\1\2HASH", text)
    normal: dict[str, Any] = json.loads(text)
    return normal


def told(base: Path) -> list[dict[str, Any]]:
    """The journal without what it says about the crashes themselves."""
    events = [event for event in journal(base / "root") if event["event_type"] != RECOVERED]
    return [{**event, "sequence": number} for number, event in enumerate(events)]


def is_evidence(name: str) -> bool:
    return name.split("/")[0] in ("media", "handoffs")


def assert_marker_is_true(base: Path, template: Path) -> None:
    """A marker may lie there only when the DataRoot alone, with the handoff gone, holds all of it."""
    if not (base / "h" / "reap_eligible.json").exists():
        return
    marker = json.loads((base / "h" / "reap_eligible.json").read_bytes())
    contents = set(kept(base / "root").values())
    for name, data in tree(template).items():
        assert name == "metadata.db" or data in contents, name
    (completed,) = of_type(base / "root", "system.ingest.handoff.completed")
    assert completed["handoff_manifest_sha256"] == marker["integrity"]["handoff_manifest_sha256"]
    assert len(of_type(base / "root", "retention.eligible")) == 2
    assert len([name for name in rows(base / "root") if name.startswith("run-1/evidence.")]) == 4
    assert [event["event_id"].rpartition("/")[2] for event in told(base)] == [completed["handoff_manifest_sha256"]]


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, where there is one: thousands of syncs there cost nothing."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="ingest-sweep-") as path:
        yield Path(path)


@pytest.fixture
def template(workplace: Path) -> Path:
    return rich_handoff(workplace / "template").path


def fresh(workplace: Path, template: Path, name: str) -> Path:
    base = workplace / name
    shutil.copytree(template, base / "h")
    return base


def undisturbed(workplace: Path, template: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    base = fresh(workplace, template, "undisturbed")
    assert run(command(base, mode)) == 0
    capsys.readouterr()
    return final_state(base)


@pytest.mark.parametrize("mode", ["hardlink", pytest.param("copy", marks=pytest.mark.slow)])
def test_killed_at_any_point_the_marker_is_true_and_a_rerun_ends_the_same(
    workplace: Path, template: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(workplace, template, mode, capsys)
    point = 1
    while run_and_die_at(point, base := fresh(workplace, template, str(point)), mode):
        assert_marker_is_true(base, template)
        assert run(command(base, mode)) in (0, 2)
        assert final_state(base) == expected, point
        shutil.rmtree(base)
        point += 1
        assert point < MOST_POINTS
    assert final_state(base) == expected
    assert point > 40


@pytest.mark.parametrize("mode", ["hardlink", pytest.param("copy", marks=pytest.mark.slow)])
def test_killed_twice_in_a_row_it_still_ends_the_same(
    workplace: Path, template: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(workplace, template, mode, capsys)
    for first in range(5, 60, 13):
        for second in range(3, 40, 13):
            base = fresh(workplace, template, f"{first}-{second}")
            run_and_die_at(first, base, mode)
            child_died = run_and_die_at_any_exit(second, base, mode)
            assert_marker_is_true(base, template)
            assert run(command(base, mode)) in (0, 2)
            assert final_state(base) == expected, (first, second, child_died)
            shutil.rmtree(base)


def run_and_die_at_any_exit(point: int, base: Path, mode: str) -> bool:
    try:
        return run_and_die_at(point, base, mode)
    except AssertionError:  # it got through, and there was nothing left to do
        return False


@pytest.mark.parametrize("code", [errno.EIO, pytest.param(errno.ENOSPC, marks=pytest.mark.slow)])
def test_refused_by_the_disk_at_any_point_nothing_is_marked_that_is_not_safe(
    workplace: Path, template: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(workplace, template, "hardlink", capsys)
    counting = threading.Lock()
    refusable = {"fsync", "rename", "link", "mkdir", "write", "ftruncate", "utime", "INSERT", "COMMIT"}
    for point in range(1, MOST_POINTS):
        base = fresh(workplace, template, f"{code}-{point}")
        refused: list[str] = []
        left = [point]

        def hit(name: str, left: list[int] = left, refused: list[str] = refused) -> None:
            with counting:
                left[0] -= name in refusable
                if left[0] != 0 or refused:
                    return
                refused.append(name)
            raise OSError(code, os.strerror(code))

        with pytest.MonkeyPatch.context() as patch:
            install(patch.setattr, hit)
            status = run_quietly(base)
        assert_marker_is_true(base, template)
        if not refused:
            assert final_state(base) == expected
            assert point > 30
            return
        assert status == 4 or (status == 0 and (base / "h/reap_eligible.json").exists()), (point, refused)
        assert run(command(base, "hardlink")) in (0, 2), (point, refused)
        assert final_state(base) == expected, (point, refused)
        shutil.rmtree(base)
    pytest.fail("the sweep never came to its end")


def run_quietly(base: Path) -> int:
    """Run the command; a refusal while the DataRoot itself is made or the lock is taken ends the process."""
    try:
        return run(command(base, "hardlink"))
    except OSError:
        return 4


def test_a_refused_commit_leaves_the_handoff_unmarked_and_says_so(
    workplace: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(MetadataStore, "insert", refuse)
    result = ingest_one(workplace / "root", template)
    assert (result.state, int(result.exit_code)) == (State.failed, 4)
    assert "SQLITE_IOERR_FSYNC" in result.error
    assert not (template / "reap_eligible.json").exists()


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and not subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode


@pytest.mark.slow
@pytest.mark.skipif(not can_trace(), reason="needs strace, and leave to trace")
def test_killed_inside_any_system_call_that_writes(
    workplace: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same sweep from outside, over SQLite's own calls too."""
    expected = undisturbed(workplace, template, "hardlink", capsys)
    points = 0
    for name in ("fsync", "fdatasync", "pwrite64", "write", "rename", "linkat", "unlink", "mkdir", "ftruncate"):
        for nth in range(1, MOST_POINTS):
            base = fresh(workplace, template, f"{name}-{nth}")
            inject = f"inject={name}:signal=KILL:when={nth}"
            program = [sys.executable, "-m", "pipeline", *command(base, "hardlink")]
            done = subprocess.run(
                ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e", inject, *program],
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                shutil.rmtree(base)
                break
            assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
            assert_marker_is_true(base, template)
            assert run(command(base, "hardlink")) in (0, 2)
            assert final_state(base) == expected, (name, nth)
            shutil.rmtree(base)
            points += 1
    assert points > 50
