"""Where Ray writes, and which processes are its: in `derived/tmp/ray-*`, private to the user, removed with them.

Every process that Ray starts holds a log there open for writing: by that the next run, which has the run lock, knows
the processes of a dead one, whatever became of its driver. A `worker` has its Ray stay between two runs: that it lives
is shown by a lock.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.stores.lock import is_locked

_LINK, _HELD = "link", "held"
_PREFIX = "ray-"
_LONGEST_LINK = 40
_KILLED_S = 5.0
_GIVE_UP_S = 20.0
"""A process that hangs in the kernel can be neither ended nor waited for."""

log = logging.getLogger("pipeline")


def make_folder(root: DataRoot) -> Path:
    """Make a private folder in the DataRoot for one Ray."""
    root.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root.scratch))


def hold_folder(folder: Path) -> int:
    """Show, until the descriptor is closed or this process is dead, that a folder is no leftover. Raises OSError."""
    held = os.open(folder / _HELD, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # a file system without such locks: at rest, Ray is taken for a leftover, and starts anew
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return held


def remove_leftovers(root: DataRoot) -> None:
    """End the Ray processes of runs that died and remove their files. Needs the run lock."""
    for folder in sorted(root.scratch.glob(f"{_PREFIX}*")):
        if _is_held(folder):
            continue
        ended = remove_folder(folder, patience_s=0)
        log.warning("an earlier run had left Ray behind: %d processes ended", ended)


def link_to(folder: Path) -> Path:
    """Make a short way to a folder: the path of a Unix socket may have only 107 bytes. Raises Unavailable."""
    link = Path(tempfile.mkdtemp(prefix="ap-")) / "r"
    (folder / _LINK).write_text(str(link))
    if len(os.fsencode(link)) > _LONGEST_LINK:
        raise Unavailable(f"the folder for temporary files, {link.parent.parent}, has too long a path for Ray",
                          remedy="TMPDIR=/tmp pipeline run")  # fmt: skip
    link.symlink_to(folder)
    return link


def remove_folder(folder: Path, patience_s: float) -> int:
    """Remove a folder and its link once nothing writes there any more; returns how many processes had to be killed."""
    deadline = time.monotonic() + patience_s
    killed = 0
    while (found := processes_of(folder)) and time.monotonic() < deadline + _GIVE_UP_S:
        if time.monotonic() >= deadline:
            for process in found:
                with suppress(psutil.Error):
                    process.kill()  # compares the time of its start: never a later process with its number
                    killed += 1
            psutil.wait_procs(found, timeout=_KILLED_S)
        time.sleep(0.05)
    remove_files(folder)
    return killed


def remove_files(folder: Path) -> None:
    """Remove a folder where nobody writes any more, and its link."""
    with suppress(OSError, UnicodeDecodeError):
        link = Path((folder / _LINK).read_text())
        if link.is_symlink() and link.readlink() == folder:
            link.unlink()
        link.parent.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes of this user, but not this one, that have a file in the folder open for writing."""
    inside = f"{folder.resolve()}/"
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())
    return [process for process in others if any(path.startswith(inside) for path in _written_by(process.pid))]


def _is_held(folder: Path) -> bool:
    with suppress(OSError):
        return is_locked(folder / _HELD)
    return False


def _written_by(pid: int) -> Iterator[str]:
    """Files that a process has open for writing; none for a process of somebody else."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        with suppress(OSError):
            if descriptor.lstat().st_mode & stat.S_IWUSR:
                yield str(descriptor.readlink())
