"""How long `status` and the planning of the next shard take when there are 5,000,000 frames, and how much memory.

`scripts/bench_year FOLDER` makes the DataRoot (rows, not pixels; 10 GB, some minutes) unless it is there, then measures
each command several times in processes of their own, and prints one JSON object. What the same takes with ten frames is
measured beside: the start of the program is in both. This process stays small: a child's peak begins with its parent's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench_machine import describe_machine

from pipeline.dataroot import DataRoot

LIMIT_S, LIMIT_MB = 1.0, 500
_NEXT_SHARD = """
import sys, time
from pathlib import Path
from pipeline.dataroot import DataRoot
from pipeline.runs.turns import Turns
from pipeline.stores.catalog import Catalog
from pipeline.stores.pending import pending
from schemas.evidence import FRAME
start = time.perf_counter()
with Catalog(DataRoot(Path(sys.argv[1])), read_only=True) as catalog:
    waiting = pending(catalog, sys.argv[2], FRAME, None, 0)
    shard = next(Turns(catalog, sys.argv[2], 0.2).shards(waiting, lambda: 64), None)
    print(waiting.count, len(shard.samples) if shard else 0, time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the DataRoot is, or is made")
    parser.add_argument("--frames", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--unread", type=int, default=2_000, help="frames, the newest ones, that are not read yet")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    root, empty = DataRoot(given.folder / "year"), DataRoot(given.folder / "empty")
    for place, frames, days in ((root, given.frames, given.days), (empty, 10, 1)):
        if not place.path.exists():
            words = (str(place), str(frames), str(days), str(min(given.unread, frames // 2)))
            subprocess.run([sys.executable, str(Path(__file__).with_name("bench_year_root.py")), *words], check=True)
    figures = {
        name: _status(place, given.repeat) for name, place in (("status", root), ("status_of_ten_frames", empty))
    }
    figures["next_shard"] = _next_shard(root, "find_text_lines", given.repeat)
    figures["next_shard_nothing_read"] = _next_shard(root, "describe_screen", given.repeat)
    print(json.dumps({
        "figure": "a year of memory", "frames": given.frames, "days": given.days, "figures": figures,
        "within_limits": all(
            item["median_s"] < LIMIT_S and item["memory_mb"] < LIMIT_MB for item in figures.values()
        ),
        "machine": describe_machine(),
    }, indent=2))  # fmt: skip


def _status(root: DataRoot, repeat: int) -> dict[str, Any]:
    runs = [_measured([sys.executable, "-m", "pipeline", "--data-root", str(root), "status", "--json"])
            for _ in range(repeat)]  # fmt: skip
    told = json.loads(runs[-1][2])
    pending = {row["stage"]: row["pending"] for row in told["stages"]}["find_text_lines"]
    return {"median_s": round(median(run[0] for run in runs), 3), "slowest_s": round(max(run[0] for run in runs), 3),
            "cpu_s": round(median(run[3] for run in runs), 3), "memory_mb": round(max(run[1] for run in runs), 1),
            "frames_unread": pending}  # fmt: skip


def _next_shard(root: DataRoot, stage: str, repeat: int) -> dict[str, Any]:
    runs = [_measured([sys.executable, "-c", _NEXT_SHARD, str(root), stage]) for _ in range(repeat)]
    told = [run[2].split() for run in runs]
    seconds = [float(words[2]) for words in told]
    return {"median_s": round(median(seconds), 3), "slowest_s": round(max(seconds), 3),
            "memory_mb": round(max(run[1] for run in runs), 1), "waiting": int(told[0][0]),
            "in_shard": int(told[0][1])}  # fmt: skip


def _measured(command: list[str]) -> tuple[float, float, str, float]:
    """Wall seconds, peak memory in MB, what a process printed, and its processor seconds."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - start, used.ru_maxrss / 1024, printed, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
