"""A recording, run in two ways into two DataRoots: every row of every table is compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from bench_machine import describe_machine
from bench_memory import tree_memory

from pipeline.dag import STAGES
from pipeline.dataroot import DataRoot

REPOSITORY = Path(__file__).resolve().parent.parent
TABLES = ("records", "frames", "windows", "url_visits", "line_tracks", "spans", "stage_outcomes")


def measure_engines(spool: Path, *, null: bool) -> dict[str, Any]:
    """Ingest a recording into two DataRoots, run one with each engine, and compare every row of every table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        runs = []
        for engine in ("local", "ray"):
            copy = Path(folder) / f"spool-{engine}"
            shutil.copytree(spool, copy, copy_function=shutil.copyfile)
            runs.append(_run_recording(copy, Path(folder) / engine, "--engine", engine, null=null))
        return {
            "benchmark": "a recording, ingested and run with each engine",
            "model": "null" if null else "ocr",
            "machine": describe_machine(),
            "runs": runs,
            **_compare(Path(folder) / "local", Path(folder) / "ray"),
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
        return {
            "benchmark": "a recording, ingested and run twice with other shards",
            "machine": describe_machine(),
            "runs": runs,
            **_compare(*roots),
        }


def _compare(first: Path, second: Path) -> dict[str, Any]:
    tables, hashes = compare_facts(first, second), compare_row_hashes(first, second)
    equal = all(item["rows_that_differ"] == 0 for item in tables.values()) and hashes["in_one_only"] == 0
    return {"tables": tables, "row_hashes": hashes, "equal": equal}


def compare_row_hashes(first: Path, second: Path) -> dict[str, int]:
    """Compare the sets of `row_hash` of two DataRoots' records."""
    one, other = (
        {
            value
            for path in (root / "derived" / "facts" / "records").rglob("part-*.parquet")
            for value in pq.ParquetFile(path).read(columns=["row_hash"])["row_hash"].to_pylist()
        }
        for root in (first, second)
    )
    return {"first": len(one), "second": len(other), "in_one_only": len(one ^ other)}


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
    stages = [item for stage in STAGES if stage.model != "embed" for item in ("--stage", stage.name)]
    work = ("run", "--json", "--until-done", "--assume-idle-when-missing", *stages, *options)
    try:
        ingest = _measure_command(root, "ingest", str(spool))
        if null:
            _start_null_server(DataRoot(root))
        run = _measure_command(root, *work)
        again = _measure_command(root, *work)
    finally:
        _measure_command(root, "workers", "down")
    return {"options": " ".join(options), "ingest": ingest, "run": {**run, **_rates(root)}, "run_again": again}


def _measure_command(root: Path, *arguments: str) -> dict[str, Any]:
    """Run a command; its memory is that of all processes below it but the model servers'."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "--data-root", str(root), *arguments],
            stdout=subprocess.DEVNULL, stderr=log, cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        with tree_memory(process.pid, _is_server) as memory:
            process.wait()
        log.seek(0)
        told = log.read()
    sys.stderr.write(told)
    ray = re.search(r"Ray (?:started|joined) after ([0-9.]+) s", told)
    return {
        "exit_code": process.returncode,
        "seconds": round(time.perf_counter() - started, 2),
        "peak_memory_of_all_processes_mib": round(memory.peak_bytes / 2**20, 1),
        **({"ray_startup_s": float(ray[1])} if ray else {}),
    }


def _is_server(process: psutil.Process) -> bool:
    command = process.cmdline()
    return "workers.ocr" in command or any(part.endswith("null_ocr_server.py") for part in command)


def _rates(root: Path) -> dict[str, Any]:
    """What the manifest of the one run that did something says; with Ray, the model stage may wait for its start."""
    manifests = [json.loads(path.read_bytes()) for path in sorted((root / "derived" / "manifests").glob("run-*.json"))]
    stages = next(item["stages"] for item in manifests if "find_text_lines" in item["stages"])
    elapsed_ms = {name: stage["elapsed_ms"] for name, stage in stages.items()}
    frames = sum(stages["find_text_lines"]["counts"].values())
    return {
        "stage_ms": elapsed_ms,
        "model_stage_frames_per_s": round(frames / elapsed_ms["find_text_lines"] * 1000, 2),
    }


def _start_null_server(root: DataRoot) -> None:
    from pipeline.runs.servers import start_server

    command = [sys.executable, str(REPOSITORY / "scripts" / "null_ocr_server.py")]
    start_server(root, "ocr", [*command, "--run-file", str(root.worker_file("ocr"))], timeout_s=30)
