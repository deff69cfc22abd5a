"""An ingest in a process of its own that meets one fault: killed or refused by strace, or lied to by `fault_shim.c`.

The process is the interpreter itself, forked with all modules loaded: strace is attached to it before it begins, so
that calls are counted from the command's first one and none of Python's start is among them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest_scenarios import LONGEST_S, Workplace, run_command, run_in_child

CHANGING = (
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "fsync", "fdatasync", "sync_file_range", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat",
    "ftruncate", "truncate", "fallocate", "utimensat", "fchmod", "fchmodat", "chmod", "fchown", "copy_file_range",
    "sendfile", "splice",
)  # fmt: skip
READING = ("read", "pread64", "readv", "preadv", "getdents64")
"""What reads evidence; the opens that create nothing are swept with them."""
ASKING = ("newfstatat", "fstat", "statx", "fcntl", "flock")
"""What asks for metadata and locks; refused once each."""

_LINE = re.compile(r"^(\d+) +(\w+)\((.*)")
_SHIM = Path(__file__).with_name("fault_shim.c")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the n-th call of a name."""

    call: str
    nth: int
    what: str
    """KILL, EIO or ENOSPC: instead of the call. EIO-AFTER: it is done, then an error reported. SHORT: half a write."""
    onwards: bool = False
    """Not only then, but from then on."""

    def __str__(self) -> str:
        """Name the fault so that it can be found again."""
        return f"{self.call}#{self.nth}{'+' if self.onwards else ''}={self.what}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the process ended, and whether it met its fault."""

    code: int
    fired: bool


def can_trace() -> bool:
    """Tell whether strace is there and may trace."""
    strace = shutil.which("strace")
    return strace is not None and not subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode


def build_shim(folder: Path) -> Path | None:
    """Compile the shim; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "fault_shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SHIM, "-ldl"], check=True)
    return library


def run_traced(
    workplace: Workplace,
    calls: Sequence[str],
    options: Sequence[str],
    log: Path,
    prepare: Callable[[], object] = lambda: None,
) -> int:
    """Run the command over what lies in `base` with strace attached from its first call on; returns its exit code."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        prepare()
        run_in_child(workplace.command(), lambda: os.read(reader, 1))
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-p", str(child), "-o", str(log), "-e", f"trace={','.join(calls)}", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_traced(child, tracer)
        os.write(writer, b"x")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(reader)
        os.close(writer)
        tracer.wait(LONGEST_S)
    return code


def traced_points(workplace: Workplace) -> list[Fault]:
    """List the faults to inject: of an undisturbed run, each call that touches the DataRoot or a handoff."""
    workplace.renew()
    log = workplace.base.with_name("points.log")
    code = run_traced(workplace, [*CHANGING, *READING, *ASKING, "openat", "open"], [], log)
    if code != 0:
        raise AssertionError(f"an undisturbed ingest ended with {code} when traced")
    counts: Counter[tuple[str, str]] = Counter()
    sites: dict[tuple[str, int], bool] = {}
    for line in log.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            process, call, rest = match.groups()
            counts[process, call] += 1
            if str(workplace.base) in rest:
                site = (call, counts[process, call])
                sites[site] = sites.get(site, False) or call in CHANGING or "O_CREAT" in rest
    return [fault for (call, nth), changes in sites.items() for fault in _faults(call, nth, changes)]


def trace_attempt(workplace: Workplace, fault: Fault) -> Attempt:
    """Run the command over what lies in `base`, and have strace inject the fault."""
    log = workplace.base.with_name("attempt.log")
    what = "signal=KILL" if fault.what == "KILL" else f"error={fault.what}"
    inject = f"inject={fault.call}:{what}:when={fault.nth}{'+' if fault.onwards else ''}"
    code = run_traced(workplace, [fault.call], ["-e", inject], log)
    text = log.read_text(errors="replace")
    if fault.what == "KILL":
        return Attempt(code, "+++ killed by SIGKILL +++" in text)
    place = str(workplace.base)
    return Attempt(code, any("(INJECTED)" in line and place in line for line in text.splitlines()))


def shim_points(workplace: Workplace) -> list[Fault]:
    """List the faults of the shim, which must be preloaded: each call that changes something, done and then refused."""
    workplace.renew()
    log = workplace.base.with_name("points.log")
    code = run_command(workplace.command(), lambda: _arm(workplace, "", 0, 0, False, log))
    if code != 0:
        raise AssertionError(f"an undisturbed ingest ended with {code} when counted")
    counts = Counter(log.read_text().split())
    return [
        Fault(call, nth, what, onwards)
        for call, total in sorted(counts.items())
        for nth in range(1, total + 1)
        for what in (("EIO-AFTER", "SHORT") if call in ("write", "pwrite64") else ("EIO-AFTER",))
        for onwards in ((False, True) if what == "EIO-AFTER" else (False,))
    ]


def shim_attempt(workplace: Workplace, fault: Fault) -> Attempt:
    """Run the command over what lies in `base` with the shim armed."""
    log = workplace.base.with_name("attempt.log")
    number = 0 if fault.what == "SHORT" else errno.EIO
    code = run_command(workplace.command(), lambda: _arm(workplace, fault.call, fault.nth, number, fault.onwards, log))
    return Attempt(code, log.read_text().split().count(fault.call) >= fault.nth)


def attempt(workplace: Workplace, fault: Fault) -> Attempt:
    """Run the command with a fault of either kind."""
    make = shim_attempt if fault.what in ("EIO-AFTER", "SHORT") else trace_attempt
    return make(workplace, fault)


def _faults(call: str, nth: int, changes: bool) -> list[Fault]:
    if call in ASKING:
        return [Fault(call, nth, "EIO")]
    if not changes:
        return [Fault(call, nth, "EIO", onwards) for onwards in (False, True)]
    errors = [Fault(call, nth, what, onwards) for what in ("EIO", "ENOSPC") for onwards in (False, True)]
    return [Fault(call, nth, "KILL"), *errors]


def _wait_until_traced(child: int, tracer: subprocess.Popen[bytes]) -> None:
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        if tracer.poll() is not None:
            os.kill(child, signal.SIGKILL)
            raise AssertionError("strace could not be attached")
        time.sleep(0.001)


def _arm(workplace: Workplace, call: str, nth: int, number: int, onwards: bool, log: Path) -> None:
    arm = ctypes.CDLL(None).fault_arm
    arm(os.fsencode(workplace.base), call.encode(), ctypes.c_long(nth), number, int(onwards), os.fsencode(log))
