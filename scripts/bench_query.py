"""Measure the text index, the landscape and the query over a made-up memory: `scripts/bench_query [--tracks 1000000]`.

Makes facts and evidence of that many line tracks in a temporary DataRoot (a day has 10,000, and a span for each five),
builds index and landscape, each in a process of its own, asks a mix of questions in one warm process, with and without
an embedding server, and as cold processes; and compares the fused search with one that ranks everything. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import pyarrow as pa  # noqa: E402
from bench_machine import describe_machine  # noqa: E402
from bench_spans import DIMENSIONS, LINES_A_SPAN, make_spans, questions_about_spans, recall  # noqa: E402

from pipeline.dataroot import DataRoot, blob_key  # noqa: E402
from pipeline.query.ask import Asking, ask  # noqa: E402
from pipeline.runs.servers import start_server, stop_server  # noqa: E402
from pipeline.stores.facts import FactsStore  # noqa: E402
from schemas.arrow import table_schema  # noqa: E402
from schemas.canonical import canonical_json, sha256_hex  # noqa: E402
from schemas.evidence import FRAME, WINDOW  # noqa: E402
from schemas.fields import utc_text  # noqa: E402

FIRST_DAY = datetime(2026, 1, 1, 9, tzinfo=UTC)
FRAMES_A_DAY, LINES_A_FRAME = 250, 40
WIDTH, HEIGHT = 1920, 1080
MODEL_DIGEST = "0" * 64
QUESTIONS = (
    "When was the identifier JOB-4711 first and last seen?",
    "Which identifiers of the form ABC-1234 were seen on 2026-01-03?",
    "Which site was visited most often last week?",
    "How many pages were loaded on site3.example.org in the last 3 days?",
    "Which windows were active yesterday?",
    "Rank the three programs with the most active time last week.",
    "Which program had the longest uninterrupted time on 2026-01-04?",
    "When did the words broker lease appear last?",
    "What is the state of JOB-4711?",
    "Who is responsible for the moon?",
    "What was active at 10:05 on 2026-01-03?",
    "In which hour of 2026-01-03 did the window change most often?",
)
_STEMS = "broker lease queue shard print label dock order cart ledger metric alert deploy build commit review".split()  # noqa: SIM905


def main() -> int:
    """Make, build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20, help="how often each question is asked")
    parser.add_argument("--recall", type=int, default=200, help="how many questions to compare with everything ranked")
    parser.add_argument("--build-only", type=Path, metavar="DATA_ROOT", help=argparse.SUPPRESS)
    parser.add_argument("--landscape-only", type=Path, metavar="DATA_ROOT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build_only:
        return _build(DataRoot(arguments.build_only))
    if arguments.landscape_only:
        return _build_landscape(DataRoot(arguments.landscape_only))
    with tempfile.TemporaryDirectory(prefix="bench-query-") as folder:
        root = DataRoot(Path(folder) / "root")
        started = time.perf_counter()
        now = _make(root, arguments.tracks)
        made_s = time.perf_counter() - started
        built = _in_a_process([sys.executable, __file__, "--build-only", str(root.path)])
        landscape = _in_a_process([sys.executable, __file__, "--landscape-only", str(root.path)])
        about_spans = questions_about_spans(root, max(arguments.recall, 20))
        mix = (*QUESTIONS, *about_spans[:4])
        warm = {"without_meaning": _warm(root, now, arguments.rounds, mix)}
        cold = {"without_meaning": _cold(root, now, about_spans[0])}
        server = [sys.executable, str(REPOSITORY / "scripts" / "bench_spans.py"), "--run-file",
                  str(root.worker_file("embed"))]  # fmt: skip
        start_server(root, "embed", server, timeout_s=60)
        try:
            warm["with_meaning"] = _warm(root, now, arguments.rounds, mix)
            cold["with_meaning"] = _cold(root, now, about_spans[0])
            fused = recall(root, Asking(now, UTC), about_spans[: arguments.recall])
        finally:
            stop_server(root, "embed")
        size = root.text_index.stat().st_size
    report = {"machine": describe_machine(), "tracks": arguments.tracks, "spans": arguments.tracks // LINES_A_SPAN,
              "made_s": round(made_s, 1), "index": built, "index_mb": round(size / 1e6, 1), "landscape": landscape,
              "warm": warm, "cold": cold, "recall": fused}  # fmt: skip
    report["index"]["tracks_per_s"] = round(arguments.tracks / built["build_s"])
    print(json.dumps(report, indent=2))
    return 0


def _build(root: DataRoot) -> int:
    from pipeline.indexing.build import build_text_index

    started = time.perf_counter()
    built = build_text_index(root, 10**9, lambda: None)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"build_s": round(time.perf_counter() - started, 2), "texts": built.texts, "peak_mb": round(peak_mb, 1)}
    print(json.dumps(result))
    return 0


def _build_landscape(root: DataRoot) -> int:
    from pipeline.stores.landscape_build import build_landscape

    started = time.perf_counter()
    manifest = build_landscape(root)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    matrix_mb = manifest.pinned.spans * DIMENSIONS * 4 / 1e6
    result = {"build_s": round(time.perf_counter() - started, 2), "spans": manifest.pinned.spans,
              "matrix_mb": round(matrix_mb, 1), "peak_mb": round(peak_mb, 1)}  # fmt: skip
    print(json.dumps(result))
    return 0


def _in_a_process(command: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return result


def _warm(root: DataRoot, now: datetime, rounds: int, questions: Sequence[str]) -> dict[str, Any]:
    times: dict[str, list[float]] = {question: [] for question in questions}
    asking = Asking(now, UTC)
    first = {question: ask(root, question, asking)[0] for question in questions}
    for _ in range(rounds):
        for question in questions:
            started = time.perf_counter()
            ask(root, question, asking)
            times[question].append((time.perf_counter() - started) * 1000)
    every = sorted(item for each in times.values() for item in each)
    return {
        "questions": len(every),
        **{
            f"p{percent}_ms": round(every[min(len(every) - 1, len(every) * percent // 100)], 1)
            for percent in (50, 95, 99)
        },
        "median_ms": {question: round(statistics.median(each), 1) for question, each in times.items()},
        "states": {question: answer.state for question, answer in first.items()},
        "by_meaning_too": sum("landscape" in answer.parts_used for answer in first.values()),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _cold(root: DataRoot, now: datetime, question: str, rounds: int = 5) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root.path), "query", question, "--json",
               "--now", utc_text(now)]  # fmt: skip
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return {"median_s": round(statistics.median(times), 3), "best_s": round(min(times), 3)}


def _make(root: DataRoot, tracks: int) -> datetime:
    """Write evidence and facts of so many tracks, day by day; gives the evening of the last day."""
    root.derived.mkdir(parents=True)
    chance = random.Random(1)
    evidence = sqlite3.connect(root.metadata_db)
    evidence.execute("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT,"
                     " run_id TEXT)")  # fmt: skip
    facts = FactsStore(root)
    days = max(1, tracks // (FRAMES_A_DAY * LINES_A_FRAME))
    for number in range(days):
        _make_day(root, facts, evidence, chance, FIRST_DAY + timedelta(days=number), number)
    evidence.commit()
    evidence.close()
    return FIRST_DAY + timedelta(days=days - 1, hours=9)


def _make_day(
    root: DataRoot, facts: FactsStore, evidence: sqlite3.Connection, chance: random.Random, first: datetime, number: int
) -> None:
    run_id = f"run-{number:04d}"
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("frames", "windows", "url_visits", "records",
                                                                   "line_tracks", "stage_outcomes", "spans",
                                                                   "embeddings")}  # fmt: skip
    for at in range(FRAMES_A_DAY):
        moment = first + timedelta(seconds=100 * at)
        for name, row in _make_frame(root, evidence, chance, run_id, at, moment):
            rows[name].append(row)
    producers = {"frames": "list_frames", "windows": "list_windows", "url_visits": "visit_urls",
                 "records": "find_text_lines", "line_tracks": "track_lines", "stage_outcomes": "catalog",
                 "spans": "build_spans", "embeddings": "embed_spans"}  # fmt: skip
    day = first.date().isoformat()
    for name, found in rows.items():
        table = "records" if name == "embeddings" else name
        content = pa.Table.from_pylist(found, schema=table_schema(table))
        facts.replace(table, run_id, day, "09", producers[name], content)


def _make_frame(
    root: DataRoot, evidence: sqlite3.Connection, chance: random.Random, run_id: str, at: int, moment: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    frame_id, picture = f"{run_id}/{FRAME}/{at}", f"{run_id} {at}".encode()
    path = root.path / blob_key(run_id, frame_id, FRAME, moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
    app = chance.choice(["browser", "editor", "terminal"])
    title = f"JOB-{chance.randrange(9000)} {_words(chance, 3)} - {app}"
    window = {
        "title": title,
        "process_path": f"/usr/bin/{app}",
        "hwnd": hash(app) % 1000,
        "rect": [0, 0, WIDTH, HEIGHT],
    }
    window_id = f"{run_id}/{WINDOW}/{at}"
    content = {"width": WIDTH, "height": HEIGHT, "content_hash": sha256_hex(picture)}
    _put(evidence, window_id, WINDOW, run_id, moment, {"window": window})
    _put(evidence, frame_id, FRAME, run_id, moment,
         {**content, "window_ref": {"record_id": window_id, "window": window}})  # fmt: skip
    sides = {"left": 0, "top": 0, "right": WIDTH, "bottom": HEIGHT}
    yield "frames", _blank("frames") | content | {
        "frame_id": frame_id, "run_id": run_id, "ts_utc": moment, "blob_path": str(path.relative_to(root.path)),
        "window_record_id": window_id, "app": app, "process_path": window["process_path"], "window_title": title,
        "window_hwnd": window["hwnd"], **{f"window_{side}": value for side, value in sides.items()},
    }  # fmt: skip
    yield "windows", _blank("windows") | sides | {
        "window_record_id": window_id, "run_id": run_id, "ts_utc": moment, "app": app,
        "process_path": window["process_path"], "title": title, "hwnd": window["hwnd"],
    }  # fmt: skip
    if app == "browser":
        host = f"site{chance.randrange(8)}.example.org"
        yield "url_visits", _visit(run_id, frame_id, window_id, at, moment, host)
    record_id = f"{run_id}/derived.model.output/ocr/{at:032x}"
    lines = list(_make_lines(chance, run_id, frame_id, record_id, moment, app, title))
    yield from lines
    tracks = [(row["track_id"], row["text"]) for name, row in lines if name == "line_tracks"]
    for name, row in make_spans(run_id, frame_id, moment, app, title, tracks):
        yield name, _blank("records" if name == "embeddings" else name) | row
    yield "stage_outcomes", _blank("stage_outcomes") | {
        "stage": "find_text_lines", "sample_id": frame_id, "run_id": run_id, "ts_utc": moment, "status": "done",
        "fingerprint": MODEL_DIGEST, "output_id": record_id,
    }  # fmt: skip


def _make_lines(
    chance: random.Random, run_id: str, frame_id: str, record_id: str, moment: datetime, app: str, title: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = []
    for number in range(LINES_A_FRAME):
        text = f"{_words(chance, chance.randrange(2, 8))} {chance.randrange(10**6) if number % 3 else ''}".strip()
        text = f"JOB-{chance.randrange(9000)} {text}" if number % 10 == 0 else text
        box = [20, 20 * number, 20 + 8 * len(text), 20 * number + 18]
        lines.append({"bbox": box, "score": 9800, "text": text})
        sides = dict(zip(("left", "top", "right", "bottom"), box, strict=True))
        digest = sha256_hex(f"{record_id} {number}".encode())[:32]
        ends = {"record_id": record_id, "line": number, "frame_id": frame_id, "seen_utc": moment}
        yield "line_tracks", _blank("line_tracks") | sides | {
            "track_id": f"{run_id}/derived.line.track/{digest}", "run_id": run_id, "text": text, "frame_count": 1,
            "score": 9800, "model_id": "made-up", "model_digest": MODEL_DIGEST, "app": app, "window_title": title,
            **{f"{end}_{name}": value for end in ("first", "last") for name, value in ends.items()},
        }  # fmt: skip
    output = json.dumps({"height": HEIGHT, "lines": lines, "width": WIDTH})
    yield "records", _blank("records") | {
        "record_id": record_id, "schema_version": 1, "record_type": "derived.model.output", "run_id": run_id,
        "ts_utc": moment, "sample_id": frame_id, "modality": "ocr", "model_id": "made-up",
        "model_digest": MODEL_DIGEST, "output_json": output,
    }  # fmt: skip


def _visit(run_id: str, frame_id: str, window_id: str, at: int, moment: datetime, host: str) -> dict[str, Any]:
    return _blank("url_visits") | {
        "visit_id": f"{run_id}/derived.url.visit/{at}", "run_id": run_id, "first_seen_utc": moment,
        "last_seen_utc": moment, "first_frame_id": frame_id, "last_frame_id": frame_id, "frame_count": 1,
        "app": "browser", "url": host, "host": host, "domain": "example.org",
        "source": "uia_address_bar", "source_record_id": window_id,
    }  # fmt: skip


def _put(
    evidence: sqlite3.Connection,
    record_id: str,
    record_type: str,
    run_id: str,
    moment: datetime,
    fields: dict[str, Any],
) -> None:
    record = {"schema_version": 1, "record_type": record_type, "run_id": run_id, "ts_utc": utc_text(moment), **fields}
    address = {"operables": [{"role": "Edit", "value": f"site{n}.example.org"} for n in range(8)]}
    payload = canonical_json(record | (address if record_type == WINDOW else {})).decode()
    evidence.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)",
                     (record_id, payload, record_type, utc_text(moment), run_id))  # fmt: skip


def _blank(table: str) -> dict[str, Any]:
    empty = {pa.string(): "", pa.int32(): 0, pa.int64(): 0}
    return {
        field.name: None if field.nullable else [] if pa.types.is_list(field.type) else empty.get(field.type)
        for field in table_schema(table)
    }


def _words(chance: random.Random, count: int) -> str:
    return " ".join(f"{chance.choice(_STEMS)}{chance.choice(['', 's', chance.randrange(300)])}" for _ in range(count))


if __name__ == "__main__":
    sys.exit(main())
