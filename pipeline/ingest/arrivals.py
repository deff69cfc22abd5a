"""What changes below some directories: told by the kernel, or found by looking where the kernel cannot tell."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from pipeline.dataroot import REAP_MARKER

POLL_S = 5.0
_NO_CHANGE = {"opened", "closed_no_write"}
_TOLD_BY_NOBODY = {"9p", "drvfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "vboxsf", "fuse.sshfs", "virtiofs"}
"""File systems on which another machine, or the host, writes without this kernel knowing."""
_logger = logging.getLogger(__name__)


class Arrivals:
    """Directories under watch. Use as a context manager."""

    def __init__(self, *, must_poll: bool = False) -> None:
        self._changed: set[Path] = set()
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._is_stopping = threading.Event()
        self._handler = _Handler(self._note)
        self._watched: dict[Path, ObservedWatch] = {}
        self._must_poll = must_poll
        self._observer: BaseObserver = PollingObserver(timeout=POLL_S) if must_poll else Observer()

    def __enter__(self) -> Arrivals:
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()

    def follow(self, flat: Iterable[Path], deep: Iterable[Path]) -> None:
        """Watch these, the deep ones with all that is below them, and no others. What went away is passed over."""
        wanted = {path.absolute(): False for path in flat}
        wanted.update((path.absolute(), True) for path in deep)
        for path in [path for path, watch in self._watched.items() if wanted.get(path) is not watch.is_recursive]:
            self._observer.unschedule(self._watched.pop(path))
        for path, recursive in wanted.items():
            if path not in self._watched:
                self._watch(path, recursive=recursive)

    def wait(self, timeout_s: float) -> set[Path]:
        """Sleep until something changed, at most so long; returns what did since the last call."""
        self._awake.wait(min(timeout_s, threading.TIMEOUT_MAX))
        with self._lock:
            changed, self._changed = self._changed, set()
            if not self._is_stopping.is_set():
                self._awake.clear()
        return changed

    def pause(self, seconds: float) -> None:
        """Sleep, unless the watch is stopped meanwhile."""
        self._is_stopping.wait(seconds)

    def wake(self) -> None:
        """End every wait, for good."""
        self._is_stopping.set()
        self._awake.set()

    def _watch(self, path: Path, *, recursive: bool) -> None:
        if not self._must_poll and _file_system_of(path) in _TOLD_BY_NOBODY:
            self._poll_instead(f"{path} lies on a network or host file system")
        try:
            self._watched[path] = self._observer.schedule(self._handler, str(path), recursive=recursive)
        except FileNotFoundError:
            return
        except OSError as error:
            if self._must_poll:
                raise
            self._poll_instead(error.strerror or "inotify gave up")
            self._watch(path, recursive=recursive)

    def _poll_instead(self, why: str) -> None:
        _logger.warning("looking every %g s instead of being told: %s", POLL_S, why)
        self._observer.stop()
        self._observer.join()
        self._must_poll = True
        self._observer = PollingObserver(timeout=POLL_S)
        self._observer.start()
        watched, self._watched = self._watched, {}
        for path, watch in watched.items():
            self._watch(path, recursive=watch.is_recursive)

    def _note(self, paths: list[Path]) -> None:
        with self._lock:
            self._changed.update(paths)
        self._awake.set()


class _Handler(FileSystemEventHandler):
    def __init__(self, tell: Callable[[list[Path]], None]) -> None:
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by the observer's thread."""
        if event.event_type in _NO_CHANGE:
            return
        paths = [Path(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        told = [path for path in paths if REAP_MARKER not in path.name]
        if told:
            self._tell(told)


def _file_system_of(path: Path) -> str:
    """The type of the file system that a path lies on."""
    above = {str(path), *map(str, path.parents)}
    mounts = [part for part in psutil.disk_partitions(all=True) if part.mountpoint in above]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
