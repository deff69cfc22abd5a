"""Chronicle sessions as nobody should write them: each has its exit code and its sentence, and changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chronicle_builder import SESSION, START_NS, Session, mouse, png, ticks, whole_session, zstd
from command_line import RunCli
from handoff_builder import ingest_one, kept, tree, whole_handoff

from pipeline.ingest.result import State
from schemas import chronicle_pb2 as pb

NAME = f"session_{SESSION}"
Spoil = Callable[[Session], object]


def manifest(**fields: Any) -> Spoil:
    """The whole session with other fields in its manifest; None takes one out."""

    def spoil(session: Session) -> None:
        changed = {**session.manifest, **fields}
        session.manifest = {key: value for key, value in changed.items() if value is not None}
        session.write()

    return spoil


def frame(**fields: Any) -> Spoil:
    """The whole session with other fields in its second frame."""

    def spoil(session: Session) -> None:
        session.frames[1].MergeFrom(pb.FrameMeta(**fields))
        session.write()

    return spoil


def file(name: str, content: bytes | Callable[[], bytes]) -> Spoil:
    """The whole session with another file in place of its own."""
    return lambda session: session.write() and session.file(name, content() if callable(content) else content)


def stream(name: str, raw: bytes | Callable[[], bytes]) -> Spoil:
    """The whole session with other bytes inside one of its zstd streams."""
    return lambda session: session.write() and session.stream(name, raw() if callable(raw) else raw)


def complete(**fields: Any) -> Spoil:
    """The whole session with a seal that says something else."""

    def spoil(session: Session) -> None:
        session.complete = fields
        session.write()

    return spoil


def without(name: str) -> Spoil:
    """The whole session but for one file."""
    return lambda session: (session.write().path / name).unlink()


def bomb() -> bytes:
    """1.5 GiB of one field that nobody knows, in about 50 KB."""
    field = b"\x7a\x80\x80\x20" + bytes(1 << 19)
    compressor = zstd.ZstdCompressor(level=1)
    parts = [compressor.compress(field * 16) for _ in range(192)]
    return b"".join([*parts, compressor.flush()])


def wide_window() -> bytes:
    """A stream that asks its reader for 128 MiB."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 1}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(b"\x7a\x02hi" * 10) + compressor.flush()


def by_dictionary() -> bytes:
    dictionary = zstd.ZstdDict(b"0123456789abcdef" * 16, is_raw=True)
    return zstd.compress(b"\x7a\x02hi" * 100, zstd_dict=dictionary)[:8] + b"\x01"


def twice(session: Session) -> None:
    session.frame(1, 3.0)
    session.write()


def linked_picture(session: Session) -> None:
    session.write()
    picture = session.path / "frames/frame_000001.png"
    picture.unlink()
    picture.symlink_to("/etc/hostname")


def linked_folder(session: Session) -> None:
    session.write()
    (session.path / "frames").rename(session.path.parent / "elsewhere")
    (session.path / "frames").symlink_to(session.path.parent / "elsewhere")


def fifo(session: Session) -> None:
    session.write()
    (session.path / "meta/frames.pb.zst").unlink()
    os.mkfifo(session.path / "meta/frames.pb.zst")


def far_detection(session: Session) -> None:
    session.detections[0].qpc_ticks = 0
    session.manifest["start_qpc_ticks"] = 10**15
    session.frames.clear()
    session.events.clear()
    session.write()


def far_events(session: Session) -> None:
    session.events += [mouse(10.0**6), mouse(-(10.0**5))]
    session.write()


def foreign_event(session: Session) -> None:
    session.events[0].session_id = "another"
    session.write()


def many_elements(session: Session) -> None:
    session.detections[0].elements.extend([pb.UiElement()] * 10_001)
    session.write()


ANCHOR = {"qpc_ticks": ticks(0), "unix_ns": START_NS}
NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
DAMAGED = "is damaged, no zstd, or has a window over 8 MiB"

HOSTILE: dict[str, tuple[Spoil, str]] = {
    "no manifest": (without("manifest.json"), "no manifest.json in it"),
    "manifest no json": (file("manifest.json", b"{"), "manifest.json is no SessionManifest"),
    "manifest a list": (file("manifest.json", b"[1]"), "manifest.json is no SessionManifest"),
    "manifest not utf-8": (file("manifest.json", b'{"session_id": "\xff"}'), "manifest.json is no SessionManifest"),
    "manifest nested": (file("manifest.json", NESTED), "manifest.json is no SessionManifest"),
    "manifest huge": (file("manifest.json", b" " * ((1 << 20) + 1)), "manifest.json has 1048577 bytes"),
    "manifest with a wrong type": (manifest(qpc_frequency_hz="fast"), "manifest.json is no SessionManifest"),
    "manifest with nan": (manifest(start_qpc_ticks=float("nan")), "manifest.json is no SessionManifest"),
    "number beyond 64 bits": (manifest(start_qpc_ticks=2**63), "manifest.json is no SessionManifest"),
    "number of 10,000 digits": (
        file("manifest.json", b'{"qpc_frequency_hz": ' + b"1" * 10_000 + b"}"),
        "manifest.json is no SessionManifest",
    ),
    "another version": (manifest(schema_version="chronicle/v1"), "expected 'chronicle/v0'"),
    "no session id": (manifest(session_id=None), "session_id is no name"),
    "session id with a path": (manifest(session_id="../../x"), "session_id is no name"),
    "session id with a nul": (manifest(session_id="a\0b"), "session_id is no name"),
    "no frequency": (manifest(qpc_frequency_hz=0), "qpc_frequency_hz is no frequency"),
    "no wall clock": (manifest(start_unix_ns=0), "ties the counter to no UTC time"),
    "clock of 1970": (manifest(start_unix_ns=1), "outside the years 2000 to 2100"),
    "clock of the year 2262": (manifest(start_unix_ns=2**63 - 1), "outside the years 2000 to 2100"),
    "two anchors at one tick": (manifest(clock_anchors=[ANCHOR, ANCHOR]), "two clock_anchors have the same ticks"),
    "seal no json": (file("COMPLETE.json", b"yes"), "COMPLETE.json cannot be read"),
    "seal nested": (file("COMPLETE.json", NESTED), "COMPLETE.json cannot be read"),
    "seal of another session": (complete(session_id="other"), "name different sessions"),
    "seal with another count": (complete(counts={"frames": 4}), "holds 3 items; COMPLETE.json says 4"),
    "seal with a wrong hash": (
        complete(files={"meta/input.pb.zst": "0" * 64}),
        "'meta/input.pb.zst' does not hash to what its producer says",
    ),
    "seal with a file outside": (complete(files={"../../etc/passwd": "0" * 64}), "'../../etc/passwd' is missing"),
    "no frames": (without("meta/frames.pb.zst"), "no meta/frames.pb.zst in it"),
    "stream empty": (file("meta/frames.pb.zst", b""), "meta/frames.pb.zst is empty"),
    "stream not compressed": (file("meta/frames.pb.zst", b"\x0a\x02\x10\x01" * 9), f"frames.pb.zst {DAMAGED}"),
    "stream cut off": (
        lambda session: session.write() and (path := session.path / "meta/frames.pb.zst").write_bytes(
            path.read_bytes()[:-9]
        ),
        "is cut off: its zstd stream does not end",
    ),
    "stream with something behind": (
        file("meta/input.pb.zst", lambda: zstd.compress(b"") + b"more"),
        f"meta/input.pb.zst {DAMAGED}",
    ),
    "stream that wants 128 MiB": (file("meta/frames.pb.zst", wide_window), DAMAGED),
    "stream by a dictionary": (file("meta/frames.pb.zst", by_dictionary), "meta/frames.pb.zst is"),
    "bomb": (file("meta/detections.pb.zst", bomb), "inflates to more than 1024 MiB"),
    "item of 2 GiB": (stream("frames", b"\x0a\xff\xff\xff\xff\x07"), "holds an item over 1024 KiB"),
    "item of 2 MiB": (stream("input", lambda: b"\x0a\x80\x80\x80\x01" + bytes(1 << 21)), "an item over 1024 KiB"),
    "item cut off": (stream("frames", b"\x0a\x08\x10"), "is cut off in the middle of an item"),
    "endless number": (stream("frames", b"\xff" * 40), "is no protobuf batch"),
    "json instead": (stream("frames", b'{"items": []}'), "is no protobuf batch"),
    "items that are numbers": (stream("frames", b"\x08\x01"), "is no protobuf batch"),
    "group instead": (stream("frames", b"\x7b\x7c"), "is no protobuf batch"),
    "text that is not utf-8": (stream("frames", b"\x0a\x03\x5a\x01\xff"), "item 0 is no valid FrameMeta"),
    "message cut off": (stream("detections", b"\x0a\x02\x22\x07"), "item 0 is no valid DetectionFrame"),
    "index as text": (stream("frames", b"\x0a\x03\x12\x01x"), "its size is 0×0 pixels"),
    "a frame twice": (twice, "meta/frames.pb.zst has two items for one frame_index"),
    "frame of another session": (frame(session_id="other"), "holds an item of another session"),
    "event of another session": (foreign_event, "meta/input.pb.zst holds an item of another session"),
    "frame without its picture": (without("frames/frame_000001.png"), "its blob is missing from the handoff"),
    "picture changed": (file("frames/frame_000001.png", png(shade=9)), "does not hash to its content_hash"),
    "hash of 5 bytes": (frame(sha256=b"short"), "its sha256 has 5 bytes; expected 32"),
    "path upwards": (frame(artifact_path="frames/../../secret.png"), "its artifact_path is no file frames/NAME.png"),
    "path from the root": (frame(artifact_path="/etc/passwd"), "its artifact_path is no file frames/NAME.png"),
    "path on a drive": (frame(artifact_path="C:\\frames\\a.png"), "its artifact_path is no file frames/NAME.png"),
    "path to the metadata": (frame(artifact_path="meta/frames.pb.zst"), "its artifact_path is no file"),
    "path with a nul": (frame(artifact_path="frames/a\0.png"), "its artifact_path is no file frames/NAME.png"),
    "picture a link": (linked_picture, "'frames/frame_000001.png' is a symbolic link"),
    "pictures behind a link": (linked_folder, "'frames' is a symbolic link"),
    "stream a FIFO": (fifo, "'meta/frames.pb.zst' is a FIFO"),
    "picture of another size": (frame(width=5), "its PNG has 4×3 pixels; its metadata says 5×3"),
    "size of nothing": (lambda session: session.frame(3, 3, width=0) and session.write(), "its size is 0×3 pixels"),
    "size beyond all screens": (frame(width=2**32 - 1), "its size is 4294967295×3 pixels"),
    "picture no png": (
        lambda session: session.frame(3, 3, b"GIF89a" + bytes(60)) and session.write(),
        "its picture is no PNG",
    ),
    "picture empty": (lambda session: session.frame(3, 3, b"") and session.write(), "its picture is no PNG"),
    "png with a forged header": (
        lambda session: session.frame(3, 3, png()[:20] + b"\xff" + png()[21:]) and session.write(),
        "its picture is no PNG",
    ),
    "ticks days away": (frame(qpc_ticks=2**62), "its ticks lie more than 24 hours from every clock anchor"),
    "ticks below zero": (frame(qpc_ticks=-(2**63)), "its ticks lie more than 24 hours from every clock anchor"),
    "events days away": (far_events, "2 events: their ticks lie more than a day"),
    "detection without ticks": (far_detection, "its ticks lie more than 24 hours"),
    "elements without end": (many_elements, "it has more than 10000 elements"),
    "a wal without a database": (file("metadata.db-wal", b"x" * 40), "it holds metadata.db-wal, and no metadata.db"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_session_is_rejected_and_changes_nothing(tmp_path: Path, name: str) -> None:
    spoil, sentence = HOSTILE[name]
    session = whole_session(tmp_path / NAME)
    spoil(session)
    before = tree_without_fifos(session.path)
    ingest_one(tmp_path / "root", whole_handoff(tmp_path / "h").path)
    evidence = kept(tmp_path / "root")
    result = ingest_one(tmp_path / "root", session.path)
    assert (result.state, int(result.exit_code)) == (State.rejected, 4)
    assert sentence in result.error
    assert result.remedy
    assert kept(tmp_path / "root") == evidence
    assert not session.marker.exists()
    assert tree_without_fifos(session.path) == before
    assert not list((tmp_path / "root/derived/tmp").iterdir())


def tree_without_fifos(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(path).items() if (path / name).is_file()}


def test_there_are_many_of_them() -> None:
    assert len(HOSTILE) > 60


def test_one_hostile_session_does_not_keep_the_others_from_going_through(tmp_path: Path, run_cli: RunCli) -> None:
    whole_session(tmp_path / "spool/session_a").write()
    bad = whole_session(tmp_path / "spool/session_b").write()
    bad.file("meta/frames.pb.zst", b"no zstd")
    done = run_cli("--data-root", tmp_path / "root", "ingest", tmp_path / "spool", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == answer["exit_code"] == 4
    assert [item["state"] for item in answer["handoffs"]] == ["ingested", "rejected"]


def test_messages_hold_nothing_of_what_was_on_the_screen(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME)
    session.frames[1].active_window.title = "a secret"
    session.frames[1].width = 99
    session.detections[0].elements[0].text = "a secret"
    session.detections[0].qpc_ticks = -1
    result = ingest_one(tmp_path / "root", session.write().path, strict=False)
    assert result.state is State.partial
    assert "secret" not in json.dumps(result.as_dict())


def test_faults_without_end_are_given_up(tmp_path: Path) -> None:
    session = Session(tmp_path / NAME)
    session.frames = [pb.FrameMeta(frame_index=index, qpc_ticks=ticks(1)) for index in range(10_001)]
    result = ingest_one(tmp_path / "root", session.write().path, strict=False)
    assert (result.state, result.error) == (State.rejected, "more than 10000 frames of it are faulty")
