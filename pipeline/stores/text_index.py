"""The text index: one immutable SQLite file that holds all that `query` reads.

Written by `pipeline.indexing`, replaced by rename, opened here so that a write fails. Times are microseconds since 1970
UTC, boxes pixels of the frame. Texts are kept once: line tracks, window titles and addresses point at them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipeline.stores.index_rows import (
    FRAME,
    RECORD,
    TRACK,
    VISIT,
    WINDOW,
    Coverage,
    FrameRow,
    RecordRow,
    TrackRow,
    VisitRow,
    WindowRow,
)
from pipeline.stores.indexed_texts import DAY_US, IndexedTexts

Row = TypeVar("Row")


def line_proof(record_id: str, line: int, box: Sequence[int], text: str) -> bytes:
    """What ties an indexed line to its record: 16 bytes of sha256 over record, line, box and text."""
    return hashlib.sha256(json.dumps([record_id, line, *box, text]).encode()).digest()[:16]


def track_key(track_id: str) -> bytes:
    """The part of a track's id that tells it from others, in 16 bytes; empty when it is no track's id."""
    run_id, kind, digest = ["", "", *track_id.rsplit("/", 2)][-3:]
    try:
        return bytes.fromhex(digest) if run_id and kind == "derived.line.track" else b""
    except ValueError:
        return b""


class TextIndex(IndexedTexts):
    """Reads the published index: beside its texts what shows them, frames, windows, visits, tracks and records."""

    def __init__(self, path: Path) -> None:
        """Open the index. Raises NotAvailableYet when there is none, or one of another version."""
        super().__init__(path)
        self._frames: dict[int, FrameRow] = {}
        self._records: dict[int, RecordRow] = {}

    def frame(self, number: int) -> FrameRow:
        """A frame by its number in the index."""
        if number not in self._frames:  # many lines of one frame are looked at: none of them changes
            self._frames[number] = FrameRow._make(next(self._all(FRAME + "WHERE f.id = ?", (number,))))
        return self._frames[number]

    def frame_named(self, frame_id: str) -> FrameRow | None:
        """A frame by its evidence id."""
        return self._one(FrameRow._make, FRAME + "WHERE f.frame_id = ?", (frame_id,))

    def frames_between(self, start: int, end: int) -> Iterator[FrameRow]:
        """Frames of [start, end), in order of time."""
        rows = self._all(FRAME + "WHERE f.ts >= ? AND f.ts < ? ORDER BY f.ts, f.id", (start, end))
        return map(FrameRow._make, rows)

    def frames_titled(self, text_id: int, start: int, end: int) -> tuple[FrameRow, FrameRow] | None:
        """The first and the last frame of [start, end) whose active window has this title."""
        return self._ends(FrameRow._make, FRAME, "f.title = ?", "f.ts, f.id", text_id, start, end, "f.ts", "f.ts")

    def titles_between(self, start: int, end: int) -> list[tuple[int, str]]:
        """Titles of active windows that frames of [start, end) show, by their number, in the order of appearance."""
        query = (
            "SELECT f.title, x.text FROM frames f JOIN texts x ON x.id = f.title"
            " WHERE f.ts >= ? AND f.ts < ? GROUP BY f.title ORDER BY min(f.ts), f.title"
        )
        return list(self._all(query, (start, end)))

    def frames_of_windows(self, start: int, end: int) -> dict[str, FrameRow]:
        """The first frame that shows each window of the changes in [start, end), by the window's record."""
        first = "SELECT min(g.id) FROM windows w JOIN frames g ON g.window_record = w.record_id"
        rows = self._all(f"{FRAME}WHERE f.id IN ({first} WHERE w.ts >= ? AND w.ts < ? GROUP BY w.id)", (start, end))
        return {row[8]: FrameRow._make(row) for row in rows}

    def frame_of_window(self, window: WindowRow) -> FrameRow | None:
        """A frame that shows a window as it became active; else the next of its run, else the one before."""
        shown = self._one(FrameRow._make, FRAME + "WHERE f.window_record = ? ORDER BY f.ts, f.id LIMIT 1",
                          (window.record_id,))  # fmt: skip
        if shown is not None:
            return shown
        after = self._one(FrameRow._make, FRAME + "WHERE f.ts >= ? AND f.run_id = ? ORDER BY f.ts, f.id LIMIT 1",
                          (window.ts, window.run_id))  # fmt: skip
        before = FRAME + "WHERE f.ts < ? AND f.run_id = ? ORDER BY f.ts DESC, f.id LIMIT 1"
        return after or self._one(FrameRow._make, before, (window.ts, window.run_id))

    def small_window_frames(self, start: int, end: int, percent: int) -> Iterator[FrameRow]:
        """Frames of [start, end) whose active window covers at most so much of the screen."""
        query = FRAME + "WHERE f.ts >= ? AND f.ts < ? AND (f.r - f.l) * (f.b - f.t) * 100 <= f.width * f.height * ?"
        return map(FrameRow._make, self._all(query + " ORDER BY f.ts, f.id", (start, end, percent)))

    def day_ends(self, start: int, end: int) -> list[tuple[FrameRow, FrameRow]]:
        """The first and the last frame of every (run, day) that reaches into [start, end)."""
        days = self._all("SELECT first_frame, last_frame FROM days WHERE first_ts < ? AND last_ts >= ?"
                         " ORDER BY first_ts, run_id", (end, start))  # fmt: skip
        return [(self.frame(first), self.frame(last)) for first, last in list(days)]

    def windows_between(self, start: int, end: int) -> list[WindowRow]:
        """Window changes of [start, end), in order of time."""
        query = WINDOW + "WHERE w.ts >= ? AND w.ts < ? ORDER BY w.ts, w.id"
        return [WindowRow._make(row) for row in self._all(query, (start, end))]

    def visits_between(self, start: int, end: int) -> list[VisitRow]:
        """Page visits that began in [start, end), in order of time."""
        query = VISIT + "WHERE v.first_ts >= ? AND v.first_ts < ? ORDER BY v.first_ts, v.id"
        return [VisitRow._make(row) for row in self._all(query, (start, end))]

    def visits_over(self, start: int, end: int) -> list[VisitRow]:
        """Page visits that any frame of [start, end) shows, in order of time. They end at midnight UTC, like tracks."""
        query = VISIT + "WHERE v.first_ts >= ? AND v.last_ts >= ? AND v.first_ts < ? ORDER BY v.first_ts, v.id"
        return [VisitRow._make(row) for row in self._all(query, (start - start % DAY_US, start, end))]

    def visits_with_url(self, text_id: int, start: int, end: int) -> tuple[VisitRow, VisitRow] | None:
        """The first and the last visit of [start, end) to an address."""
        return self._ends(VisitRow._make, VISIT, "v.url = ?", "v.first_ts, v.id", text_id, start, end,
                          "v.last_ts", "v.first_ts")  # fmt: skip

    def visit_named(self, visit_id: str) -> VisitRow | None:
        """A visit by its id."""
        return self._one(VisitRow._make, VISIT + "WHERE v.visit_id = ?", (visit_id,))

    def window_named(self, record_id: str) -> WindowRow | None:
        """A window change by its evidence id."""
        return self._one(WindowRow._make, WINDOW + "WHERE w.record_id = ?", (record_id,))

    def track_ends(self, text_id: int, start: int, end: int) -> tuple[TrackRow, TrackRow] | None:
        """Of the tracks with a text that [start, end) sees: the one that begins first, the one that ends last."""
        where = "WHERE k.text = ? AND k.last_ts >= ? AND k.first_ts < ? "
        given = (text_id, start, end)
        first = self._one(TrackRow._make, TRACK + where + "ORDER BY k.first_ts, k.id LIMIT 1", given)
        last = self._one(TrackRow._make, TRACK + where + "ORDER BY k.last_ts DESC, k.id LIMIT 1", given)
        return (first, last) if first and last else None

    def tracks_with(self, text_id: int, start: int, end: int, limit: int) -> list[TrackRow]:
        """Tracks with a text that are seen in [start, end), the latest first."""
        query = TRACK + (
            "WHERE k.text = ? AND k.last_ts >= ? AND k.first_ts < ? ORDER BY k.first_ts DESC, k.id LIMIT ?"
        )
        return [TrackRow._make(row) for row in self._all(query, (text_id, start, end, limit))]

    def tracks_numbered(self, numbers: Iterable[int]) -> list[TrackRow]:
        """Tracks by their numbers in the index, in that order; unknown ones are missing."""
        query = TRACK + "JOIN json_each(?) j ON k.id = j.value ORDER BY j.key"
        return [TrackRow._make(row) for row in self._all(query, (json.dumps(list(numbers)),))]

    def tracks_on(self, frame: FrameRow) -> list[TrackRow]:
        """Tracks that begin in, end in or last over a frame. They end at midnight UTC: only its day is looked at."""
        day = frame.ts - frame.ts % DAY_US
        query = TRACK + (
            "JOIN records q ON q.id = k.first_record JOIN frames g ON g.id = q.frame"
            " WHERE k.first_ts BETWEEN ? AND ? AND k.last_ts >= ? AND g.run_id = ?"
        )
        return [TrackRow._make(row) for row in self._all(query, (day, frame.ts, frame.ts, frame.run_id))]

    def track_keyed(self, key: bytes) -> TrackRow | None:
        """A track by the key of its id, see `track_key`."""
        return self._one(TrackRow._make, TRACK + "WHERE k.key = ?", (key,))

    def record(self, number: int) -> RecordRow:
        """A text record by its number in the index."""
        if number not in self._records:
            self._records[number] = RecordRow._make(next(self._all(RECORD + "WHERE r.id = ?", (number,))))
        return self._records[number]

    def record_named(self, record_id: str) -> RecordRow | None:
        """A text record by its id; only those that a track begins or ends in are known here."""
        return self._one(RecordRow._make, RECORD + "WHERE r.record_id = ?", (record_id,))

    def hosts(self) -> list[str]:
        """Every host that was visited."""
        return [row[0] for row in self._all("SELECT host FROM hosts ORDER BY 1")]

    def programs(self) -> list[tuple[str, str]]:
        """Every program that was active, and its file."""
        return list(self._all("SELECT app, path FROM programs ORDER BY 1, 2"))

    def captured_span(self) -> tuple[int, int] | None:
        """When the first and the last frame were captured."""
        first, last = next(self._all("SELECT min(first_ts), max(last_ts) FROM days"))
        return None if first is None else (first, last)

    def coverage(self, start: int, end: int) -> Coverage:
        """Count the frames of [start, end) by what became of them."""
        given = (start, end)
        undone = "SELECT status, count(*) FROM frames WHERE status <> 'done' AND ts >= ? AND ts < ? GROUP BY 1"
        counts = dict(self._all(undone, given))
        listed = next(self._all("SELECT count(*) FROM frames WHERE ts >= ? AND ts < ?", given))[0]
        unlisted = next(self._all("SELECT count(*) FROM unlisted WHERE ts >= ? AND ts < ?", given))[0]
        done = next(self._all("SELECT ts FROM frames WHERE status = 'done' ORDER BY ts DESC LIMIT 1"), None)
        return Coverage(
            listed + unlisted, listed - sum(counts.values()),
            counts.get("failed", 0) + counts.get("parked", 0) + unlisted, unlisted, done and done[0],
        )  # fmt: skip

    def coverage_of_all(self) -> Coverage:
        """Count all frames by what became of them, whatever their number: they were added in a row, from 1 on."""
        undone = dict(self._all("SELECT status, count(*) FROM frames WHERE status <> 'done' GROUP BY 1"))
        listed = next(self._all("SELECT coalesce(max(id), 0) FROM frames"))[0]
        unlisted = next(self._all("SELECT count(*) FROM unlisted"))[0]
        done = next(self._all("SELECT ts FROM frames WHERE status = 'done' ORDER BY ts DESC LIMIT 1"), None)
        return Coverage(
            listed + unlisted, listed - sum(undone.values()),
            undone.get("failed", 0) + undone.get("parked", 0) + unlisted, unlisted, done and done[0],
        )  # fmt: skip

    def _one(self, make: Callable[[Any], Row], query: str, parameters: Sequence[Any]) -> Row | None:
        row = next(self._all(query, parameters), None)
        return None if row is None else make(row)

    def _ends(
        self, make: Callable[[Any], Row], select: str, where: str, order: str, text_id: int, start: int, end: int,
        not_before: str, before: str,
    ) -> tuple[Row, Row] | None:  # fmt: skip
        clause = f"WHERE {where} AND {not_before} >= ? AND {before} < ? "
        down = ", ".join(f"{item} DESC" for item in order.split(", "))
        given = (text_id, start, end)
        first = self._one(make, f"{select}{clause}ORDER BY {order} LIMIT 1", given)
        last = self._one(make, f"{select}{clause}ORDER BY {down} LIMIT 1", given)
        return (first, last) if first and last else None
