"""Builds the text index from the fact files: day by day, deterministic, published by rename."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from pipeline.dataroot import DataRoot
from pipeline.indexing.spans import (
    EMBEDDINGS,
    Embedded,
    current_embeddings,
    heading_and_tracks,
    read_embeddings,
    read_spans,
)
from pipeline.stores.atomic import make_directories, remove_leftovers, replace_file
from pipeline.stores.facts import read_batches, read_file
from pipeline.stores.index_schema import INDEXES, SCHEMA, SCHEMA_VERSION
from pipeline.stores.indexed_spans import pack_tracks
from pipeline.stores.text_index import line_proof, track_key
from pipeline.stores.text_tokens import tokens_of
from schemas.fields import utc_microseconds

TABLES = ("frames", "line_tracks", "records", "spans", "stage_outcomes", "url_visits", "windows")
_RECORD_COLUMNS = ["record_id", "sample_id", "model_id", "model_digest", "output_json"]
_BATCH = 256
_TEXTS_AT_ONCE = 10_000
_CACHE_KIB = 131_072

Day = tuple[str, str]
KeepGoing = Callable[[], None]


@dataclass(frozen=True)
class Built:
    """What an index was built from and how much it holds."""

    source_digest: str
    texts: int
    tracks: int


def build_text_index(root: DataRoot, evidence_rowid: int, keep_going: KeepGoing) -> Built:
    """Build the index from all facts and publish it; only one may do so at a time (the holder of the run lock).

    `evidence_rowid` is how far the evidence had been looked at; `keep_going` is asked now and then and may raise, which
    leaves the index that is there. Raises ContractInvalid for a damaged fact file.
    """
    make_directories(root.index)
    remove_leftovers(root.index)
    result: list[Built] = []
    replace_file(root.text_index, lambda temporary: result.append(_write(root, temporary, evidence_rowid, keep_going)))
    return result[0]


def fact_files(root: DataRoot) -> dict[Day, dict[str, list[Path]]]:
    """All fact files that the index is made of, by (run, day) and table, in the order of their paths."""
    found: dict[Day, dict[str, list[Path]]] = {}
    for table in TABLES:
        for path in sorted((root.facts / table).glob("run_id=*/day=*/hour=*/part-*.parquet")):
            day = (path.parts[-4], path.parts[-3].removeprefix("day="))
            found.setdefault(day, {}).setdefault(table, []).append(path)
    return dict(sorted(found.items()))


def facts_state(root: DataRoot) -> str:
    """A digest of the names, sizes and times of the fact files: it changes when any is replaced."""
    state = hashlib.sha256(f"{SCHEMA_VERSION}\n".encode())
    for tables in fact_files(root).values():
        for path in (item for table in TABLES for item in tables.get(table, ())):
            status = path.stat()
            state.update(f"{path.relative_to(root.facts)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return state.hexdigest()


def _write(root: DataRoot, path: Path, evidence_rowid: int, keep_going: KeepGoing) -> Built:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "page_size = 8192",
                        f"cache_size = -{_CACHE_KIB}", "temp_store = FILE"):  # fmt: skip
            connection.execute(f"PRAGMA {setting}")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        writer = _Writer(root, connection)
        for day, tables in fact_files(root).items():
            keep_going()
            writer.day(day, tables)
        _index_words(connection, keep_going)
        built = writer.finish(evidence_rowid)
        connection.execute("COMMIT")
        connection.executescript(INDEXES)
        connection.execute("ANALYZE")
    finally:
        connection.close()
    return built


def _index_words(connection: sqlite3.Connection, keep_going: KeepGoing) -> None:
    texts = connection.execute("SELECT id, text FROM texts ORDER BY id")
    insert = "INSERT INTO words(rowid, tokens) VALUES (?, ?)"
    while batch := list(islice(texts, _TEXTS_AT_ONCE)):
        keep_going()
        connection.executemany(insert, [(number, " ".join(tokens_of(text))) for number, text in batch])
    connection.execute("INSERT INTO words(words) VALUES ('optimize')")


@dataclass
class _Writer:
    root: DataRoot
    connection: sqlite3.Connection
    sources: list[str] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    tracks: int = 0
    day_tracks: dict[str, tuple[int, str]] = field(default_factory=dict)
    embeddings: dict[str, str] = field(default_factory=dict)

    def day(self, day: Day, tables: dict[str, list[Path]]) -> None:
        """Add one (run, day): frames first, since all else points at them."""
        self.frames.clear()
        self.texts.clear()
        status = self._outcomes(tables.get("stage_outcomes", ()))
        self._frames(day, tables.get("frames", ()), status)
        self._windows(tables.get("windows", ()))
        self._visits(tables.get("url_visits", ()))
        records = tables.get("records", [])
        self._lines(tables.get("line_tracks", ()), [path for path in records if path.name != EMBEDDINGS])
        self._spans(tables.get("spans", ()), [path for path in records if path.name == EMBEDDINGS])

    def finish(self, evidence_rowid: int) -> Built:
        """Write what the index was built from, and the short lists that every question needs."""
        for statement in (
            "INSERT INTO hosts SELECT DISTINCT host FROM visits",
            "INSERT OR IGNORE INTO programs SELECT DISTINCT app, coalesce(process_path, '') FROM windows"
            " WHERE app IS NOT NULL",
            "INSERT OR IGNORE INTO programs SELECT DISTINCT app, coalesce(process_path, '') FROM frames"
            " WHERE app IS NOT NULL",
        ):
            self.connection.execute(statement)
        digest = hashlib.sha256("\n".join(self.sources).encode()).hexdigest()
        (texts,) = self.connection.execute("SELECT count(*) FROM texts").fetchone()
        values = {"schema_version": SCHEMA_VERSION, "source_digest": digest, "evidence_rowid": evidence_rowid}
        self._many("INSERT INTO meta VALUES (?, ?)", [(key, str(value)) for key, value in values.items()])
        return Built(digest, texts, self.tracks)

    def _outcomes(self, paths: Iterable[Path]) -> dict[str, str]:
        """What became of reading each frame, by its id; those that could not even be listed are noted apart."""
        status: dict[str, str] = {}
        outcomes = list(self._rows(paths, "stage_outcomes", ["stage", "sample_id", "ts_utc", "status", "output_id"]))
        self.embeddings = current_embeddings(outcomes)
        for row in outcomes:
            if row["stage"] == "find_text_lines":
                status[row["sample_id"]] = row["status"]
            elif row["stage"] == "list_frames" and row["status"] != "done":
                moment = utc_microseconds(row["ts_utc"])
                self._many("INSERT OR IGNORE INTO unlisted VALUES (?, ?)", [(row["sample_id"], moment)])
        return status

    def _frames(self, day: Day, paths: Iterable[Path], status: dict[str, str]) -> None:
        first: tuple[int, int] | None = None
        last: tuple[int, int] | None = None
        run_id = ""
        for row in self._rows(paths, "frames"):
            moment, run_id = utc_microseconds(row["ts_utc"]), row["run_id"]
            title = self._text(row["window_title"])
            number = self._insert("frames", (
                row["frame_id"], run_id, moment, row["width"], row["height"], row["content_hash"], row["blob_path"],
                row["window_record_id"], row["app"], row["process_path"], title, row["window_hwnd"],
                row["window_left"], row["window_top"], row["window_right"], row["window_bottom"],
                row["uia_record_id"], status.get(row["frame_id"], "pending"),
            ))  # fmt: skip
            self.frames[row["frame_id"]] = number
            first = min(first or (moment, number), (moment, number))
            last = max(last or (moment, number), (moment, number))
        if first and last:
            self._many("INSERT INTO days VALUES (?, ?, ?, ?, ?, ?)",
                       [(run_id, day[1], first[1], last[1], first[0], last[0])])  # fmt: skip

    def _windows(self, paths: Iterable[Path]) -> None:
        for row in self._rows(paths, "windows"):
            self._insert("windows", (
                row["window_record_id"], row["run_id"], utc_microseconds(row["ts_utc"]), row["app"],
                row["process_path"], self._text(row["title"]), row["hwnd"],
                row["left"], row["top"], row["right"], row["bottom"],
            ))  # fmt: skip

    def _visits(self, paths: Iterable[Path]) -> None:
        for row in self._rows(paths, "url_visits"):
            if not {row["first_frame_id"], row["last_frame_id"]} <= self.frames.keys():
                continue  # the file of its frames was lost; the next run makes that again, and then this index
            self._insert("visits", (
                row["visit_id"], row["run_id"], utc_microseconds(row["first_seen_utc"]),
                utc_microseconds(row["last_seen_utc"]), self.frames[row["first_frame_id"]],
                self.frames[row["last_frame_id"]], row["app"], row["window_hwnd"], self._text(row["url"]),
                row["host"], row["domain"], row["source"], row["source_record_id"],
                row["left"], row["top"], row["right"], row["bottom"],
            ))  # fmt: skip

    def _lines(self, track_paths: Iterable[Path], record_paths: Iterable[Path]) -> None:
        """Add tracks, each end proven by the very line of its record."""
        tracks = []
        wanted: set[tuple[str, int]] = set()
        for path in track_paths:
            self._source(path)
            tracks += _track_rows(path)
        for track in tracks:
            wanted.add((track.first_record, track.first_line))
            wanted.add((track.last_record, track.last_line))
        numbers, ends = self._records(record_paths, wanted)
        rows: list[tuple[Any, ...]] = []
        self.day_tracks.clear()
        for track in tracks:
            first = ends.get((track.first_record, track.first_line))
            last = ends.get((track.last_record, track.last_line))
            if first is None or last is None:
                continue  # its records were replaced; the next run builds its day, and then this index, again
            self.day_tracks[track.track_id] = (self.tracks + len(rows) + 1, track.text)  # the number it is about to get
            rows.append((
                track_key(track.track_id), self._text(track.text), track.first_ts, track.last_ts, track.frame_count,
                track.in_active, track.score, numbers[track.first_record], track.first_line, *first,
                numbers[track.last_record], track.last_line, *last,
            ))  # fmt: skip
        self.tracks += len(rows)
        self._many(f"INSERT INTO tracks VALUES (NULL{',?' * 21})", rows)  # noqa: S608 only question marks

    def _spans(self, span_paths: Iterable[Path], record_paths: Iterable[Path]) -> None:
        """Add the spans that an embedding of now belongs to."""
        embedded: dict[str, Embedded] = {}
        for path in record_paths:
            embedded |= read_embeddings(path, self._source(path))
        for path in span_paths:
            file = self._source(path)
            for span in read_spans(path):
                record = embedded.get(self.embeddings.get(span["span_id"], ""))
                parts = heading_and_tracks(span, self.day_tracks) if record else None
                if record is None or parts is None:
                    continue
                self._insert("spans", (
                    span["span_id"], span["first_seen_utc"], span["last_seen_utc"], self._text(parts[0]),
                    pack_tracks(parts[1]), span["text_sha256"], file, *record,
                ))  # fmt: skip

    def _records(
        self, paths: Iterable[Path], wanted: set[tuple[str, int]]
    ) -> tuple[dict[str, int], dict[tuple[str, int], tuple[Any, ...]]]:
        """Add the records that tracks begin or end in; gives their numbers, and box and proof of each wanted line."""
        lines: dict[str, list[int]] = {}
        for record_id, ordered in groupby(sorted(wanted), key=lambda item: item[0]):
            lines[record_id] = [line for _, line in ordered]
        numbers: dict[str, int] = {}
        ends: dict[tuple[str, int], tuple[Any, ...]] = {}
        for path in paths:
            file = self._source(path)
            for row in _record_rows(path):
                name = row["record_id"]
                if name not in lines or row["sample_id"] not in self.frames:
                    continue
                model = self._model(row["model_id"], row["model_digest"])
                numbers[name] = self._insert("records", (name, self.frames[row["sample_id"]], file, model))
                output = orjson.loads(row["output_json"])["lines"]
                for line in lines[name]:
                    box, text = output[line]["bbox"], output[line]["text"]
                    ends[name, line] = (*box, line_proof(name, line, box, text))
        return numbers, ends

    def _model(self, model_id: str, digest: str) -> int:
        self._many("INSERT OR IGNORE INTO models(model_id, model_digest) VALUES (?, ?)", [(model_id, digest)])
        query = "SELECT id FROM models WHERE model_id = ? AND model_digest = ?"
        return int(self.connection.execute(query, (model_id, digest)).fetchone()[0])

    def _text(self, text: str | None) -> int | None:
        if text is None:
            return None
        number = self.texts.get(text)
        if number is None:
            added = self.connection.execute("INSERT OR IGNORE INTO texts(text) VALUES (?)", (text,))
            found = None if added.rowcount else self.connection.execute("SELECT id FROM texts WHERE text = ?", (text,))
            number = self.texts[text] = int(found.fetchone()[0] if found else added.lastrowid or 0)
        return number

    def _rows(self, paths: Iterable[Path], table: str, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        for path in paths:
            self._source(path)
            for batch in read_file(path, table, columns).to_batches(max_chunksize=_TEXTS_AT_ONCE):
                yield from batch.to_pylist()

    def _source(self, path: Path) -> int:
        """Note a fact file and its hash; gives its number."""
        name = str(path.relative_to(self.root.path))
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self.sources.append(f"{name} {digest}")
        return self._insert("files", (name, digest))

    def _insert(self, table: str, values: tuple[Any, ...]) -> int:
        marks = ",".join("?" * len(values))
        cursor = self.connection.execute(f"INSERT INTO {table} VALUES (NULL,{marks})", values)  # noqa: S608 our own
        return int(cursor.lastrowid or 0)

    def _many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        self.connection.executemany(statement, rows)


class _Track(NamedTuple):
    track_id: str
    text: str
    first_ts: int
    last_ts: int
    frame_count: int
    in_active: bool | None
    score: int
    first_record: str
    first_line: int
    last_record: str
    last_line: int


_TRACK_COLUMNS = [
    "track_id", "text", "first_seen_utc", "last_seen_utc", "frame_count", "in_active_window", "score",
    "first_record_id", "first_line", "last_record_id", "last_line",
]  # fmt: skip


def _track_rows(path: Path) -> list[_Track]:
    """Rows of a file of tracks, column by column: a day has many."""
    table = read_file(path, "line_tracks", _TRACK_COLUMNS)
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in (table[name] for name in _TRACK_COLUMNS)
    ]
    return [_Track(*values) for values in zip(*(column.to_pylist() for column in columns), strict=True)]


def _record_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file of records, a few at a time: their outputs are large."""
    for batch in read_batches(path, _RECORD_COLUMNS, _BATCH):
        yield from batch.to_pylist()
