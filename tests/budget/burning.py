"""Processes that work, for tests of budgets: one that burns a processor, one that takes memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BURN = "print('ready', flush=True)\nwhile True: pass"
_TAKE = """import sys
kept = bytearray(int(sys.argv[1]))
kept[::4096] = b'x' * len(kept[::4096])
print('ready', flush=True)
sys.stdin.read()"""


@contextmanager
def burner() -> Iterator[subprocess.Popen[str]]:
    """A process that uses all it gets of a processor."""
    with _process(_BURN) as process:
        yield process


@contextmanager
def hog(size: int) -> Iterator[subprocess.Popen[str]]:
    """A process that holds so many bytes of memory."""
    with _process(_TAKE, str(size)) as process:
        yield process


@contextmanager
def _process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def state_of(pid: int) -> str:
    """The letter of a process's state: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def cpu_s(pid: int) -> float:
    """What a process used of a processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def until_burnt(pid: int, seconds: float) -> None:
    """Wait until a process has used so much more of a processor, however little it gets."""
    goal, deadline = cpu_s(pid) + seconds, time.monotonic() + 30
    while cpu_s(pid) < goal and time.monotonic() < deadline:
        time.sleep(0.01)
