"""How soon everything is quiet when the user comes: activity at random moments of real OCR and embedding work.

    scripts/bench_gate [--onsets 1000] [--engine local|ray] [--seed 1] [--shades 4] [--folder DIR]

A worker (`resume_hold_s` 0.2) reads a DataRoot of altered copies of the bundled screens, which no cache knows; when
all is read, another one like it. Again and again a sidecar says that the user is active. Measured is the time from
that write until the process tree (worker, keepers, servers) uses at most 2 % of a core over 100 ms, and does so on
average for as long as the user stays. Ray's own daemons are counted apart. Then the rows are held against those of a
run in peace, in which the cost of asking the gate is measured too. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from bench_data_root import Screen, build_data_root, bundled_screens
from bench_machine import describe_machine
from PIL import Image
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
from pipeline.stores.catalog import Catalog
from schemas.fields import utc_text

WINDOW_S, SHARE = 0.1, 0.02
_SCHED_CLOCK = 2
"""With the complement of a process's number above it, the clock of that process: clock_getcpuclockid(3)."""

_SAMPLE_S, _STAYS_S, _GIVE_UP_S = 0.01, 0.6, 4.0
_EXPECTED_S = 0.25
"""What is used later than that is told by process."""

_BEGINS_WITHIN_S = 20.0
_SETTINGS = {"resume_hold_s": "0.2", "ocr_memo_mb": "0"}
_RAYS_OWN = ("gcs_server", "raylet", "ray/dashboard", "log_monitor", "runtime_env/agent", "ray::IDLE")


class Sidecar:
    """Writes the signal ten times a second."""

    def __init__(self, root: DataRoot) -> None:
        self._path = root.path / "activity" / "activity_signal.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._active, self._since, self._seq = True, time.monotonic(), 0
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.say(active=True)
        self._thread.start()

    def say(self, *, active: bool) -> float:
        """Write it now; returns when it was there (monotonic seconds)."""
        with self._guard:
            if active != self._active:
                self._active, self._since = active, time.monotonic()
            self._write()
            return time.monotonic()

    def end(self) -> None:
        """Fall silent."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(0.1):
            with self._guard:
                self._write()

    def _write(self) -> None:
        self._seq += 1
        idle_s = 0.0 if self._active else round(time.monotonic() - self._since, 3)
        said = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": idle_s, "user_active": self._active,
                "seq": self._seq}  # fmt: skip
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(said))
        fresh.replace(self._path)


class Tree:
    """Processor time of a process and all below it, by the kernel's own count in nanoseconds."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._seen: dict[int, int] = {}
        self._whose: dict[int, bool] = {}
        self.used: Counter[str] = Counter()

    def look(self) -> int:
        """Add what was used since the last look; returns all that was used so far, in nanoseconds."""
        seen: dict[int, int] = {}
        for pid in self._processes():
            with suppress(OSError):
                seen[pid] = time.clock_gettime_ns(~pid << 3 | _SCHED_CLOCK)
                self.used["ours" if self._is_ours(pid) else "ray"] += seen[pid] - self._seen.get(pid, 0)
        self._seen = seen
        return self.used["ours"]

    def by_process(self) -> dict[str, int]:
        """What each process that is there has used, in nanoseconds, by what it is."""
        found: Counter[str] = Counter()
        for pid, used in self._seen.items():
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                name = next((word for word in words if word.startswith("workers.") or word == "worker"), words[0])
                found[name] += used
        return dict(found)

    def _processes(self) -> list[int]:
        found = [self._root]
        for pid in found:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def _is_ours(self, pid: int) -> bool:
        if pid not in self._whose:
            command = b""
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            self._whose[pid] = not any(name.encode() in command for name in _RAYS_OWN)
        return self._whose[pid]


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


class Bench:
    """Rounds of work that a user disturbs, and what was measured."""

    def __init__(self, folder: Path, engine: str, seed: int, shades: int) -> None:
        self.folder = folder
        self.engine = engine
        self.random = random.Random(seed)
        self.screens = list(altered_screens(folder / "screens", shades))
        self.stopped_s: list[float] = []
        self.began_s: list[float] = []
        self.found: Counter[str] = Counter()
        self.rays_share: list[float] = []
        self.late: list[dict[str, Any]] = []
        self.overhead: dict[str, Any] = {}
        self.expected = self._in_peace()

    def _make(self, name: str) -> DataRoot:
        root = DataRoot(self.folder / name)
        build_data_root(root, 5 * len(self.screens), given=self.screens)
        return root

    def _in_peace(self) -> dict[str, str]:
        """Run once undisturbed, in this process; keeps what asking the gate took, returns the rows."""
        root = self._make("peace")
        user = Sidecar(root)
        user.say(active=False)
        settings = Settings(ocr_memo_mb=0)
        gate, before = TimedGate(root), _cpu_s(os.getpid())
        run(
            root, settings, RunOptions(until_done=True), LocalEngine(root), gate, served_models(root, settings, gate),
            LogProgress(), served_embedder(root, settings, gate),
        )  # fmt: skip
        used_s = _cpu_s(os.getpid()) - before
        self.overhead = {
            "asks": gate.asks,
            "asking_cpu_s": round(gate.asking_s, 3),
            "run_cpu_s": round(used_s, 1),
            "share_percent": round(100 * gate.asking_s / used_s, 3),
        }
        user.end()
        _stop_servers(root)
        return fact_rows(root)

    def round(self, onsets: int) -> None:
        """Read one DataRoot to its end, with up to so many onsets in all."""
        root = self._make(f"round-{self.found['rounds']}")
        self.found["rounds"] += 1
        user = Sidecar(root)
        options = [part for name, value in _SETTINGS.items() for part in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "worker", "--engine", self.engine]
        ready = self.folder / "ready"
        with (self.folder / "worker.log").open("a") as log:
            worker = subprocess.Popen([*command, *options, "--ready-file", str(ready)], stderr=log, stdout=log)
        tree = Tree(worker.pid)
        try:
            while not ready.exists():  # to start Python and to import is no work that could be ended
                if worker.poll() is not None:
                    raise RuntimeError(f"the worker ended with {worker.returncode}; see {self.folder / 'worker.log'}")
                time.sleep(WINDOW_S)
            while self._work_begins(user, tree, root):
                if len(self.stopped_s) < onsets:
                    time.sleep(self.random.uniform(0, 1))
                    self._come(user, tree)
            self.found["pauses_until_all_was_read"] += 1
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
            user.end()
            _stop_servers(root)
        rows = fact_rows(root)
        self.found["fact_files"] += len(self.expected)
        self.found["fact_files_that_differ"] += sum(
            rows.get(name) != self.expected.get(name) for name in rows.keys() | self.expected.keys()
        )
        shutil.rmtree(root.path)

    def _work_begins(self, user: Sidecar, tree: Tree, root: DataRoot) -> bool:
        """Let the user go, and wait until there is work; False when all is done."""
        left_at = user.say(active=False)
        while time.monotonic() - left_at < _BEGINS_WITHIN_S:
            before = tree.look()
            time.sleep(WINDOW_S)
            if tree.look() - before > 0.2 * WINDOW_S * 1e9:
                self.began_s.append(time.monotonic() - left_at)
                return not _all_done(root)
            if _all_done(root):
                return False
        raise RuntimeError(f"nothing was done within {_BEGINS_WITHIN_S:g} s; see {self.folder / 'worker.log'}")

    def _come(self, user: Sidecar, tree: Tree) -> None:
        """The user comes: measure when all is quiet. They stay a while to see whether it is."""
        came_at = user.say(active=True)
        samples = [(0.0, tree.look())]
        rays = tree.used["ray"]
        before: dict[str, int] | None = None
        quiet_at: float | None = None
        while True:
            time.sleep(_SAMPLE_S)
            used = tree.look()
            samples.append((time.monotonic() - came_at, used))
            if before is None and samples[-1][0] > _EXPECTED_S:
                before = tree.by_process()
            quiet_at = quiet_at if quiet_at is not None else _first_quiet(samples)
            now = samples[-1][0]
            if now > _GIVE_UP_S or (quiet_at is not None and now > quiet_at + _STAYS_S and _stays(samples, quiet_at)):
                break
            if quiet_at is not None and now > quiet_at + _STAYS_S:
                self.found["quiet_for_a_moment_only"] += 1
                quiet_at = _first_quiet([item for item in samples if item[0] > quiet_at + WINDOW_S])
        self.stopped_s.append(quiet_at if quiet_at is not None else _GIVE_UP_S)
        if self.stopped_s[-1] > _EXPECTED_S and before is not None:
            after = tree.by_process()
            spent = {name: round((after[name] - before.get(name, 0)) / 1e6) for name in after}
            ms = round(self.stopped_s[-1] * 1000)
            self.late.append({"quiet_ms": ms, "cpu_ms_later": {name: used for name, used in spent.items() if used}})
        self.rays_share.append((tree.used["ray"] - rays) / 1e9 / samples[-1][0])

    def result(self) -> dict[str, Any]:
        """What was measured."""
        ms = sorted(round(seconds * 1000) for seconds in self.stopped_s)
        return {
            "benchmark": "from the first word of activity until the process tree is quiet",
            "machine": describe_machine(),
            "engine": self.engine,
            "onsets": len(ms),
            "quiet_ms": {
                "median": round(statistics.median(ms)),
                "p95": ms[min(len(ms) - 1, int(0.95 * len(ms)))],
                "p99": ms[min(len(ms) - 1, int(0.99 * len(ms)))],
                "max": ms[-1],
            },
            "latest": sorted(self.late, key=lambda item: -int(item["quiet_ms"]))[:5],
            "work_again_ms_median": round(statistics.median(self.began_s) * 1000),
            "frames_a_round": 5 * len(self.screens),
            **dict(self.found),
            "rays_own_share_of_a_core": round(statistics.mean(self.rays_share), 4) if self.engine == "ray" else None,
            "asking_the_gate_in_a_run_in_peace": self.overhead,
        }


def altered_screens(folder: Path, shades: int) -> list[Screen]:
    """The bundled screens in other shades: the same text, and no pixel that a cache knows."""
    folder.mkdir(parents=True)
    screens: list[Screen] = []
    for shade in range(1, shades + 1):
        for payload, blob, others in bundled_screens():
            with Image.open(blob) as image:
                pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
            stream = io.BytesIO()
            Image.fromarray(np.minimum(pixels, 255 - 3 * shade) + np.uint8(3 * shade)).save(stream, "PNG")
            content = stream.getvalue()
            path = folder / f"{len(screens)}.png"
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            own = {**payload, "content_hash": digest, "content_size": len(content), "content_type": "image/png"}
            screens.append((own, path, others))
    return screens


def _first_quiet(samples: list[tuple[float, int]]) -> float | None:
    """From when on a window of 100 ms held little, if the last samples show one."""
    end, used = samples[-1]
    start = next((item for item in reversed(samples) if item[0] <= end - WINDOW_S), None)
    if start is None or used - start[1] > SHARE * (end - start[0]) * 1e9:
        return None
    return start[0]


def _stays(samples: list[tuple[float, int]], quiet_at: float) -> bool:
    start = next(item for item in samples if item[0] >= quiet_at)
    end = samples[-1]
    return end[1] - start[1] <= SHARE * (end[0] - start[0]) * 1e9


def _all_done(root: DataRoot) -> bool:
    if not root.catalog_db.exists() or not root.text_index.exists():
        return False
    with Catalog(root, read_only=True) as catalog:
        told = json.loads(catalog.mark("last_attempt") or "{}")
    return bool(told.get("reason") == "nothing to do")


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process, of those below it, and of those that have ended."""
    process = psutil.Process(pid)
    return sum(sum(item.cpu_times()[:4]) for item in [process, *process.children(recursive=True)])


def _stop_servers(root: DataRoot) -> None:
    for kind in KINDS:
        stop_server(root, kind)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onsets", type=int, default=1000)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shades", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to work; left there")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as scratch:
        bench = Bench(given.folder or Path(scratch), given.engine, given.seed, given.shades)
        while len(bench.stopped_s) < given.onsets:
            bench.round(given.onsets)
        print(json.dumps(bench.result(), indent=2))
    sys.exit(1 if bench.found["fact_files_that_differ"] else 0)


if __name__ == "__main__":
    main()
