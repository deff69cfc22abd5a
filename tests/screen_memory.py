"""A small DataRoot for tests: evidence by literal fields, and a text model that is a function."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataroot import DataRoot, blob_key
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import TextModel
from pipeline.errors import SampleError
from pipeline.gate import Gate
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.settings import Settings
from pipeline.stores.evidence import load_blob
from schemas.canonical import canonical_json, sha256_hex
from schemas.evidence import FRAME
from schemas.fields import parse_utc
from schemas.serving import FrameRef, ModelIdentity, ReadText, SampleFailure, TextLine

RUN = "desk-1"
WIDTH, HEIGHT = 640, 480
Reply = ReadText | SampleFailure


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A scratch folder where fsync costs nothing, if there is such a place: these tests kill processes, not power."""
    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


class Memory:
    """A DataRoot filled directly, as a sidecar may do `[meta-5]`."""

    def __init__(self, path: Path) -> None:
        self.root = DataRoot(path)
        self.root.path.mkdir(parents=True)
        with sqlite3.connect(self.root.metadata_db) as connection:
            connection.execute(
                "CREATE TABLE metadata("
                "id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
            )
        connection.close()

    def put(self, record_type: str, number: int, ts_utc: str, fields: dict[str, Any], run_id: str = RUN) -> str:
        """Add a record; returns its id."""
        record_id = f"{run_id}/{record_type}/{number}"
        record = {"schema_version": 1, "record_type": record_type, "run_id": run_id, "ts_utc": ts_utc, **fields}
        self.insert(record_id, canonical_json(record).decode(), record_type, ts_utc, run_id)
        return record_id

    def insert(self, record_id: Any, payload: Any, record_type: Any, ts_utc: Any, run_id: Any) -> None:
        """Add a row as it stands."""
        with sqlite3.connect(self.root.metadata_db) as connection:
            row = (record_id, payload, record_type, ts_utc, run_id)
            connection.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", row)
        connection.close()

    def frame(self, number: int, ts_utc: str, run_id: str = RUN, blob: bytes = b"", **fields: Any) -> str:
        """Add a frame with its blob; returns its id."""
        blob = blob or f"pixels of {run_id} {number}".encode()
        frame_id = f"{run_id}/{FRAME}/{number}"
        path = self.root.path / blob_key(run_id, frame_id, FRAME, parse_utc(ts_utc))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)
        content = {"width": WIDTH, "height": HEIGHT, "content_hash": sha256_hex(blob), "content_size": len(blob)}
        return self.put(FRAME, number, ts_utc, {**content, **fields}, run_id)

    def blob(self, frame_id: str, ts_utc: str) -> Path:
        """Where a frame's blob lies."""
        return self.root.path / blob_key(frame_id.rsplit("/", 2)[0], frame_id, FRAME, parse_utc(ts_utc))


def minutes(hour: int, *numbers: int, day: str = "2026-03-01") -> list[str]:
    """Moments of an hour, one for each minute named."""
    return [f"{day}T{hour:02d}:{number:02d}:00.000Z" for number in numbers]


class InProcessModel:
    """A text model that is a function of the frame's bytes; counts what it was asked."""

    def __init__(self, root: DataRoot, name: str = "a", seconds: float = 0.0) -> None:
        self.root = root
        self.seconds = seconds
        self.identity = ModelIdentity(provider_id="test", model_id=name, model_digest=sha256_hex(name.encode()))
        self.asked: list[str] = []
        self.replies: dict[str, Callable[[], Reply]] = {}

    def __call__(self, kind: str) -> TextModel:
        """A source of models for the run loop."""
        assert kind == "ocr"
        return TextModel(self.identity, self.read)

    def read(self, frames: Sequence[FrameRef]) -> Iterator[tuple[int, Reply]]:
        """Answer frame by frame."""
        for index, frame in enumerate(frames):
            self.asked.append(frame.frame_id)
            time.sleep(self.seconds)
            yield index, self._reply(frame)

    def _reply(self, frame: FrameRef) -> Reply:
        if frame.frame_id in self.replies:
            return self.replies[frame.frame_id]()
        try:
            pixels = load_blob(self.root, frame.blob_path, frame.content_hash)
        except SampleError as error:
            return error.failure
        return read_text(f"{self.identity.model_id} shows the same", pixels.decode())


def read_text(*texts: str) -> ReadText:
    """A reply with one line below the other."""
    lines = [TextLine(text=text, bbox=(10, 20 * n, 300, 20 * n + 18), score=9000) for n, text in enumerate(texts)]
    return ReadText(width=WIDTH, height=HEIGHT, lines=lines, elapsed_us=1)


def failing(code: str, *, retryable: bool) -> Callable[[], Reply]:
    """A reply that is a failure."""
    return lambda: SampleFailure(code, "made for a test", retryable)


def open_gate(root: DataRoot) -> Gate:
    """A gate that is open where there is no signal."""
    return Gate(root.activity_signal, assume_idle_when_missing=True)


def process(
    root: DataRoot,
    model: InProcessModel | None = None,
    gate: Gate | None = None,
    shard_frames: int = 0,
    retry_backoff_s: float = 0.0,
    max_attempts: int = 3,
    oldest_share: float = 0.2,
    **options: Any,
) -> RunReport:
    """Run all stages until done, with a model in this process."""
    settings = Settings(
        shard_frames=shard_frames, retry_backoff_s=retry_backoff_s, max_attempts=max_attempts, oldest_share=oldest_share
    )
    chosen = RunOptions(**{"until_done": True, **options})
    return run(
        root,
        settings,
        chosen,
        LocalEngine(root),
        gate or open_gate(root),
        model or InProcessModel(root),
        LogProgress(),
    )


def fact_files(root: DataRoot) -> dict[str, bytes]:
    """Every fact file by its place."""
    return {str(p.relative_to(root.facts)): p.read_bytes() for p in sorted(root.facts.rglob("part-*.parquet"))}


def rows(root: DataRoot, table: str) -> list[dict[str, Any]]:
    """All rows of a table, file by file."""
    files = sorted((root.facts / table).rglob("part-*.parquet"))
    found: list[dict[str, Any]] = []
    for path in files:
        content: pa.Table = pq.ParquetFile(path).read()
        found += content.to_pylist()
    return found


def utc(text: str) -> datetime:
    """A moment of 2026-03-01 by its time of day."""
    return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=UTC)
