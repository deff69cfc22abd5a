"""Measure Stage 1: `scripts/bench_ingest blobs|handoffs|rerun|growth|active-safe [--scale 1.0]`.

`blobs`: 10,000 blobs of 100 KB with rows in one handoff. `handoffs`: 1,000 handoffs of 10 blobs. Both beside a floor
measured in the same run over the same bytes: hashing by openssl, `cp -al`, a bare SQLite insert of the rows that the
ingest left, and the same fsyncs: of each blob, each directory, the database, each marker and its handoff. They are
done by four threads; what the floor would be with blobs synced by as many as ingest does it with is told beside.
`rerun`: a spool of 10,000 handoffs that are marked. `growth`: 10,000, 100,000 and 1,000,000 rows of one handoff.
`active-safe`: the CPU that is used within a minute of draining a backlog while the user is active. Prints one JSON
object. The folder (`--folder`) should lie on the disk that is meant.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import psutil  # noqa: E402
from bench_machine import describe_machine  # noqa: E402
from ingest_spool import make_handoff, make_spool  # noqa: E402

from pipeline.ingest.hash_files import SYNCS_AT_ONCE  # noqa: E402
from pipeline.stores.metadata import VARIANT_A  # noqa: E402

_INDEXES = ("record_type", "ts_utc", "run_id")
_FLOOR_THREADS = 4
_MINUTES = 1.5


def main() -> int:
    """Measure one of them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(_MEASURES))
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the full size, for a quick look")
    parser.add_argument("--rounds", type=int, default=3, help="`blobs`, `handoffs`: ingest and floor in turns")
    parser.add_argument("--folder", type=Path, default=None, help="where to work [default: TMPDIR]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-", dir=arguments.folder) as folder:
        found = _MEASURES[arguments.what](Path(folder), arguments.scale, arguments.rounds)
    print(json.dumps({"what": arguments.what, "machine": describe_machine(), **found}, indent=2))
    return 0


def _blobs(folder: Path, scale: float, rounds: int) -> dict[str, Any]:
    def make(spool: Path) -> None:
        make_handoff(spool / "handoff", 0, int(10_000 * scale), 100_000)

    return _beside_floor(folder, make, rounds)


def _handoffs(folder: Path, scale: float, rounds: int) -> dict[str, Any]:
    def make(spool: Path) -> None:
        make_spool(spool, int(1_000 * scale), 10, 100_000)

    return _beside_floor(folder, make, rounds)


def _beside_floor(folder: Path, make: Callable[[Path], None], rounds: int) -> dict[str, Any]:
    """Ingest and floor in turns, each on a spool of its own, so that what else the machine does hits both."""
    found = []
    for number in range(rounds):
        make(folder / str(number) / "spool")
        make(folder / str(number) / "floor")
    os.nice(19)  # as ingest does itself: on a busy machine the floor has no better place
    for number in range(rounds):
        place = folder / str(number)
        os.sync()
        ingest = _ingest(place / "root", place / "spool")
        os.sync()
        floor = _floor(place / "floor", place / "floor-root", place / "root" / "metadata.db")
        wide = floor["wall_s"] - floor["sync_files_s"] + _sync_widely(place / "floor", place / "floor-root-wide")
        found.append({
            "ingest": ingest,
            "floor": floor,
            "ratio": round(ingest["wall_s"] / floor["wall_s"], 2),
            "floor_synced_as_widely_s": round(wide, 2),
            "ratio_to_that": round(ingest["wall_s"] / wide, 2),
        })  # fmt: skip
        subprocess.run(["rm", "-r", place], check=True)
    medians = {f"median_{name}": statistics.median(item[name] for item in found) for name in ("ratio", "ratio_to_that")}
    return {**medians, "rounds": found}


def _rerun(folder: Path, scale: float, rounds: int) -> dict[str, Any]:
    spool = make_spool(folder / "spool", int(10_000 * scale), 1, 1_000)
    first = _ingest(folder / "root", spool)
    again = [_ingest(folder / "root", spool, expect=2) for _ in range(rounds)]
    return {"first": first, "median_s": statistics.median(item["wall_s"] for item in again), "again": again}


def _growth(folder: Path, scale: float, _: int) -> dict[str, Any]:
    found = []
    for rows in (10_000, 100_000, 1_000_000):
        count = int(rows * scale)
        place = folder / str(rows)
        make_handoff(place / "spool" / "handoff", 0, count // 100, 1_000, other_rows=count - count // 100)
        done = _ingest(place / "root", place / "spool")
        found.append({"rows": count, **done, "rows_per_s": round(count / done["wall_s"])})
        subprocess.run(["rm", "-r", place], check=True)
    return {"growth": found}


def _active_safe(folder: Path, scale: float, _: int) -> dict[str, Any]:
    """Drain a backlog for a minute while a signal says, ten times a second, that the user is active."""
    spool = make_spool(folder / "spool", int(1_000 * scale), 10, 100_000)
    live = folder / "root" / "activity" / "activity_signal.json"
    live.parent.mkdir(parents=True)
    _say_active(live)
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--data-root", str(folder / "root"), "ingest", str(spool)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    samples = [(time.perf_counter(), 0.0)]
    while samples[-1][0] - samples[0][0] < _MINUTES * 60 and child.poll() is None:
        time.sleep(0.1)
        _say_active(live)
        samples.append((time.perf_counter(), _cpu_of(child.pid)))
    marked = sum(1 for _ in spool.glob("*/reap_eligible.json"))
    child.kill()
    child.wait()
    minutes = [(used, later) for at, used in samples for moment, later in samples if 60 <= moment - at < 60.2]
    spent = samples[-1][0] - samples[0][0]
    return {
        "measured_s": round(spent, 1),
        "cpu_s": round(samples[-1][1], 2),
        "share_of_a_core": round(samples[-1][1] / spent, 4),
        "greatest_share_in_a_minute": round(max(later - used for used, later in minutes) / 60, 4) if minutes else None,
        "handoffs_marked": marked,
    }


def _say_active(path: Path) -> None:
    temporary = path.with_name("new")
    fields = {"ts_utc": datetime.now(UTC).isoformat(), "idle_seconds": 0, "user_active": True}
    temporary.write_text(json.dumps(fields))
    temporary.rename(path)


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process and all below it, those that ended included."""
    used = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
    return used


def _ingest(root: Path, spool: Path, expect: int = 0) -> dict[str, Any]:
    """Run the command as a person would; its wall time, start included, and the memory and CPU of all its processes."""
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "ingest", str(spool),
               "--set", "settle_s=0"]  # fmt: skip
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != expect:
        raise SystemExit(f"ingest exited with {child.returncode}, not with {expect}")
    return {
        "wall_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024, 1),
    }


def _floor(spool: Path, target: Path, ingested: Path) -> dict[str, Any]:
    """What the disk and the processor demand for the same end, by plain tools."""
    with closing(sqlite3.connect(ingested)) as connection:
        rows = connection.execute("SELECT id, payload, record_type, ts_utc, run_id FROM metadata").fetchall()
    parts: dict[str, Callable[[], object]] = {
        "hash": lambda: _hash(spool),
        "link": lambda: subprocess.run(["cp", "-al", spool, target], check=True),
        "sync_files": lambda: _sync(path for path in target.rglob("*") if path.is_file()),
        "sync_directories": lambda: _sync([target, *(path for path in target.rglob("*") if path.is_dir())]),
        "insert": lambda: _insert(target / "metadata.db", rows),
        "markers": lambda: _mark(spool),
    }
    times = {}
    for name, part in parts.items():
        started = time.perf_counter()
        part()
        times[name] = round(time.perf_counter() - started, 2)
    return {"wall_s": round(sum(times.values()), 2), "rows": len(rows), "files": sum(1 for _ in target.rglob("*.blob")),
            **{f"{name}_s": spent for name, spent in times.items()}}  # fmt: skip


def _hash(spool: Path) -> None:
    find = subprocess.Popen(["find", spool, "-type", "f", "-print0"], stdout=subprocess.PIPE)
    hashing = ["xargs", "-0", "-P", str(os.cpu_count() or 1), "-n", "500", "openssl", "dgst", "-sha256"]
    with find:
        subprocess.run(hashing, stdin=find.stdout, stdout=subprocess.DEVNULL, check=True)


def _sync_widely(spool: Path, target: Path) -> float:
    """Link once more, and tell how long it takes to sync the blobs with as many threads as ingest does."""
    subprocess.run(["cp", "-al", spool, target], check=True)
    started = time.perf_counter()
    _sync((path for path in target.rglob("*") if path.is_file()), SYNCS_AT_ONCE)
    return time.perf_counter() - started


def _sync(paths: Iterable[Path], threads: int = _FLOOR_THREADS) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_sync_one, list(paths)))


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _insert(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute(VARIANT_A)
        for name in _INDEXES:
            connection.execute(f"CREATE INDEX idx_metadata_{name} ON metadata({name})")
        connection.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", rows)


def _mark(spool: Path) -> None:
    def mark(handoff: Path) -> None:
        temporary = handoff / "marker.tmp"
        temporary.write_bytes(b"x" * 600)
        _sync_one(temporary)
        temporary.rename(handoff / "marker")
        _sync_one(handoff)

    with ThreadPoolExecutor(_FLOOR_THREADS) as pool:
        list(pool.map(mark, list(spool.iterdir())))


_MEASURES: dict[str, Callable[[Path, float, int], dict[str, Any]]] = {
    "blobs": _blobs,
    "handoffs": _handoffs,
    "rerun": _rerun,
    "growth": _growth,
    "active-safe": _active_safe,
}

if __name__ == "__main__":
    sys.exit(main())
