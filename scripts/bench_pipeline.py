"""Measure what the pipeline costs beside its models, and that its rows do not depend on how it was run.

    scripts/bench_pipeline overhead [--frames N]      all stages with a null model: in process, through HTTP, on Ray
    scripts/bench_pipeline recording SPOOL            ingest and run a recording twice, with other shards; compare rows
    scripts/bench_pipeline engines SPOOL [--null]     ingest and run a recording with each engine; compare rows

Prints one JSON object. `overhead` builds a DataRoot of N frames, 2 s apart, from the bundled screens; the null model
answers 40 lines a frame, half of which change with the picture. Rates leave out starting Python and importing, which
`startup_s` states, and starting Ray, which `ray_startup_s` states. Memory is that of all processes but the server's, a
shared page counted once. The bare loop sends the same pictures to the same null answers without the pipeline: one frame
a request, as many requests at once as the pipeline has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from bench_machine import describe_machine
from null_ocr_server import NullEngine

from pipeline.dag import STAGES
from pipeline.dataroot import DataRoot
from pipeline.settings import Settings
from schemas.fields import utc_text
from schemas.serving import IMAGE_SIZES_HEADER, FrameRef, ReadText, RunFile

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "dataroot_fixtures" / "desk" / "spool"
RUN_ID = "bench"
TABLES = ("records", "frames", "windows", "url_visits", "line_tracks", "spans", "stage_outcomes")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    overhead = parts.add_parser("overhead")
    overhead.add_argument("--frames", type=int, default=7_200)
    recording = parts.add_parser("recording")
    recording.add_argument("spool", type=Path)
    recording.add_argument("--first", type=Path, help="a DataRoot of this recording that was run already")
    engines = parts.add_parser("engines")
    engines.add_argument("spool", type=Path)
    engines.add_argument("--null", action="store_true", help="a null model instead of the real OCR")
    one = parts.add_parser("measure-run")
    one.add_argument("root", type=Path)
    one.add_argument("--http", action="store_true")
    one.add_argument("--ray", action="store_true")
    arguments = parser.parse_args()
    if arguments.part == "measure-run":
        result = measure_run(DataRoot(arguments.root), through_http=arguments.http, on_ray=arguments.ray)
    elif arguments.part == "overhead":
        result = measure_overhead(arguments.frames)
    elif arguments.part == "engines":
        result = measure_engines(arguments.spool, null=arguments.null)
    else:
        result = measure_recording(arguments.spool, arguments.first)
    print(json.dumps(result, indent=2))


def measure_overhead(frames: int) -> dict[str, Any]:
    """All stages with a null model, in process and through HTTP, beside a bare loop over the same payload."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        roots = [DataRoot(Path(folder) / name) for name in ("in-process", "http", "ray")]
        for root in roots:
            build_data_root(root, frames)
        in_process = _measure_in_child(roots[0])
        through_http = _measure_in_child(roots[1], "--http")
        ray = _measure_in_child(roots[2], "--http", "--ray")
        bare = measure_bare_loop(roots[1], frames)
        return {
            "benchmark": "pipeline overhead, null model, 40 lines a frame",
            "machine": describe_machine(),
            "frames": frames,
            "in_process": in_process,
            "through_http": through_http,
            "through_http_on_ray": ray,
            "ray_beside_local": compare_facts(roots[1].path, roots[2].path),
            "bare_http_loop_frames_per_s": bare,
            "model_stage_through_http_of_bare": round(through_http["model_stage_frames_per_s"] / bare, 3),
            "all_stages_through_http_of_bare": round(through_http["all_stages_frames_per_s"] / bare, 3),
        }


def build_data_root(root: DataRoot, frames: int) -> None:
    """Fill a DataRoot as a sidecar would: frames 2 s apart from the bundled screens, with their windows and UIA."""
    screens = list(_bundled_screens())
    root.path.mkdir(parents=True)
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    rows = []
    for index in range(frames):
        payload, blob, others = screens[index // 5 % len(screens)]
        moment = start + timedelta(seconds=2 * index)
        record_id = f"{RUN_ID}/evidence.capture.frame/{index}"
        target = root.blob(RUN_ID, record_id, "evidence.capture.frame", moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(blob, target)
        names = {name: f"{RUN_ID}/{kind}/{index}" for name, kind, _ in others}
        for name, kind, other in others:
            rows.append(_row(names[name], kind, other, moment, {}))
        references = {key: {**payload[key], "record_id": names[key]} for key in names}
        rows.append(_row(record_id, "evidence.capture.frame", payload, moment, references))
    with sqlite3.connect(root.metadata_db) as database:
        database.execute(
            "CREATE TABLE metadata"
            "(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
        )
        database.execute("CREATE INDEX by_type ON metadata(record_type)")
        database.executemany("INSERT INTO metadata VALUES (?,?,?,?,?)", rows)
    database.close()


def measure_run(root: DataRoot, *, through_http: bool, on_ray: bool) -> dict[str, Any]:
    """Run all stages once in this process; `startup_s` is from the start of the process to the start of the run."""
    from contextlib import ExitStack

    from pipeline.engines.choose import choose_engine, cpu_budget
    from pipeline.engines.shards import TextModel
    from pipeline.gate import Gate, GateTerms
    from pipeline.runs.loop import run
    from pipeline.runs.progress import LogProgress
    from pipeline.runs.report import RunOptions
    from pipeline.stores.evidence import load_blob

    settings = Settings()
    terms = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)
    gate = Gate(root.activity_signal, **terms)
    engine = choose_engine("ray" if on_ray else "local", "", root, settings, terms, cpu_budget()).engine

    def load(frame: FrameRef) -> bytes:
        return load_blob(root, frame.blob_path, frame.content_hash)

    @cache
    def answer(image: bytes) -> ReadText:
        result = NullEngine().read(image)
        assert isinstance(result, ReadText)
        return result

    def read_in_process(frames: Sequence[FrameRef]) -> Iterator[tuple[int, ReadText]]:
        for index, frame in enumerate(frames):
            if not gate.ask().open:
                return
            yield index, answer(load(frame))

    with ExitStack() as stack:
        model = TextModel(NullEngine().identity, read_in_process)
        if through_http:
            from pipeline.engines.served import text_model

            server = stack.enter_context(null_server(root))
            model = text_model(root, settings, server, lambda: gate.ask().open, settings.request_concurrency)
        memory = stack.enter_context(tree_memory(model.server))
        startup_s = time.time() - _process_start()
        options = RunOptions(until_done=True)
        report = run(root, settings, options, engine, gate, lambda _: model, LogProgress())
    frames = sum(report.samples["list_frames"].values())
    stage_ms = _stage_milliseconds(root)
    ray_startup_s = getattr(engine, "startup_s", 0.0)
    return {
        "all_stages_frames_per_s": round(frames / (report.elapsed_s - ray_startup_s), 1),
        "model_stage_frames_per_s": round(frames / stage_ms["find_text_lines"] * 1000, 1),
        "elapsed_s": round(report.elapsed_s, 2),
        "stage_ms": stage_ms,
        "startup_s": round(startup_s, 2),
        "ray_startup_s": round(ray_startup_s, 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_memory_of_all_processes_mib": round(memory.peak_bytes / 2**20, 1),
    }


def measure_bare_loop(root: DataRoot, frames: int) -> float:
    """Frames a second that a client reaches that only reads, posts and parses."""
    paths = sorted(root.media.rglob("*.blob"))[:frames]
    with null_server(root) as server:
        started = time.perf_counter()
        asyncio.run(_post_all(server, paths))
        return round(len(paths) / (time.perf_counter() - started), 1)


async def _post_all(server: RunFile, paths: Sequence[Path]) -> None:
    import aiohttp

    todo = iter(paths)
    headers = {"Authorization": f"Bearer {server.token}"}

    async def work(session: aiohttp.ClientSession) -> None:
        for path in todo:
            data = path.read_bytes()
            async with session.post(
                f"{server.url}/v1/text", data=data, headers={**headers, IMAGE_SIZES_HEADER: str(len(data))}
            ) as response:
                response.raise_for_status()
                json.loads(await response.read())

    async with aiohttp.ClientSession(trust_env=False) as session:
        await asyncio.gather(*(work(session) for _ in range(Settings().request_concurrency)))


class null_server:  # noqa: N801 reads as a statement
    """A null server of its own process, for the length of the block."""

    def __init__(self, root: DataRoot) -> None:
        self._folder = root.path.parent / f"server-{time.monotonic_ns()}"

    def __enter__(self) -> RunFile:
        self._folder.mkdir()
        run_file = self._folder / "null.json"
        script = REPOSITORY / "scripts" / "null_ocr_server.py"
        self._process = subprocess.Popen([sys.executable, str(script), "--run-file", str(run_file)])
        deadline = time.monotonic() + 30
        while not run_file.exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the null server did not start")
            time.sleep(0.05)
        return RunFile.model_validate_json(run_file.read_bytes())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


class tree_memory:  # noqa: N801 reads as a statement
    """Looks at the memory of this process and all below it, twice a second, but not at a server's."""

    def __init__(self, leave_out: RunFile | None) -> None:
        self._server = leave_out.pid if leave_out else 0
        self.peak_bytes = 0

    def __enter__(self) -> tree_memory:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        me = psutil.Process()
        while not self._end.wait(0.5):
            total = 0
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss if process.pid != self._server else 0
            self.peak_bytes = max(self.peak_bytes, total)


def measure_engines(spool: Path, *, null: bool) -> dict[str, Any]:
    """Ingest a recording into two DataRoots, run one with each engine, and compare every row of every table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        runs = []
        for engine in ("local", "ray"):
            copy = Path(folder) / f"spool-{engine}"
            shutil.copytree(spool, copy, copy_function=shutil.copyfile)
            runs.append(_run_recording(copy, Path(folder) / engine, "--engine", engine, null=null))
        tables = compare_facts(Path(folder) / "local", Path(folder) / "ray")
        return {
            "benchmark": "a recording, ingested and run with each engine",
            "model": "null" if null else "ocr",
            "machine": describe_machine(),
            "runs": runs,
            "tables": tables,
            "equal": all(item["rows_that_differ"] == 0 for item in tables.values()),
        }


def measure_recording(spool: Path, first: Path | None) -> dict[str, Any]:
    """Ingest a recording into two DataRoots, run each with other shards, and compare every row of every table.

    The run with shards sized by measured work may have been made before: `first`.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        roots = [first or Path(folder) / "adaptive", Path(folder) / "sevens"]
        runs = []
        for root, shard_frames in zip(roots, (0, 7), strict=True):
            if root != first:
                copy = Path(folder) / f"spool-{shard_frames}"
                shutil.copytree(spool, copy, copy_function=shutil.copyfile)
                runs.append(_run_recording(copy, root, "--set", f"shard_frames={shard_frames}"))
        tables = compare_facts(*roots)
        return {
            "benchmark": "a recording, ingested and run twice with other shards",
            "machine": describe_machine(),
            "runs": runs,
            "tables": tables,
            "equal": all(item["rows_that_differ"] == 0 for item in tables.values()),
        }


def compare_facts(first: Path, second: Path) -> dict[str, dict[str, int]]:
    """Count, for each table of two DataRoots, the rows and those that only one of them has; timings are left out."""
    import duckdb

    database = duckdb.connect()

    def count(query: str) -> int:
        ((number,),) = database.execute(f"SELECT count(*) FROM {query}").fetchall()
        return int(number)

    counts = {}
    for table in TABLES:
        columns = "* EXCLUDE (metrics)" if table == "records" else "*"
        one, other = (
            f"(SELECT {columns} FROM '{root}/derived/facts/{table}/**/part-*.parquet')" for root in (first, second)
        )
        differ = count(f"(({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}))")
        counts[table] = {"rows": count(one), "rows_that_differ": differ}
    return counts


def _run_recording(spool: Path, root: Path, *options: str, null: bool = False) -> dict[str, Any]:
    def command(*arguments: str) -> tuple[int, float]:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "--data-root", str(root), *arguments],
            check=False, stdout=subprocess.DEVNULL, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        return done.returncode, round(time.perf_counter() - started, 2)

    stages = [item for stage in STAGES if stage.model != "embed" for item in ("--stage", stage.name)]
    work = ("run", "--until-done", "--assume-idle-when-missing", *stages, *options)
    try:
        ingest_code, ingest_s = command("ingest", str(spool))
        if null:
            _start_null_server(DataRoot(root))
        run_code, run_s = command(*work)
        again_code, again_s = command(*work)
    finally:
        command("workers", "down")
    return {
        "options": " ".join(options),
        "ingest": {"exit_code": ingest_code, "seconds": ingest_s},
        "run": {"exit_code": run_code, "seconds": run_s},
        "run_again": {"exit_code": again_code, "seconds": again_s},
    }


def _start_null_server(root: DataRoot) -> None:
    from pipeline.runs.servers import start_server

    command = [sys.executable, str(REPOSITORY / "scripts" / "null_ocr_server.py")]
    start_server(root, "ocr", [*command, "--run-file", str(root.worker_file("ocr"))], timeout_s=30)


def _measure_in_child(root: DataRoot, *options: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "measure-run", str(root), *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def _bundled_screens() -> Iterator[tuple[dict[str, Any], Path, list[tuple[str, str, dict[str, Any]]]]]:
    for handoff in sorted(FIXTURES.iterdir()):
        with sqlite3.connect(f"file:{handoff / 'metadata.db'}?mode=ro&immutable=1", uri=True) as database:
            rows = {row[0]: (row[1], json.loads(row[2])) for row in database.execute(
                "SELECT id, record_type, payload FROM metadata ORDER BY id")}  # fmt: skip
        database.close()
        for kind, payload in rows.values():
            if kind == "evidence.capture.frame":
                references = [(key, payload[key]["record_id"]) for key in ("window_ref", "uia_ref") if key in payload]
                others = [(key, *rows[name]) for key, name in references if name in rows]
                yield payload, handoff / payload["blob_path"], others


def _row(
    record_id: str, kind: str, payload: dict[str, Any], moment: datetime, references: dict[str, Any]
) -> tuple[str, str, str, str, str]:
    text = utc_text(moment)
    own = {**payload, "run_id": RUN_ID, "ts_utc": text, **references}
    own.pop("payload_hash", None)
    own.pop("blob_path", None)
    return record_id, json.dumps(own), kind, text, RUN_ID


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _stage_milliseconds(root: DataRoot) -> dict[str, int]:
    (manifest,) = root.manifests.glob("run-*.json")
    stages = json.loads(manifest.read_bytes())["stages"]
    return {stage.name: stages[stage.name]["elapsed_ms"] for stage in STAGES if stage.name in stages}


def _process_start() -> float:
    return psutil.Process().create_time()


if __name__ == "__main__":
    main()
