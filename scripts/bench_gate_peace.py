"""A run that nobody disturbs: the rows that all others must come to, and what asking the gate costs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
from bench_data_root import Screen, build_data_root
from bench_gate_sidecar import Sidecar
from stress_servers import fact_rows

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.gate import Gate, Verdict
from pipeline.runs.loop import run
from pipeline.runs.models import served_embedder, served_models
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.runs.servers import KINDS, stop_server
from pipeline.settings import Settings


class TimedGate(Gate):
    """Counts how often it is asked, and what that takes of the processor."""

    def __init__(self, root: DataRoot) -> None:
        super().__init__(root.activity_signal)
        self.asks, self.asking_s = 0, 0.0

    def ask(self) -> Verdict:
        started = time.thread_time()
        try:
            return super().ask()
        finally:
            self.asks += 1
            self.asking_s += time.thread_time() - started


def run_in_peace(folder: Path, screens: list[Screen], frames: int) -> dict[str, Any]:
    """Run once in this process, or take what an earlier call found: `rows` as digests by fact file, `overhead`."""
    kept = folder / f"peace-{frames}.json"
    if not kept.exists():
        root = DataRoot(folder / "peace")
        build_data_root(root, frames, given=screens)
        overhead = _run(root)
        kept.write_text(json.dumps({"rows": fact_rows(root), "overhead": overhead}))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def stop_servers(root: DataRoot) -> None:
    """Stop all model servers of a DataRoot."""
    for kind in KINDS:
        stop_server(root, kind)


def _run(root: DataRoot) -> dict[str, Any]:
    user = Sidecar(root)
    user.say(active=False)
    settings = Settings(ocr_memo_mb=0)
    gate, before = TimedGate(root), _cpu_s(os.getpid())
    run(
        root, settings, RunOptions(until_done=True), LocalEngine(root), gate, served_models(root, settings, gate),
        LogProgress(), served_embedder(root, settings, gate),
    )  # fmt: skip
    used_s = _cpu_s(os.getpid()) - before
    user.end()
    stop_servers(root)
    return {
        "asks": gate.asks,
        "asking_cpu_s": round(gate.asking_s, 3),
        "run_cpu_s": round(used_s, 1),
        "share_percent": round(100 * gate.asking_s / used_s, 3),
    }


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process, of those below it, and of those that have ended."""
    process = psutil.Process(pid)
    return sum(sum(item.cpu_times()[:4]) for item in [process, *process.children(recursive=True)])
