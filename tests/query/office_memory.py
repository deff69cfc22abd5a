"""A second recording with other programs, sites, dialogs, identifiers and wording than the bundled desk.

Two weeks at an office desk, asked about on the last evening (`NOW`). From the literal screens (`office_screens`) come,
without any product code but the rules of hashes and paths: a window record when handle, title or place changes, a frame
0.6 s later, the input before it, UIA snapshots for browsers (address bar) and dialogs, and the lines with boxes that a
reader would give (`LINES`). Sunday 26 October was not recorded; a change on 24 October goes on over midnight.

What is true of it is counted in `office_truth` from the same screens; `office_questions` asks about it.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from office_screens import DAYS, FRAMES, HEIGHT, MIDDLE, SCREENS, WIDTH, Box, Line, Screen, row_of

from pipeline.dataroot import blob_key
from schemas.canonical import payload_hash, sha256_hex

NOW = datetime(2025, 10, 31, 18, 45, tzinfo=UTC)
LINES: dict[str, list[Line]] = {screen.frame_id: screen.lines for screen in FRAMES}
"""What a reader reads on each frame, by frame id: the replies of the model that a test puts in its place."""


def stamp(at: datetime) -> str:
    """A moment as records have it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def picture(number: int) -> bytes:
    """A PNG of one colour that no other number has."""
    colour = bytes((40 + number % 180, 60 + number // 180 * 7, 120))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 1, 3, 0, 0, 0)
    rows = zlib.compress(bytes(1 + WIDTH // 8) * HEIGHT, 9)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", colour + colour)
    return start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def node(name: str, role: str, rect: Box, **more: str) -> dict[str, Any]:
    """A node of a UIA snapshot."""
    identity = sha256_hex(f"{role} {name} {rect}".encode())[:12]
    shape = {"eid": identity, "role": role, "name": name, "rect": list(rect), "enabled": True, "offscreen": False}
    return {"aid": "", "class": "", **shape, **more}


def accessible(screen: Screen) -> dict[str, list[dict[str, Any]]]:
    """What the accessibility tree tells of a browser window or a dialog."""
    if screen.window.dialog:
        texts = [cell for cells in screen.own[:-1] for cell in row_of(cells, MIDDLE[0] + 20, MIDDLE[1] + 40)]
        return {
            "focus_path": [node(screen.title, "Window", screen.rect, **{"class": "#32770"})],
            "context_peers": [node(line.text, "Text", line.bbox) for line in texts],
            "operables": [node(x.text, "Button", x.bbox) for x in row_of(screen.own[-1], 800, 520)],
        }
    firefox = screen.window.program == "Firefox"
    name = "Search with Findling or enter address" if firefox else "Address and search bar"
    more = {"aid": "urlbar-input", "class": ""} if firefox else {"aid": "view_1020", "class": "OmniboxViewViews"}
    return {
        "focus_path": [node("", "Document", (0, 90, screen.rect[2], 860))],
        "context_peers": [node(line.text, "Text", line.bbox) for line in row_of(screen.own[0], 20, 118)],
        "operables": [
            node(screen.page, "TabItem", (8, 4, 260, 36)),
            node(name, "Edit", (110, 40, screen.rect[2] - 90, 74), value=screen.address, **more),
        ],
    }


def typed(screen: Screen, before: Screen | None) -> list[dict[str, Any]]:
    """The input that led to a screen: an address that was typed, a click on another window, or a wheel turn."""
    start = screen.at - timedelta(seconds=6)
    if before is None or before.key != screen.key:
        return [{"kind": "click", "button": "left", "t_utc": stamp(start), "x": 300, "y": 876}]
    if screen.address == before.address:
        return [{"kind": "scroll", "delta": -120, "t_utc": stamp(start), "x": 300, "y": 400}]
    keys = [*screen.address[:60], "Return"]
    moments = [stamp(start + timedelta(milliseconds=50 * n)) for n in range(len(keys))]
    return [{"kind": "key", "key": key, "t_utc": t, "x": 300, "y": 400} for key, t in zip(keys, moments, strict=True)]


class HandoffDay:
    """One handoff dir under construction."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path, self.run_id = path, run_id
        self.rows: list[tuple[str, str, str, str, str]] = []
        self.counts: dict[str, int] = {}
        self.shown: tuple[int, str, Box] | None = None
        self.window_ref: dict[str, Any] = {}
        path.mkdir(parents=True)

    def put(self, record_type: str, at: datetime, **fields: Any) -> str:
        """Add a record; returns its id."""
        number = self.counts.get(record_type, 0)
        self.counts[record_type] = number + 1
        record_id = f"{self.run_id}/{record_type}/{number}"
        record = {"schema_version": 1, "record_type": record_type, "run_id": self.run_id, "ts_utc": stamp(at), **fields}
        record["payload_hash"] = payload_hash(record)
        text = json.dumps(record, ensure_ascii=False, sort_keys=True)
        self.rows.append((record_id, text, record_type, stamp(at), self.run_id))
        return record_id

    def add(self, screen: Screen, before: Screen | None, number: int) -> None:
        """Add all records of a moment."""
        events = typed(screen, before)
        times = (events[0]["t_utc"], events[-1]["t_utc"])
        input_id = self.put(
            "derived.input.summary",
            datetime.fromisoformat(times[1]),
            start_ts_utc=times[0],
            end_ts_utc=times[1],
            event_id=sha256_hex(f"{self.run_id} {screen.at}".encode())[:16],
            event_count=len(events),
            events=events,
        )
        self._window(screen)
        if screen.frame_id:
            self._frame(screen, number, {"record_id": input_id, "idle_seconds": 2, "event_count": len(events)})

    def _window(self, screen: Screen) -> None:
        shown = (screen.window.hwnd, screen.title, screen.rect)
        if shown == self.shown:
            return
        self.shown = shown
        place = {"pid": screen.window.pid, "process_path": screen.window.process_path, "rect": list(screen.rect)}
        window = {"title": screen.title, "hwnd": screen.window.hwnd, **place}
        more = {"text": screen.title, "content_hash": sha256_hex(screen.title.encode())}
        monitored = {**window, "monitor": "\\\\.\\DISPLAY1"}
        record_id = self.put("evidence.window.meta", screen.at, window=monitored, **more)
        self.window_ref = {"record_id": record_id, "ts_utc": stamp(screen.at), "window": window}

    def _frame(self, screen: Screen, number: int, input_ref: dict[str, Any]) -> None:
        content = picture(number)
        key = blob_key(self.run_id, screen.frame_id, "evidence.capture.frame", screen.taken)
        blob = self.path / key
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        stored = {"content_type": "image/png", "encoding": "png", "blob_path": str(key)}
        hashed = {"content_hash": sha256_hex(content), "content_size": len(content)}
        refs: dict[str, Any] = {"window_ref": self.window_ref, "input_ref": input_ref}
        if screen.window.browser or screen.window.dialog:
            refs["uia_ref"] = self._snapshot(screen)
        size = {"width": WIDTH, "height": HEIGHT, "cursor": {"x": 300, "y": 400, "visible": True}}
        record_id = self.put("evidence.capture.frame", screen.taken, **size, **stored, **hashed, **refs)
        assert record_id == screen.frame_id

    def _snapshot(self, screen: Screen) -> dict[str, Any]:
        tree = accessible(screen)
        nodes = sum(len(part) for part in tree.values())
        told = {"hwnd": screen.window.hwnd, "window": {"title": screen.title, "pid": screen.window.pid}, **tree}
        content_hash = payload_hash(told)
        stats = {"walk_ms": 5, "nodes_emitted": nodes, "failures": 0}
        record_id = self.put("evidence.uia.snapshot", screen.taken, content_hash=content_hash, stats=stats, **told)
        return {"record_id": record_id, "content_hash": content_hash}

    def close(self, last: datetime) -> None:
        """Write the database and the activity signal."""
        with closing(sqlite3.connect(self.path / "metadata.db")) as connection, connection:
            connection.execute(
                "CREATE TABLE metadata("
                "id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
            )
            for column in ("record_type", "ts_utc", "run_id"):
                connection.execute(f"CREATE INDEX idx_metadata_{column} ON metadata({column})")
            connection.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", self.rows)
        signal = {"ts_utc": stamp(last), "idle_seconds": 40, "user_active": True, "source": "windows-sidecar", "seq": 1}
        (self.path / "activity").mkdir()
        (self.path / "activity" / "activity_signal.json").write_text(json.dumps(signal), encoding="utf-8")


def build_spool(spool: Path) -> list[Path]:
    """Write one handoff dir for each day; returns them in order."""
    made = []
    for day in DAYS:
        screens = [screen for screen in SCREENS if screen.day == day]
        handoff = HandoffDay(spool / day, screens[0].run_id)
        for before, screen in zip([None, *screens], screens, strict=False):
            handoff.add(screen, before, SCREENS.index(screen))
        handoff.close(screens[-1].taken)
        made.append(handoff.path)
    return made
