"""Chronicle sessions from the outside: what a recorder and a reaper can rely on `[handoff-9]`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chronicle_builder import RUN, SESSION, START_NS, Session, mouse, png, ticks, whole_session
from command_line import RunCli
from handoff_builder import ingest_one, journal, kept, of_type, rows, run_ingest, tree, whole_handoff
from screen_memory import InProcessModel, process, read_text
from screen_memory import rows as fact_rows

from pipeline.dataroot import DataRoot, rid
from pipeline.ingest.result import State
from schemas import chronicle_pb2 as pb
from schemas.canonical import payload_hash

NAME = f"session_{SESSION}"


def record(root: Path, record_type: str, number: int) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(rows(root)[f"{RUN}/{record_type}/{number:09d}"][0])
    return payload


def blob(root: Path, index: int, day: str = "2026/03/01") -> Path:
    record_id = f"{RUN}/evidence.capture.frame/{index:09d}"
    return root / f"media/{rid(RUN)}/evidence/{day}/{rid(record_id)}.blob"


def test_handoff_9_a_sealed_session_is_ingested_and_marked(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    result = ingest_one(tmp_path / "root", session.path)
    assert (result.state, int(result.exit_code), result.warnings) == (State.ingested, 0, [])
    assert (result.rows, result.inserted, result.frames, result.frames_complete) == (8, 8, 3, 3)
    marker = json.loads(session.marker.read_bytes())
    assert marker["schema"] == "autocapture.handoff.reap_eligible.v1"
    assert marker["counts"]["metadata_rows_copied"] == 8
    assert marker["counts"]["media_files_linked"] == 3


def test_handoff_9_everything_a_session_held_is_in_the_data_root(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    session.file("frames/frame_000001.png.tmp", b"left behind")
    before = tree(session.path)
    handoff_id = ingest_one(tmp_path / "root", session.path).handoff_id
    for index in range(3):
        assert blob(tmp_path / "root", index).read_bytes() == before.pop(f"frames/frame_{index:06d}.png")
    aside = tree(tmp_path / "root/handoffs" / handoff_id)
    assert aside == before
    assert set(aside) >= {"manifest.json", "COMPLETE.json", "meta/frames.pb.zst", "frames/frame_000001.png.tmp"}


def test_handoff_9_a_session_is_not_changed_but_for_the_marker(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    before = tree(session.path)
    ingest_one(tmp_path / "root", session.path)
    after = tree(session.path)
    del after["reap_eligible.json"]
    assert after == before


def test_handoff_9_without_its_seal_a_session_is_ignored_and_named(tmp_path: Path) -> None:
    whole_session(tmp_path / "spool" / NAME).write(seal=False)
    for path in (tmp_path / "spool", tmp_path / "spool" / NAME):
        outcome = run_ingest(tmp_path / "root", path)
        assert (outcome.results, outcome.exit_code) == ([], 2)
        assert outcome.passed_over == [str(tmp_path / "spool" / NAME)]
    assert not (tmp_path / "root").exists()


def test_handoff_9_a_spool_may_hold_sessions_and_handoff_dirs(tmp_path: Path) -> None:
    whole_handoff(tmp_path / "spool/a")
    whole_session(tmp_path / "spool" / NAME).write()
    Session(tmp_path / "spool/session_later").write(seal=False)
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool")
    assert [(Path(result.path).name, result.state) for result in outcome.results] == [
        ("a", State.ingested),
        (NAME, State.ingested),
    ]
    assert [Path(path).name for path in outcome.passed_over] == ["session_later"]


def test_handoff_9_the_seal_waives_the_wait_for_quiet(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    assert ingest_one(tmp_path / "root", session.path, settle_s=3600.0).state is State.ingested


def test_handoff_9_frames_are_evidence_of_the_sidecars_type(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    ingest_one(tmp_path / "root", session.path)
    frame = record(tmp_path / "root", "evidence.capture.frame", 1)
    window = record(tmp_path / "root", "evidence.window.meta", 0)
    assert frame == {
        "schema_version": 1,
        "record_type": "evidence.capture.frame",
        "run_id": RUN,
        "ts_utc": "2026-03-01T10:00:02.250000Z",
        "width": 4,
        "height": 3,
        "encoding": "png",
        "content_type": "image/png",
        "content_hash": hashlib.sha256(png(shade=1)).hexdigest(),
        "blob_path": "frames/frame_000001.png",
        "frame_index": 1,
        "qpc_ticks": ticks(2.25),
        "dirty_rects": [[1, 1, 3, 3]],
        "window_ref": {
            "record_id": f"{RUN}/evidence.window.meta/000000000",
            "ts_utc": "2026-03-01T10:00:00.500000Z",
            "window": window["window"],
        },
        "payload_hash": frame["payload_hash"],
    }
    assert frame["payload_hash"] == payload_hash(frame)
    assert window["window"] == {
        "title": "notes – Editor",
        "process_path": "C:\\Editor\\editor.exe",
        "pid": 7,
        "hwnd": 70,
        "monitor": "1",
        "rect": [-10, 0, 800, 600],
    }
    assert len(of_type(tmp_path / "root", "evidence.window.meta")) == 2
    assert len(of_type(tmp_path / "root", "retention.eligible")) == 3


def test_handoff_9_what_is_made_of_a_session_never_changes(tmp_path: Path) -> None:
    """Another form of a record would make a conflict of every session that is handed off again."""
    session = whole_session(tmp_path / NAME).write()
    ingest_one(tmp_path / "root", session.path)
    hashes = {name: json.loads(row[0])["payload_hash"][:12] for name, row in rows(tmp_path / "root").items()}
    assert {name.removeprefix(f"{RUN}/"): value for name, value in hashes.items() if name.count("/0000") == 1} == {
        "evidence.capture.frame/000000000": "fa5ba2e5ec1e",
        "evidence.capture.frame/000000001": "98a8702ac8a9",
        "evidence.capture.frame/000000002": "186778dd8a4d",
        "evidence.window.meta/000000000": "cc1004003513",
        "evidence.window.meta/000000002": "6777b7862040",
        "derived.input.summary/000000000": "776403d62da0",
        "derived.input.summary/000000001": "0958ca4dc1df",
        "derived.chronicle.detections/000000001": "dd53d43643cb",
    }


def test_handoff_9_detections_are_carried_as_they_were_said(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    ingest_one(tmp_path / "root", session.path)
    seen = record(tmp_path / "root", "derived.chronicle.detections", 1)
    assert seen["frame_ref"] == {"record_id": f"{RUN}/evidence.capture.frame/000000001"}
    assert seen["elements"] == [
        {
            "element_id": "e1",
            "type": "button",
            "rect": [1, 2, 4, 6],
            "confidence": 7500,
            "label": "button",
            "text": "Send",
        }
    ]


def test_a_confidence_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    session = Session(tmp_path / NAME)
    session.frame(0, 1)
    elements = [pb.UiElement(element_id=str(value), confidence=value) for value in (float("nan"), float("inf"), -1.0)]
    session.detections = [pb.DetectionFrame(frame_index=0, qpc_ticks=ticks(1), elements=elements)]
    session.frames[0].dpi.CopyFrom(pb.DpiInfo(scale_x=float("nan"), scale_y=1.5, dpi_x=144))
    ingest_one(tmp_path / "root", session.write().path)
    seen = record(tmp_path / "root", "derived.chronicle.detections", 0)
    assert [set(element) for element in seen["elements"]] == [{"element_id", "type", "rect"}] * 3
    dpi = record(tmp_path / "root", "evidence.capture.frame", 0)["dpi"]
    assert dpi == {"dpi_x": 144, "dpi_y": 0, "monitor_id": "", "scale_y_10000": 15000}


def test_a_session_runs_through_all_stages(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME)
    session.events.append(mouse(62.5, 1, 1))
    ingest_one(tmp_path / "root", session.write().path)
    root = DataRoot(tmp_path / "root")
    model = Reader(root)
    report = process(root, model)
    assert model.asked == [f"{RUN}/evidence.capture.frame/{index:09d}" for index in range(3)]
    assert report.samples["find_text_lines"] == {"done": 3}
    assert report.parked == 0
    frames = fact_rows(root, "frames")
    assert [(row["ts_utc"].isoformat(), row["app"], row["window_title"]) for row in frames] == [
        ("2026-03-01T10:00:00.500000+00:00", "editor", "notes – Editor"),
        ("2026-03-01T10:00:02.250000+00:00", "editor", "notes – Editor"),
        ("2026-03-01T10:01:01+00:00", "mail", "mail"),
    ]
    assert len(fact_rows(root, "windows")) == 2
    assert {row["text"] for row in fact_rows(root, "line_tracks")} == {"always the same"}


class Reader(InProcessModel):
    """Reads one line off every picture, whatever is on it."""

    def _reply(self, frame: Any) -> Any:
        return read_text("always the same")


def test_a_session_ingested_twice_is_known_and_marked_again(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    ingest_one(tmp_path / "root", session.path)
    marker, before = session.marker.read_bytes(), kept(tmp_path / "root")
    session.marker.unlink()
    result = ingest_one(tmp_path / "root", session.path)
    assert (result.state, result.inserted, result.identical, int(result.exit_code)) == (State.already, 0, 8, 2)
    assert session.marker.read_bytes() == marker
    assert kept(tmp_path / "root") == before
    assert len(journal(tmp_path / "root")) == 1


def test_another_recording_under_the_same_session_id_is_a_conflict(tmp_path: Path) -> None:
    ingest_one(tmp_path / "root", whole_session(tmp_path / "a" / NAME).write().path)
    before = kept(tmp_path / "root")
    other = whole_session(tmp_path / "b" / NAME)
    other.frames[0].sha256 = hashlib.sha256(other.file("frames/frame_000000.png", png(shade=200)).read_bytes()).digest()
    result = ingest_one(tmp_path / "root", other.write().path)
    assert (result.state, int(result.exit_code)) == (State.rejected, 4)
    assert "rows whose id is kept with another payload: 1" in result.error
    assert kept(tmp_path / "root") == before
    assert not other.marker.exists()


def test_not_strict_a_conflict_is_quarantined_and_not_marked(tmp_path: Path) -> None:
    ingest_one(tmp_path / "root", whole_session(tmp_path / "a" / NAME).write().path)
    other = whole_session(tmp_path / "b" / NAME)
    other.frame(3, 61.5)
    other.frames[1].qpc_ticks += 1
    result = ingest_one(tmp_path / "root", other.write().path, strict=False)
    assert (result.state, result.inserted, result.quarantined, result.identical) == (State.partial, 1, 1, 7)
    assert not other.marker.exists()
    assert blob(tmp_path / "root", 3).exists()


def test_not_strict_frames_without_their_picture_are_kept_incomplete_and_mended_later(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    picture = session.path / "frames/frame_000001.png"
    content = picture.read_bytes()
    picture.unlink()
    assert ingest_one(tmp_path / "root", session.path).state is State.rejected
    result = ingest_one(tmp_path / "root", session.path, strict=False)
    assert (result.state, result.inserted, result.frames, result.frames_complete) == (State.partial, 8, 3, 2)
    assert not session.marker.exists()
    picture.write_bytes(content)
    result = ingest_one(tmp_path / "root", session.path)
    assert (result.state, result.identical, result.frames_complete) == (State.ingested, 8, 3)
    assert blob(tmp_path / "root", 1).read_bytes() == content


def test_not_strict_a_picture_that_contradicts_its_metadata_is_kept_beside(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME)
    session.frames[1].width = 5
    result = ingest_one(tmp_path / "root", session.write().path, strict=False)
    assert (result.state, result.frames, result.frames_complete) == (State.partial, 3, 2)
    assert not blob(tmp_path / "root", 1).exists()
    assert (tmp_path / "root/handoffs" / result.handoff_id / "frames/frame_000001.png").read_bytes() == png(shade=1)


def test_without_hashes_and_paths_the_pictures_are_found_by_their_number(tmp_path: Path) -> None:
    session = Session(tmp_path / NAME)
    session.frame(7, 1, sha256=b"", artifact_path="")
    session.frame(8, 2, artifact_path="frames\\frame_000008.png")
    result = ingest_one(tmp_path / "root", session.write().path)
    assert (result.state, result.frames_complete, result.warnings) == (State.ingested, 2, [])
    frame = record(tmp_path / "root", "evidence.capture.frame", 7)
    assert frame["content_hash"] == hashlib.sha256(png(shade=7)).hexdigest()


def test_two_frames_may_share_a_picture(tmp_path: Path) -> None:
    session = Session(tmp_path / NAME)
    session.frame(0, 1)
    session.frames.append(pb.FrameMeta(frame_index=1, qpc_ticks=ticks(2), width=4, height=3,
                                       artifact_path="frames/frame_000000.png"))  # fmt: skip
    assert ingest_one(tmp_path / "root", session.write().path).frames_complete == 2
    assert blob(tmp_path / "root", 0).read_bytes() == blob(tmp_path / "root", 1).read_bytes() == png(shade=0)


def test_pictures_that_no_frame_names_are_kept_beside_with_a_warning(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME)
    session.file("frames/stray.png", png())
    result = ingest_one(tmp_path / "root", session.write().path)
    assert result.warnings == ["1 files in frames/ that no frame names: kept beside"]
    assert (tmp_path / "root/handoffs" / result.handoff_id / "frames/stray.png").exists()


def test_what_the_recorder_seals_with_hashes_is_compared(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME)
    session.write(seal=False)
    files = {name: hashlib.sha256(data).hexdigest() for name, data in tree(session.path).items()}
    session.complete = {
        "session_id": SESSION,
        "counts": {"frames": 3, "input_events": 7, "detections": 1},
        "files": {name.replace("/", "\\"): digest for name, digest in files.items()},
        "anything": {"else": 1.5},
    }
    assert ingest_one(tmp_path / "root", session.write().path).state is State.ingested


def test_manifests_of_either_spelling_and_unknown_fields_are_read(tmp_path: Path) -> None:
    session = Session(tmp_path / NAME)
    session.frame(0, 3.5)
    session.manifest = {
        "schemaVersion": "chronicle/v0",
        "sessionId": SESSION,
        "qpcFrequencyHz": "10000000",
        "clockAnchors": [
            {"qpcTicks": str(ticks(0)), "unixNs": str(START_NS)},
            {"qpcTicks": str(ticks(10)), "unixNs": str(START_NS + 10_000_100_000)},
        ],
        "future": {"field": [None, 1.5]},
    }
    session.write()
    session.file("manifest.json", b"\xef\xbb\xbf" + json.dumps(session.manifest).encode())
    assert ingest_one(tmp_path / "root", session.path).state is State.ingested
    assert record(tmp_path / "root", "evidence.capture.frame", 0)["ts_utc"] == "2026-03-01T10:00:03.500035Z"


def test_what_later_recorders_add_is_passed_over_and_kept(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    later = b"\x7a\x03new" + b"\x80\x01\x07"
    item = session.frames[0].SerializeToString() + b"\xfa\x3e\x02hi"
    batch = later + b"\x0a" + bytes([len(item) & 0x7F | 0x80, len(item) >> 7]) + item
    path = session.stream("frames", batch)
    result = ingest_one(tmp_path / "root", session.path)
    assert (result.frames, result.frames_complete) == (1, 1)
    assert (tmp_path / "root/handoffs" / result.handoff_id / "meta/frames.pb.zst").read_bytes() == path.read_bytes()


def test_odd_but_harmless_things_are_warned_of(tmp_path: Path) -> None:
    session = whole_session(tmp_path / "session_renamed")
    del session.manifest["schema_version"]
    session.frames[0].unix_ns = START_NS + 7_000_000_000
    session.detections[0].frame_index = 9
    session.write()
    (session.path / "meta/input.pb.zst").unlink()
    result = ingest_one(tmp_path / "root", session.path)
    assert result.state is State.ingested
    assert result.warnings == [
        "manifest.json has no schema_version: taken as chronicle/v0",
        f"its directory is not named session_{SESSION}, as its manifest says",
        "1 frames whose unix_ns is more than a second from the time of their ticks",
        "no meta/input.pb.zst in it",
        "1 detections of frames that it does not have",
    ]


def test_the_command_takes_a_session(tmp_path: Path, run_cli: RunCli) -> None:
    session = whole_session(tmp_path / "spool" / NAME).write()
    Session(tmp_path / "spool/session_b").write(seal=False)
    done = run_cli("--data-root", tmp_path / "root", "ingest", tmp_path / "spool")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{NAME}: ingested: 8 rows (8 new, 0 known), 3 frames (3 complete), files: 8 linked, 0 copied"
    assert lines[1] == "session_b: passed over: no metadata.db (or, in a chronicle session, COMPLETE.json) in it"
    assert session.marker.exists()


def test_a_session_loads_no_model_and_no_table_library(tmp_path: Path) -> None:
    session = whole_session(tmp_path / NAME).write()
    program = (
        "import sys; from pipeline.cli.main import run\n"
        "code = run(['--data-root', sys.argv[1], 'ingest', sys.argv[2]])\n"
        "print(code, [name for name in sys.argv[3:] if name in sys.modules])"
    )
    heavy = [
        "onnxruntime",
        "rapidocr",
        "cv2",
        "PIL",
        "torch",
        "ray",
        "lancedb",
        "pyarrow",
        "numpy",
        "duckdb",
        "aiohttp",
    ]
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(session.path), *heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_handoff_dir_needs_neither_protobuf_nor_zstd(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    program = (
        "import sys; from pipeline.cli.main import run\n"
        "code = run(['--data-root', sys.argv[1], 'ingest', sys.argv[2], '--set', 'settle_s=0'])\n"
        "print(code, [name for name in sys.modules if name.startswith(('google.protobuf', 'backports'))])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(handoff.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("name", ["manifest.json", "meta"])
def test_a_database_beside_it_makes_it_a_handoff_dir(tmp_path: Path, name: str) -> None:
    handoff = whole_handoff(tmp_path / NAME)
    handoff.file("COMPLETE.json", b"{}")
    handoff.file(name if name != "meta" else "meta/frames.pb.zst", b"{}")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, result.rows) == (State.ingested, 4)
