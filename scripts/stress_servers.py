"""Kill model servers, their keepers and the runs that use them at random moments; look for orphans and lost frames.

    scripts/stress_servers [--kills 200] [--seed 1] [--frames 160] [--delay-ms 15]

A run over frames of the bundled screens, with a null server, is done again and again in fresh DataRoots, and disturbed
by signals that a seed chooses, until there were so many. A run that was killed is started again, as cron would. Prints
one JSON object. An orphan is any process of a server that is still there 15 s after the run that used it was killed.
A lost frame is one without a record, or with a failure, when the last run of its DataRoot has ended; and every fact
file must hold the rows of an undisturbed run, all but what time they took.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq
from bench_data_root import build_data_root
from bench_machine import describe_machine

import pipeline.clients.text_calls  # noqa: F401  before the fork, so that a run starts at once
from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.errors import PipelineError
from pipeline.gate import Gate
from pipeline.runs.holds import let_all_go
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.runs.server_process import Limits, holders
from pipeline.runs.servers import start_server, stop_server
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog

STAGES = ("list_frames", "list_windows", "visit_urls", "find_text_lines", "track_lines")
ORPHAN_S = 15.0
_SILENCE_S = 1.5
_GAVE_UP = 5

_PLANS = {
    "server SIGKILL": 26,
    "server SIGTERM": 12,
    "server SIGSTOP": 12,
    "run SIGKILL": 20,
    "run SIGTERM": 8,
    "run SIGSTOP, SIGCONT": 6,
    "run SIGSTOP, SIGKILL": 4,
    "keeper SIGKILL": 5,
    "keeper SIGTERM": 3,
    "keeper SIGSTOP, server SIGKILL": 2,
    "keeper SIGSTOP, run SIGKILL": 2,
    "server SIGSTOP, run SIGKILL": 3,
}
"""What is done, and how often compared with the others."""


class Stress:
    """Rounds of disturbed runs, and what was found."""

    def __init__(self, folder: Path, frames: int, delay_s: float, seed: int) -> None:
        self.folder = folder
        self.frames = frames
        self.delay_s = delay_s
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        build_data_root(DataRoot(folder / "untouched"), frames)
        self.expected = self._undisturbed()

    def round(self, kills: int) -> None:
        """Run one DataRoot to its end, with up to so many kills in all."""
        root = DataRoot(Path(shutil.copytree(self.folder / "untouched", self.folder / "round")))
        self.found["rounds"] += 1
        while (code := self._run(root, kills)) not in (0, 2):
            if code is None:
                self._no_orphans(root)
            elif code == _GAVE_UP:
                self.found["runs_that_gave_a_server_up"] += 1
            else:
                raise RuntimeError(f"a run ended with {code}; see {root.path.parent / 'run.log'}")
        stop_server(root, "ocr")
        self._no_orphans(root)
        self._nothing_lost(root)
        shutil.rmtree(root.path)

    def _undisturbed(self) -> dict[str, str]:
        root = DataRoot(Path(shutil.copytree(self.folder / "untouched", self.folder / "whole")))
        if self._run(root, 0) != 0:
            raise RuntimeError("the undisturbed run failed")
        stop_server(root, "ocr")
        return fact_rows(root)

    def _run(self, root: DataRoot, kills: int) -> int | None:
        """Start a run and disturb it until it ends; returns its exit code, None when it was killed."""
        self.found["runs"] += 1
        pid = start_run(root, self.delay_s)
        try:
            while True:
                ended = _wait(pid, self.random.uniform(0.02, 0.9))
                if ended is not None:
                    return ended if ended >= 0 else None
                if self.done.total() < kills:
                    plan = self.random.choices(list(_PLANS), list(_PLANS.values()))[0]
                    self.done[plan] += self._disturb(root, pid, plan)
        finally:
            with suppress(ProcessLookupError, ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _disturb(self, root: DataRoot, run_pid: int, plan: str) -> bool:
        """Tell whether all of the plan's targets were there."""
        pids = {"run": run_pid}
        found = holders(root, "ocr", wait_s=0)
        if len(found) == 2:
            pids.update(server=found[0].pid, keeper=found[1].pid)
        target = ""
        for step in plan.split(", "):
            *named, number = step.split(" ")
            target = named[0] if named else target
            if target not in pids:
                return False
            try:
                os.kill(pids[target], signal.Signals[number])
            except ProcessLookupError:
                return False
            if plan.startswith("run SIGSTOP"):
                time.sleep(self.random.uniform(0.1, 0.6))
        return True

    def _no_orphans(self, root: DataRoot) -> None:
        started = time.monotonic()
        while left := processes_of(root):
            if time.monotonic() - started > ORPHAN_S:
                self.found["orphans"] += len(left)
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)
        longest_ms = int((time.monotonic() - started) * 1000)
        self.found["longest_until_all_was_gone_ms"] = max(longest_ms, self.found["longest_until_all_was_gone_ms"])

    def _nothing_lost(self, root: DataRoot) -> None:
        with Catalog(root, read_only=True) as catalog:
            query = "SELECT count(*) FROM outcomes WHERE stage = 'find_text_lines' AND status = 'done'"
            done = catalog.connection.execute(query).fetchone()[0]
            failed = catalog.connection.execute("SELECT count(*) FROM outcomes WHERE status <> 'done'").fetchone()[0]
        self.found["lost_frames"] += self.frames - done + failed
        rows = fact_rows(root)
        self.found["fact_files_that_differ"] += sum(
            rows.get(name) != self.expected.get(name) for name in rows.keys() | self.expected.keys()
        )


def start_run(root: DataRoot, delay_s: float) -> int:
    """Start a run in a process of its own; returns its pid. It ends with the exit code of `pipeline run`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        logging.basicConfig(filename=root.path.parent / "run.log", level=logging.INFO, force=True)
        code = _work(root, delay_s)
        let_all_go()
    except Exception:
        logging.exception("the run failed")
    finally:
        os._exit(code)


def _work(root: DataRoot, delay_s: float) -> int:
    settings = Settings(retry_backoff_s=0.1, shard_frames=8)
    gate = Gate(root.activity_signal, assume_idle_when_missing=True)
    script = Path(__file__).resolve().parent / "null_ocr_server.py"
    command = [sys.executable, str(script), "--delay-s", str(delay_s), "--run-file", str(root.worker_file("ocr"))]

    def models(kind: str) -> TextModel:
        server = start_server(root, kind, command, 30, Limits(start_s=40, silence_s=_SILENCE_S, threads=1))
        return text_model(root, settings, server, gate, settings.request_concurrency)

    try:
        run(root, settings, RunOptions(True, STAGES), LocalEngine(root), gate, models, LogProgress())
    except PipelineError as error:
        logging.info("ended: %s", error)
        return int(error.exit_code)
    return 0


def processes_of(root: DataRoot) -> list[int]:
    """Processes of the servers of a DataRoot: their command names the run file."""
    wanted = str(root.worker_file("ocr")).encode()
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):
                if wanted in (place / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(place.name))
    return found


def fact_rows(root: DataRoot) -> dict[str, str]:
    """A digest of the rows of each fact file, by its place, without `metrics`: how long things took."""
    found = {}
    for path in sorted(root.facts.rglob("part-*.parquet")):
        table = pq.ParquetFile(path).read()
        kept = table.select([name for name in table.schema.names if name != "metrics"]).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, kept.schema) as stream:
            stream.write_table(kept)
        found[str(path.relative_to(root.facts))] = hashlib.sha256(sink.getvalue()).hexdigest()
    return found


def _wait(pid: int, seconds: float) -> int | None:
    """The exit code of a process if it ends within some time, negative for a signal; None if it does not."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


def stress(kills: int, seed: int, frames: int, delay_s: float) -> dict[str, Any]:
    """Disturb until there were so many kills; returns what was found."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # processes are killed here, not power
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stress-", dir=place) as folder:
        made = Stress(Path(folder), frames, delay_s, seed)
        while made.done.total() < kills:
            made.round(kills)
    names = ("orphans", "lost_frames", "fact_files_that_differ", "rounds", "runs", "runs_that_gave_a_server_up",
             "longest_until_all_was_gone_ms")  # fmt: skip
    return {
        "benchmark": "kills of model servers, their keepers and the runs that use them",
        "machine": describe_machine(),
        "seed": seed,
        "kills": made.done.total(),
        **{name: made.found[name] for name in names},
        "frames_a_round": frames,
        "fact_files": len(made.expected),
        "by_plan": dict(sorted(made.done.items())),
        "elapsed_s": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Parse, stress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=160)
    parser.add_argument("--delay-ms", type=float, default=15.0)
    given = parser.parse_args()
    found = stress(given.kills, given.seed, given.frames, given.delay_ms / 1000)
    print(json.dumps(found, indent=2))
    sys.exit(any(found[name] for name in ("orphans", "lost_frames", "fact_files_that_differ")))


if __name__ == "__main__":
    main()
