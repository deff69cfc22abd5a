"""Small chronicle sessions for tests, as a recorder writes them."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from schemas import chronicle_pb2 as pb

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

SESSION = "5f0c2c9e-0001"
RUN = f"session_{SESSION}"
HZ = 10_000_000
START_TICKS = 1_000_000_000
START_NS = 1_772_359_200_000_000_000  # 2026-03-01T10:00:00Z


def ticks(seconds: float) -> int:
    """The counter, so many seconds after the session's start."""
    return START_TICKS + round(seconds * HZ)


def png(width: int = 4, height: int = 3, shade: int = 0) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes([shade]) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def mouse(second: float, x: int = 0, y: int = 0, **fields: int) -> pb.InputEvent:
    """A mouse event, so many seconds after the session's start."""
    event = pb.InputEvent(session_id=SESSION, qpc_ticks=ticks(second), device_id="m", type=pb.MOUSE)
    event.mouse.CopyFrom(pb.MouseEvent(x=x, y=y, **fields))
    return event


class Session:
    """A session under construction: change what is in it, then `write` it, or `file` what it is not to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {
            "schema_version": "chronicle/v0",
            "session_id": SESSION,
            "qpc_frequency_hz": HZ,
            "start_qpc_ticks": START_TICKS,
            "start_unix_ns": START_NS,
            "desktop_width": 1920,
            "desktop_height": 1080,
            "capture_backend": "wgc",
        }
        self.complete: dict[str, Any] = {}
        self.frames: list[pb.FrameMeta] = []
        self.events: list[pb.InputEvent] = []
        self.detections: list[pb.DetectionFrame] = []
        path.mkdir(parents=True)

    @property
    def marker(self) -> Path:
        return self.path / "reap_eligible.json"

    def frame(self, index: int, second: float, picture: bytes | None = None, **fields: Any) -> pb.FrameMeta:
        """Add a frame and write its picture."""
        picture = png(shade=index) if picture is None else picture
        name = f"frames/frame_{index:06d}.png"
        given: dict[str, Any] = {
            "session_id": SESSION,
            "frame_index": index,
            "qpc_ticks": ticks(second),
            "width": 4,
            "height": 3,
            "artifact_path": name,
            "sha256": hashlib.sha256(picture).digest(),
            **fields,
        }
        meta = pb.FrameMeta(**given)
        self.frames.append(meta)
        self.file(name, picture)
        return meta

    def file(self, relative: str, content: bytes) -> Path:
        path = self.path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def stream(self, name: str, batch: Message | bytes) -> Path:
        """Write a file of `meta/` from a batch, or from bytes that are to stand for one."""
        raw = batch if isinstance(batch, bytes) else batch.SerializeToString()
        return self.file(f"meta/{name}.pb.zst", zstd.compress(raw))

    def write(self, *, seal: bool = True) -> Session:
        """Write manifest and streams, and the seal last."""
        self.file("manifest.json", json.dumps(self.manifest).encode())
        self.stream("frames", pb.FrameMetaBatch(items=self.frames))
        self.stream("input", pb.InputEventBatch(items=self.events))
        self.stream("detections", pb.DetectionBatch(items=self.detections))
        if seal:
            self.file("COMPLETE.json", json.dumps(self.complete).encode())
        return self


def whole_session(path: Path) -> Session:
    """Three frames in two windows, a click, a scroll and moves in two minutes, and one detection; not written yet."""
    session = Session(path)
    editor = pb.ActiveWindow(title="notes – Editor", process_path="C:\\Editor\\editor.exe", pid=7, hwnd=70,
                             rect=pb.RectI32(x=-10, y=0, w=810, h=600), monitor="1")  # fmt: skip
    session.frame(0, 0.5, active_window=editor, desktop_rect=pb.RectI32(x=-1920, y=0, w=4, h=3))
    session.frame(1, 2.25, active_window=editor, dirty_rects=[pb.RectI32(x=1, y=1, w=2, h=2)])
    session.frame(2, 61, active_window=pb.ActiveWindow(title="mail", process_path="C:\\mail.exe"))
    session.events = [
        mouse(0.61, 10, 10),
        mouse(0.62, 11, 10),
        mouse(0.69, 12, 10),
        mouse(1.0, 12, 10, buttons=1),
        mouse(1.1, 12, 10, buttons=1),
        mouse(1.2, 12, 10, buttons=0),
        mouse(62.0, 13, 10, wheel_delta=-120),
    ]
    element = pb.UiElement(element_id="e1", type=pb.BUTTON, bbox=pb.RectI32(x=1, y=2, w=3, h=4), confidence=0.75,
                           label="button", text="Send")  # fmt: skip
    session.detections = [
        pb.DetectionFrame(session_id=SESSION, frame_index=1, qpc_ticks=ticks(2.25), elements=[element])
    ]
    return session
