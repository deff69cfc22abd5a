"""Measure what a run with all its processes takes of the machine, held by a control group and by the governor alone.

    scripts/bench_budget [RECORDING] [--frames 90] [--shares 0.5,0.2] [--by auto,governor]

RECORDING is a DataRoot or handoff dir of real frames, copied first; without one the bundled screens are read. Each case
is a `pipeline run` of its own on a fresh DataRoot, with its OCR server. Every second, from outside, the processor time
of all its processes is read (those that ended between two looks are missing), and their memory, shared pages counted
once. The part is of the machine's processors. Prints one JSON object; exits with 1 when a case does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from bench_data_root import build_data_root
from bench_machine import describe_machine

from pipeline.budget.tree import ProcessTree
from pipeline.dataroot import DataRoot
from pipeline.runs.servers import KINDS, own_servers, stop_server

WINDOWS_WITHIN, LONG_S, LONG_SHARE_OVER = 0.95, 10, 0.10
"""How many of the windows of 1 s must be within the limit; and the averaging, and what it may exceed it by."""


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--shares", default="0.5,0.2")
    parser.add_argument("--by", default="auto,governor")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-budget-") as folder:
        cases = []
        for by in given.by.split(","):
            for share in map(float, given.shares.split(",")):
                root = _prepare(Path(folder) / f"{by}-{share}", given.recording, given.frames)
                cases.append(_measure(root, share, by, given.frames))
    ok = all(case["holds"] for case in cases)
    print(json.dumps({"benchmark": "budgets", "machine": describe_machine(), "cases": cases, "ok": ok}, indent=2))
    return 0 if ok else 1


def _prepare(path: Path, recording: Path | None, frames: int) -> DataRoot:
    root = DataRoot(path)
    if recording is None:
        build_data_root(root, frames)
    else:
        path.mkdir()
        for name in ("metadata.db", "media"):
            copy = shutil.copytree if (recording / name).is_dir() else shutil.copyfile
            copy(recording / name, path / name)
    return root


def _measure(root: DataRoot, share: float, by: str, frames: int) -> dict[str, Any]:
    settings = {"cpu_share": share, "budget_by": by, "embed_idle_exit_s": 60}
    flags = [item for name, value in settings.items() for item in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "run", "--stage", "ocr", "--max-frames"]
    command += [str(frames), "--assume-idle-when-missing", "--engine", "local", "--json", *flags]
    started = time.monotonic()
    with (root.path / "run.log").open("wb") as log:
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "AP_CPU_LIMIT": ""})
        seconds, memory = _look_on(run, root)
    elapsed_s = time.monotonic() - started
    for kind in KINDS:
        stop_server(root, kind)
    (manifest,) = root.manifests.glob("run-*.json")
    content = json.loads(manifest.read_bytes())
    done = content["stages"]["find_text_lines"]["counts"]
    return _judge(seconds, memory, share) | {
        "exit_code": run.returncode,
        "limit_share": share,
        "by": content["budget"]["by"],
        "throttled": content["budget"]["throttled"],
        "frames": done,
        "elapsed_s": round(elapsed_s, 1),
    }


def _look_on(run: subprocess.Popen[bytes], root: DataRoot) -> tuple[list[float], list[int]]:
    """Processors used in each second, and memory, until the run ends."""
    tree = ProcessTree(lambda: [run.pid, *own_servers(root).all()])
    seconds, memory = [], []
    tree.find()
    used_s, at = tree.used_s, time.monotonic()
    mine = _own_cpu_s()
    while run.poll() is None:
        time.sleep(1.0)
        with suppress(OSError):
            tree.find()
        now, my_now = time.monotonic(), _own_cpu_s()
        seconds.append((tree.used_s - used_s - (my_now - mine)) / (now - at))
        memory.append(sum(_memory(pid) for pid in tree.members if pid != os.getpid()))
        used_s, at, mine = tree.used_s, now, my_now
    return seconds, memory


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _memory(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().pss)
    return 0


def _judge(seconds: list[float], memory: list[int], share: float) -> dict[str, Any]:
    cpus = len(os.sched_getaffinity(0))
    shares = [used / cpus for used in seconds]
    longer = [sum(shares[at : at + LONG_S]) / LONG_S for at in range(max(1, len(shares) - LONG_S + 1))]
    within = sum(part <= share for part in shares) / len(shares)
    total = psutil.virtual_memory().total
    return {
        "holds": within >= WINDOWS_WITHIN and max(longer) <= share + LONG_SHARE_OVER and max(memory) <= total / 2,
        "windows": len(shares),
        "windows_within_limit": round(within, 4),
        "share_mean": round(sum(shares) / len(shares), 4),
        "share_p95": round(sorted(shares)[int(len(shares) * 0.95)], 4),
        "share_highest_1s": round(max(shares), 4),
        "share_highest_10s": round(max(longer), 4),
        "memory_highest_mb": max(memory) >> 20,
        "memory_share_highest": round(max(memory) / total, 4),
    }


if __name__ == "__main__":
    sys.exit(main())
