"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.stores.atomic import (
    DirectorySync,
    make_directories,
    publish,
    remove_leftovers,
    replace_bytes,
    replace_file,
    temporary_beside,
)


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    replace_bytes(target, b"one")
    replace_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(target, fail)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"

    replace_file(target, write)
    assert target.read_bytes() == b"new"


def test_killed_before_the_rename_only_a_temporary_file_is_left(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from pipeline.stores import atomic\n"
        "def write(temporary):\n"
        "    temporary.write_bytes(b'new'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.replace_file(Path(sys.argv[1]), write)"
    )
    done = subprocess.run([sys.executable, "-c", code, target], check=False)
    assert done.returncode == -9
    assert target.read_bytes() == b"old"
    (left_over,) = (path for path in tmp_path.iterdir() if path != target)
    assert left_over.name.startswith(".tmp-")
    assert remove_leftovers(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_temporary_file_is_for_its_owner_only(tmp_path: Path) -> None:
    temporary = temporary_beside(tmp_path / "file")
    assert temporary.stat().st_mode & 0o777 == 0o600
    assert temporary.parent == tmp_path
    publish(temporary, tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_the_directory_of_the_target_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_bytes(tmp_path / "nowhere" / "file", b"x")


def _record_fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    synced: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_data_is_durable_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = _record_fsyncs(monkeypatch)
    replace_bytes(tmp_path / "file", b"x")
    assert len(synced) == 2
    assert synced[0].name.startswith(".tmp-file")
    assert synced[1] == tmp_path


def test_each_new_directory_is_durable_in_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = _record_fsyncs(monkeypatch)
    make_directories(tmp_path / "a" / "b")
    make_directories(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_directories_are_synced_once_in_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = DirectorySync(tmp_path)
    sync.make(tmp_path / "a" / "b")
    for name in ("one", "two"):
        (tmp_path / "a" / "b" / name).write_bytes(b"")
        sync.entered(tmp_path / "a" / "b")
    synced = _record_fsyncs(monkeypatch)
    sync.flush()
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    sync.flush()
    assert len(synced) == 3
