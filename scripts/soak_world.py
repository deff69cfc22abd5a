"""The world of a soak: a user who comes and goes, handoffs that arrive, servers killed, a full disk."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench_data_root import build_data_root

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import KINDS, own_servers
from schemas.fields import utc_text

DISK_BYTES = 768 << 20
_LEFT_BYTES = 48 << 10
_SIGNAL_EVERY_S = 0.1
_BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)


class World:
    """Everything that happens around the commands, by a seed; each part in a thread of its own."""

    def __init__(self, root: DataRoot, spool: Path, seed: int, seconds: float, *, can_fill: bool) -> None:
        self.happened: Counter[str] = Counter()
        self.handoffs: list[Path] = []
        self._root, self._spool, self._seconds = root, spool, seconds
        self._full: list[tuple[float, float]] = []
        self._random = random.Random(seed)
        self._can_fill = can_fill
        self._calm = threading.Event()
        self._over = threading.Event()
        self._active = False

    @contextmanager
    def turning(self) -> Iterator[World]:
        """Let all of it happen while the block runs; after `calm_down` only the signal goes on."""
        parts: list[Callable[[], None]] = [self._signal, self._user, self._arrivals, self._kills]
        parts += [self._fill_up] if self._can_fill else []
        threads = [threading.Thread(target=part, name=part.__name__, daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._calm.set()
            self._over.set()
            for thread in threads:
                thread.join()

    def calm_down(self) -> None:
        """From now on the user is away, and nothing breaks or arrives."""
        self._calm.set()
        self._active = False

    def was_full(self, since: float) -> bool:
        """Whether the disk was full at any moment since then, by the monotonic clock."""
        return any(ended >= since for _, ended in self._full)

    def prepare(self, handoffs: int, frames: int, folder: Path) -> None:
        """Build the handoffs that will arrive: runs of their own, an hour apart, some on the day of others."""
        for number in range(handoffs):
            path = folder / f"handoff-{number:05}"
            build_data_root(DataRoot(path), frames, f"soak-{number:05}", _BEGIN + timedelta(hours=number))
            self.handoffs.append(path)

    def _signal(self) -> None:
        path = self._root.activity_signal()
        sequence = 0
        idle_since = time.monotonic()
        while not self._over.wait(_SIGNAL_EVERY_S):
            if self._active:
                idle_since = time.monotonic()
            sequence += 1
            content = {"ts_utc": utc_text(datetime.now(UTC)), "idle_seconds": round(time.monotonic() - idle_since, 3),
                       "user_active": self._active, "seq": sequence}  # fmt: skip
            with suppress(OSError):  # a sidecar on a full disk cannot tell either
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(".signal")
                temporary.write_text(json.dumps(content))
                temporary.replace(path)

    def _user(self) -> None:
        while not self._calm.is_set():
            self._rest(6, 18)
            if not self._calm.is_set():
                self._active = True
                self.happened["user came back"] += 1
            self._rest(1, 5)
            self._active = False

    def _arrivals(self) -> None:
        for path in list(self.handoffs):
            path.rename(self._spool / path.name)
            self.happened["handoff arrived"] += 1
            self._calm.wait(self._seconds * 0.8 / len(self.handoffs))

    def _kills(self) -> None:
        while not self._calm.is_set():
            self._rest(9, 27)
            processes = own_servers(self._root).processes()
            if processes and not self._calm.is_set():
                kind = self._random.choice(sorted(processes))
                whom = self._random.choice(["server"] * 4 + ["keeper"])
                pid = processes[kind][-1 if whom == "keeper" else 0]
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.happened[f"{whom} killed"] += 1

    def _fill_up(self) -> None:
        ballast = self._root.path.parent / "ballast"
        while not self._calm.is_set():
            self._rest(self._seconds / 12, self._seconds / 6)
            if self._calm.is_set():
                break
            self._full.append((time.monotonic(), math.inf))
            _fill(ballast)
            self.happened["disk filled up"] += 1
            self._rest(3, 8)
            ballast.unlink(missing_ok=True)
            self._full[-1] = (self._full[-1][0], time.monotonic())

    def _rest(self, least_s: float, most_s: float) -> None:
        self._calm.wait(self._random.uniform(least_s, most_s))


def _fill(ballast: Path) -> None:
    """Leave almost nothing free, and fill what is freed again for a moment."""
    with ballast.open("wb") as file, suppress(OSError):
        for _ in range(5):
            place = os.statvfs(ballast)
            free = place.f_bavail * place.f_frsize - _LEFT_BYTES
            if free > 0:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
                file.seek(0, os.SEEK_END)
            time.sleep(0.2)


@contextmanager
def small_disk(folder: Path, size: int = DISK_BYTES) -> Iterator[str]:
    """Mount a small disk in memory on a folder; gives why that could not be, empty when it could."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        yield "" if done.returncode == 0 else f"no small disk could be mounted: {done.stderr.strip()}"
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def end_servers(root: DataRoot) -> None:
    """End all servers of a DataRoot."""
    from pipeline.runs.servers import stop_server

    for kind in KINDS:
        stop_server(root, kind)
