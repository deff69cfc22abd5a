"""Rounds of work that a user disturbs: a worker reads a DataRoot to its end, and is disturbed at random moments."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench_data_root import Screen, build_data_root
from bench_gate_figures import Figures
from bench_gate_onset import WINDOW_S, Tree, measure_onset
from bench_gate_peace import stop_servers
from bench_gate_sidecar import Sidecar
from stress_servers import fact_rows

from pipeline.dataroot import DataRoot
from pipeline.stores.catalog import Catalog

_BEGINS_WITHIN_S = 30.0
_WORKS = 0.2
"""The share of a core from which on somebody works."""

_SETTINGS = {"resume_hold_s": "0.2", "ocr_memo_mb": "0"}
Rows = dict[str, str]


class Rounds:
    """Each reads a DataRoot of its own; one that an earlier call left unfinished is read on."""

    def __init__(
        self, folder: Path, engine: str, seed: int, given: tuple[list[Screen], int], expected: Rows, figures: Figures
    ) -> None:
        self._folder, self._engine, self._given = folder, engine, given
        self._expected, self._figures = expected, figures
        self._random = random.Random(f"{seed} {figures.onsets}")

    def go_on(self, onsets: int, ends_at: float) -> None:
        """Read one DataRoot, with up to so many onsets in all; to its end, unless the time is over before."""
        root = DataRoot(self._folder / f"round-{self._engine}-{self._figures.rounds}")
        if not root.path.exists():
            build_data_root(root, self._given[1], given=self._given[0])
        user = Sidecar(root)
        worker = self._start(root)
        try:
            read_to_its_end = self._disturb(worker, user, root, onsets, ends_at)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
            user.end()
            stop_servers(root)
        if read_to_its_end:
            self._compare(fact_rows(root))
            shutil.rmtree(root.path)

    def _start(self, root: DataRoot) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is ready: to start Python and to import is no work that could be ended."""
        ready, log_file = self._folder / "ready", self._folder / "worker.log"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pipeline", "--data-root", str(root.path), "worker", "--engine", self._engine]
        command += ["--ready-file", str(ready)]
        command += [part for name, value in _SETTINGS.items() for part in ("--set", f"{name}={value}")]
        with log_file.open("a") as log:
            worker = subprocess.Popen(command, stderr=log, stdout=log)
        while not ready.exists():
            if worker.poll() is not None:
                raise RuntimeError(f"the worker ended with {worker.returncode}; see {log_file}")
            time.sleep(WINDOW_S)
        return worker

    def _disturb(
        self, worker: subprocess.Popen[bytes], user: Sidecar, root: DataRoot, onsets: int, ends_at: float
    ) -> bool:
        """Returns whether all was read."""
        tree = Tree(worker.pid)
        while (began_s := self._work_begins(user, tree, root)) is not None:
            if time.monotonic() > ends_at:
                return False
            if self._figures.onsets < onsets:
                time.sleep(self._random.uniform(0, 1))
                self._figures.tell(work_again_ms=round(began_s * 1000), **measure_onset(user, tree))
        return True

    def _work_begins(self, user: Sidecar, tree: Tree, root: DataRoot) -> float | None:
        """Let the user go, and wait until there is work; returns how long that took, None when all is done."""
        left_at = user.say(active=False)
        while (waited_s := time.monotonic() - left_at) < _BEGINS_WITHIN_S:
            before = tree.look()
            time.sleep(WINDOW_S)
            if _all_done(root):
                return None
            if tree.look() - before > _WORKS * WINDOW_S * 1e9:
                return waited_s
        raise RuntimeError(f"nothing was done within {_BEGINS_WITHIN_S:g} s; see {self._folder / 'worker.log'}")

    def _compare(self, rows: Rows) -> None:
        names = rows.keys() | self._expected.keys()
        differ = sorted(name for name in names if rows.get(name) != self._expected.get(name))
        self._figures.tell(fact_files=len(names), fact_files_that_differ=len(differ), which=differ)


def _all_done(root: DataRoot) -> bool:
    if not root.catalog_db.exists() or not root.text_index.exists():
        return False
    with Catalog(root, read_only=True) as catalog:
        told = json.loads(catalog.mark("last_attempt") or "{}")
    return bool(told.get("reason") == "nothing to do")
