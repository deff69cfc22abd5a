"""Disturb the pipeline for a long while as a hard life would, and look whether anything was lost, doubled or leaked.

    scripts/soak [--minutes 30] [--seed 1] [--everything] [--worker]

Handoffs of the bundled screens arrive in a spool; `pipeline ingest` and `pipeline run --until-done` are started again
and again, as cron would, or with --worker `pipeline worker` runs all the time. Meanwhile a signal says that the user
comes and goes, servers and keepers are killed, and the DataRoot's disk, a small one in memory where mounting is
permitted, fills up to the last 48 KiB. Then it gets calm; what is left is done, and every row is compared with those of
a DataRoot that was never disturbed. --everything embeds too. Prints one JSON object; exits with 1 when something is
wrong.

Memory is judged from five minutes on: that of the driver and that of each kind of server, the highest tenth of their
last quarter against that of the second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from bench_machine import describe_machine
from bench_recording import compare_facts
from soak_world import World, end_servers, small_disk

from pipeline.dag import STAGES
from pipeline.dataroot import REAP_MARKER, DataRoot
from pipeline.runs.servers import own_servers
from pipeline.stores.catalog import Catalog

FRAMES_IN_HANDOFF = 6
SECONDS_PER_HANDOFF = 6.0
GROWTH = 0.05
_JUDGED_FROM_S = 300.0
_ORDERLY = {"ingest": {0, 2, 3, 6}, "run": {0, 2, 3, 6}, "worker": {0, 130, 143}}
"""What commands may end with while the disk has room. A full disk may be told as 4 or 5, never as a bug."""
_WITH_FULL_DISK = {0, 2, 3, 4, 5, 6}
_LAST_TRIES = 8
_FEWEST = 10


class Soak:
    """One soak: its commands, what they ended with, how much memory they took."""

    def __init__(self, root: DataRoot, spool: Path, world: World, *, everything: bool, worker: bool) -> None:
        self.codes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.memory: list[tuple[float, str, int]] = []
        self._root, self._spool, self._world, self._worker = root, spool, world, worker
        self._work = work_command(everything=everything)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._began = time.monotonic()

    def go_on(self, seconds: float) -> None:
        """Keep the commands going for so long."""
        ends = time.monotonic() + seconds
        due = {"ingest": 0.0, self._name: 0.0}
        while time.monotonic() < ends:
            for name in due:
                self._reap(name)
                has_store = name == "ingest" or self._root.metadata_db.exists()  # the first ingest makes it
                if has_store and name not in self._running and time.monotonic() >= due[name]:
                    self._start(name)
                    due[name] = time.monotonic() + 1.0
            self._measure()
            time.sleep(0.5)

    def finish(self) -> None:
        """Do what is left, as long as something is."""
        for name in list(self._running):
            if name == "worker":
                self._running[name].send_signal(signal.SIGTERM)
            self._running[name].wait(300)
            self._reap(name)
        for _ in range(_LAST_TRIES):
            codes = [self._run_once("ingest"), self._run_once("run")]
            if codes == [2, 2]:
                return
        self.wrong.append(f"never done: the last ingest and run ended with {codes}")

    @property
    def _name(self) -> str:
        return "worker" if self._worker else "run"

    def _run_once(self, name: str) -> int:
        self._start(name)
        code = self._running[name].wait(900)
        self._reap(name)
        return code

    def _start(self, name: str) -> None:
        arguments = ["ingest", str(self._spool)] if name == "ingest" else [name, *self._work[name]]
        with (self._root.path.parent.parent / f"{name}.log").open("ab") as log:
            self._running[name] = start(self._root, *arguments, log=log)
        self._started[name] = time.monotonic()

    def _reap(self, name: str) -> None:
        process = self._running.get(name)
        if process is None or process.poll() is None:
            return
        del self._running[name]
        self.codes[f"{name} {process.returncode}"] += 1
        allowed = _WITH_FULL_DISK if self._world.was_full(self._started[name]) else _ORDERLY[name]
        if process.returncode not in allowed:
            self.wrong.append(f"{name} ended with {process.returncode} after {time.monotonic() - self._began:.0f} s")

    def _measure(self) -> None:
        now = time.monotonic() - self._began
        for kind, pids in own_servers(self._root).processes().items():
            self.memory.append((now, kind, _pss(pids[0])))
        if self._name in self._running:
            self.memory.append((now, "driver", _pss(self._running[self._name].pid)))


def main() -> int:
    """Parse, soak, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--everything", action="store_true", help="embeddings too, where they are installed")
    parser.add_argument(
        "--worker", action="store_true", help="`pipeline worker` instead of `pipeline run` again and again"
    )
    parser.add_argument(
        "--keep", type=Path, help="leave DataRoots and logs in this folder, which must not be there yet"
    )
    given = parser.parse_args()
    given.everything = given.everything or given.worker  # it has no choice of stages
    folder = Path(given.keep or tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(exist_ok=given.keep is None)
    try:
        with small_disk(folder / "disk") as why_not:
            result = soak(folder, given, why_not)
            if given.keep:
                shutil.copytree(folder / "disk" / "root", folder / "root")
    finally:
        if given.keep is None:
            shutil.rmtree(folder)
    print(json.dumps(result, indent=2))
    return 0 if result["ok"] else 1


def soak(folder: Path, given: argparse.Namespace, why_not: str) -> dict[str, Any]:
    """Disturb one DataRoot, leave another alone, compare."""
    seconds = given.minutes * 60
    root, calm = DataRoot(folder / "disk" / "root"), DataRoot(folder / "calm" / "root")
    spool, prepared = folder / "spool", folder / "prepared"
    for place in (spool, prepared, root.path, calm.path.parent):
        place.mkdir()
    world = World(root, spool, given.seed, seconds, can_fill=not why_not)
    world.prepare(max(2, round(seconds / SECONDS_PER_HANDOFF)), FRAMES_IN_HANDOFF, prepared)
    shutil.copytree(prepared, folder / "untouched")
    run = Soak(root, spool, world, everything=given.everything, worker=given.worker)
    try:
        with world.turning():
            run.go_on(seconds)
            world.calm_down()
            run.finish()
        undisturbed(calm, folder / "untouched", everything=given.everything)
        found = compare(root, calm, spool, len(world.handoffs) * FRAMES_IN_HANDOFF)
    finally:
        for data_root in (root, calm):
            end_servers(data_root)
    grown = growth(run.memory) if seconds >= _JUDGED_FROM_S else {}
    wrong = (
        run.wrong
        + found["wrong"]
        + [f"memory of {name} grew by {part:.1%}" for name, part in grown.items() if part > GROWTH]
    )
    return {
        "benchmark": "soak",
        "machine": describe_machine(),
        "minutes": given.minutes,
        "seed": given.seed,
        "disk": why_not or "filled up",
        "happened": dict(sorted(world.happened.items())),
        "ended_with": dict(sorted(run.codes.items())),
        "rows": found["rows"],
        "memory_highest_mb": {name: max(size for _, who, size in run.memory if who == name) >> 20
                              for name in sorted({who for _, who, _ in run.memory})},
        "memory_grew_by": {name: round(part, 4) for name, part in grown.items()},
        "wrong": wrong,
        "ok": not wrong,
    }  # fmt: skip


def work_command(*, everything: bool) -> dict[str, list[str]]:
    """The arguments of `run` and of `worker`."""
    stages = [] if everything else [item for stage in STAGES if not stage.model or stage.model == "ocr"
                                    for item in ("--stage", stage.name)]  # fmt: skip
    settings = ["--set", "resume_hold_s=1", "--set", "retry_backoff_s=0.5", "--set", "shard_frames=12"]
    return {"run": ["--until-done", *stages, *settings], "worker": [*stages, *settings]}


def start(root: DataRoot, *arguments: str, log: Any) -> subprocess.Popen[bytes]:
    """Start a command."""
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), *arguments, "--engine", "local"]
    command = command if arguments[0] != "ingest" else command[:-2]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)


def undisturbed(root: DataRoot, spool: Path, *, everything: bool) -> None:
    """Do the same work in peace. Raises CalledProcessError."""
    with (root.path.parent / "log").open("wb") as log:
        work = ["run", *work_command(everything=everything)["run"], "--assume-idle-when-missing"]
        for arguments in (["ingest", str(spool)], work):
            process = start(root, *arguments, log=log)
            if process.wait() != 0:
                raise subprocess.CalledProcessError(process.returncode, arguments)


def compare(root: DataRoot, calm: DataRoot, spool: Path, frames: int) -> dict[str, Any]:
    """What differs between the two, and what is not marked, not done or given up."""
    wrong = [f"{path.name} is not marked" for path in sorted(spool.iterdir()) if not (path / REAP_MARKER).exists()]
    rows = compare_facts(root.path, calm.path)
    wrong += [
        f"{counts['rows_that_differ']} rows of {name} differ"
        for name, counts in rows.items()
        if counts["rows_that_differ"]
    ]
    if rows["frames"]["rows"] != frames:
        wrong.append(f"{rows['frames']['rows']} frames instead of {frames}")
    with Catalog(root, read_only=True) as catalog:
        left = catalog.connection.execute("SELECT count(*) FROM outcomes WHERE status <> 'done'").fetchone()[0]
    if left:
        wrong.append(f"{left} samples failed or were given up")
    return {"rows": rows, "wrong": wrong}


def growth(memory: list[tuple[float, str, int]]) -> dict[str, float]:
    """By how much the highest tenth of the last quarter is above that of the second, for each who was there in both."""
    end = max(moment for moment, _, _ in memory)
    grown = {}
    for name in sorted({who for _, who, _ in memory}):
        quarters: dict[int, list[int]] = {1: [], 3: []}
        for moment, who, size in memory:
            quarter = min(3, int(moment / end * 4))
            if who == name and size and quarter in quarters:
                quarters[quarter].append(size)
        if all(len(sizes) >= _FEWEST for sizes in quarters.values()):
            before, after = (sorted(sizes)[int(len(sizes) * 0.9)] for sizes in quarters.values())
            grown[name] = after / before - 1
    return grown


def _pss(pid: int) -> int:
    with suppress(psutil.Error, OSError):
        return int(psutil.Process(pid).memory_full_info().pss)
    return 0


if __name__ == "__main__":
    sys.exit(main())
