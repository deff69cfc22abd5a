"""Blobs and other files: where they go, what is refused, what is never overwritten `[handoff-4]`, `[root-1]`."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import RUN, Handoff, canonical_blob, ingest_one, kept, of_type, tree, whole_handoff

from pipeline.ingest.place_files import Mode
from pipeline.ingest.result import State

FRAME_ID = f"{RUN}/evidence.capture.frame/0"


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_hardlink_mode_links(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.files_linked, result.files_copied) == (4, 0)
    place = canonical_blob(FRAME_ID)
    assert inode(handoff.path / place) == inode(tmp_path / "root" / place)


def test_copy_mode_copies_and_keeps_the_time_of_the_file(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    place = canonical_blob(FRAME_ID)
    os.utime(handoff.path / place, ns=(10**18, 10**18))
    result = ingest_one(tmp_path / "root", handoff.path, mode=Mode.copy)
    assert (result.files_linked, result.files_copied) == (0, 4)
    assert inode(handoff.path / place) != inode(tmp_path / "root" / place)
    assert (tmp_path / "root" / place).stat().st_mtime_ns == 10**18
    assert (tmp_path / "root" / place).stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "root").rglob(".tmp-*"))


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_no_link_can_be_made_the_file_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    handoff = whole_handoff(tmp_path / "h")
    monkeypatch.setattr(os, "link", refuse)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.files_linked, result.files_copied) == (State.ingested, 0, 4)
    assert b'"media_files_copied":2' in handoff.marker.read_bytes()


def test_a_real_other_file_system_is_copied_from(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    handoff = whole_handoff(tmp_path / "h")
    root = shm / f"ingest-test-{os.getpid()}"
    try:
        assert ingest_one(root, handoff.path).files_copied == 4
        assert kept(root)[canonical_blob(FRAME_ID)] == b"\x89PNG\r\n\x1a\n picture 0"
    finally:
        for item in sorted(root.rglob("*"), reverse=True):
            item.rmdir() if item.is_dir() else item.unlink()
        root.rmdir()


def test_a_blob_outside_the_canonical_layout_comes_to_its_canonical_place(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture", blob_path="shots/./a.png")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.frames_complete) == (State.ingested, 1)
    assert kept(tmp_path / "root")[canonical_blob(FRAME_ID)] == b"picture"


def test_backslashes_of_another_system_in_blob_path_are_understood(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.file("shots/a.png", b"picture")
    handoff.frame("0", b"picture", blob=False, blob_path="shots\\a.png")
    assert ingest_one(tmp_path / "root", handoff.path).frames_complete == 1


def test_without_blob_path_the_canonical_place_is_looked_at(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", blob_path=None)
    assert ingest_one(tmp_path / "root", handoff.path).frames_complete == 1


def test_one_file_may_be_the_blob_of_two_frames(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"same", blob_path="shots/a.png")
    handoff.frame("1", b"same", blob_path="shots/a.png")
    assert ingest_one(tmp_path / "root", handoff.path).frames_complete == 2


def test_a_record_that_is_no_frame_brings_its_blob_too(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.file("clip.bin", b"clip")
    record = handoff.record("evidence.clipboard.item", "0", blob_path="clip.bin")
    ingest_one(tmp_path / "root", handoff.path)
    assert kept(tmp_path / "root")[canonical_blob(record)] == b"clip"


def damage_hash(handoff: Handoff) -> None:
    handoff.frame("0", content_hash="0" * 64)


def damage_size(handoff: Handoff) -> None:
    handoff.frame("0", content_size=3)


def omit_blob(handoff: Handoff) -> None:
    handoff.frame("0", blob=False)


def point_outside(handoff: Handoff) -> None:
    (handoff.path.parent / "outside.png").write_bytes(b"picture")
    handoff.frame("0", b"picture", blob=False, blob_path="../outside.png")


def point_to_absolute(handoff: Handoff) -> None:
    outside = handoff.path.parent / "outside.png"
    outside.write_bytes(b"picture")
    handoff.frame("0", b"picture", blob=False, blob_path=str(outside))


def omit_other_blob(handoff: Handoff) -> None:
    handoff.record("evidence.clipboard.item", "0", blob_path="nowhere.bin")


@pytest.mark.parametrize(
    "damage", [damage_hash, damage_size, omit_blob, point_outside, point_to_absolute, omit_other_blob]
)
def test_a_missing_or_wrong_blob_rejects_the_handoff_and_nothing_changes(tmp_path: Path, damage: Any) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("good")
    damage(handoff)
    earlier = Handoff(tmp_path / "earlier")
    earlier.frame("earlier")
    ingest_one(tmp_path / "root", earlier.path)
    before = tree(tmp_path / "root")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert "blob" in result.error
    assert not handoff.marker.exists()
    assert tree(tmp_path / "root") == before


@pytest.mark.parametrize("damage", [damage_hash, damage_size, omit_blob, point_outside])
def test_no_strict_keeps_a_frame_without_its_blob_as_incomplete_and_unmarked(tmp_path: Path, damage: Any) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("good")
    damage(handoff)
    result = ingest_one(tmp_path / "root", handoff.path, strict=False)
    assert (result.state, result.inserted, result.frames, result.frames_complete) == (State.partial, 2, 2, 1)
    assert not handoff.marker.exists()
    assert [record["source_record_id"] for record in of_type(tmp_path / "root", "retention.eligible")] == [
        f"{RUN}/evidence.capture.frame/good"
    ]


def test_a_wrong_blob_that_no_strict_lets_through_is_kept_aside(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"torn", content_hash="0" * 64)
    result = ingest_one(tmp_path / "root", handoff.path, strict=False)
    found = kept(tmp_path / "root")
    assert canonical_blob(FRAME_ID) not in found
    assert found[f"handoffs/{result.handoff_id}/{canonical_blob(FRAME_ID)}"] == b"torn"


def test_a_blob_that_the_data_root_holds_already_need_not_come_again(tmp_path: Path) -> None:
    first, second = Handoff(tmp_path / "a"), Handoff(tmp_path / "b")
    first.frame("0")
    second.frame("0", blob=False)
    ingest_one(tmp_path / "root", first.path)
    result = ingest_one(tmp_path / "root", second.path)
    assert (result.state, result.identical, result.frames_complete) == (State.ingested, 1, 1)


def test_another_content_in_the_place_of_a_blob_is_never_overwritten(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0")
    place = tmp_path / "root" / canonical_blob(FRAME_ID)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert "another content" in result.error
    assert place.read_bytes() == b"something else"


def test_a_link_in_the_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture")
    place = tmp_path / "root" / canonical_blob(FRAME_ID)
    place.parent.mkdir(parents=True)
    (tmp_path / "other").write_bytes(b"picture")
    place.symlink_to(tmp_path / "other")
    assert ingest_one(tmp_path / "root", handoff.path).state is State.rejected


def make_symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_linked_directory(path: Path) -> None:
    path.symlink_to(path.parent, target_is_directory=True)


@pytest.mark.parametrize("make", [make_symlink, make_fifo, make_socket, make_linked_directory])
@pytest.mark.parametrize("place", ["x", "media/x", "reap_eligible.json"])
def test_links_fifos_and_sockets_anywhere_reject_the_handoff(tmp_path: Path, make: Any, place: str) -> None:
    handoff = whole_handoff(tmp_path / "h")
    make(handoff.path / place)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert place in result.error
    assert kept(tmp_path / "root") == {}


def test_names_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    name = os.fsdecode(b"log-\xff.txt")
    handoff.file(name, b"x")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.ingested
    assert (tmp_path / "root/handoffs" / result.handoff_id / name).read_bytes() == b"x"


def test_a_file_swapped_after_it_was_listed_keeps_the_handoff_unmarked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture")
    real = os.read

    def swap(descriptor: int, size: int) -> bytes:
        monkeypatch.setattr(os, "read", real)
        handoff.file("swapped", b"picture")
        (handoff.path / "swapped").rename(handoff.path / canonical_blob(FRAME_ID))
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", swap)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.waiting
    assert not handoff.marker.exists()
    assert kept(tmp_path / "root") == {}


def test_the_data_root_itself_is_no_handoff(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    result = ingest_one(handoff.path / "root", handoff.path)
    assert result.state is State.rejected
    assert "holds the DataRoot itself" in result.error
