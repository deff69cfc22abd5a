"""Files below an open directory: opened, hashed, made durable, linked, and proven to be the ones that were seen."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

from pipeline.ingest.look import DIRECTORY, Entry, StillBeingWritten, path_text
from pipeline.ingest.open_writers import is_open_for_writing

READ_BYTES = 1 << 18
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK}


class Inside:
    """Opens files below a directory, component by component, following no link anywhere. For one thread."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._folder = ""
        self._parent = os.dup(root)

    def close(self) -> None:
        """Let go of the directory that was opened last."""
        os.close(self._parent)

    def open(self, relative: str) -> int:
        """Raises StillBeingWritten when it is not there any more, OSError."""
        folder, _, name = relative.rpartition("/")
        try:
            if folder != self._folder:
                self._enter(folder)
            return os.open(name, _FILE, dir_fd=self._parent)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StillBeingWritten(f"{path_text(relative)} went away") from error

    def _enter(self, folder: str) -> None:
        descriptor = os.dup(self._root)
        for part in folder.split("/") if folder else ():
            descriptor = _open_and_close(part, descriptor)
        os.close(self._parent)
        self._parent, self._folder = descriptor, folder


def require_same(descriptor: int, entry: Entry) -> None:
    """Raises StillBeingWritten when an open file is not as it was seen, OSError."""
    found = os.fstat(descriptor)
    now = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
    if not stat.S_ISREG(found.st_mode) or now != (entry.size, entry.mtime_ns, entry.inode, entry.device):
        raise StillBeingWritten(f"{path_text(entry.path)} changed while it was read")


def require_finished(descriptor: int, entry: Entry) -> None:
    """Raises StillBeingWritten also when somebody has it open for writing, OSError."""
    require_same(descriptor, entry)
    if is_open_for_writing(descriptor):
        raise StillBeingWritten(f"{path_text(entry.path)} is open for writing")


def link_file(descriptor: int, entry: Entry, target: str, *, sync: bool) -> bool:
    """Link an open file, and close it; False where it cannot be, or something lies there already."""
    try:
        require_finished(descriptor, entry)
        if sync:
            os.fsync(descriptor)
        try:
            # With a directory descriptor Python uses linkat, which follows /proc's link to the open file itself.
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise
        try:
            require_same(descriptor, entry)
        except StillBeingWritten:
            Path(target).unlink()
            raise
        return True
    finally:
        os.close(descriptor)


def hash_descriptor(descriptor: int) -> str:
    """Hash what an open file holds from its present position on."""
    digest = hashlib.sha256()
    buffer = _buffer()
    while size := os.readv(descriptor, (buffer,)):
        digest.update(buffer[:size])
    return digest.hexdigest()


_of_thread = threading.local()


def _buffer() -> memoryview:
    """One for each thread: to ask the system for a new one costs as much as to hash a small file."""
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = memoryview(bytearray(READ_BYTES))
    buffer: memoryview = _of_thread.buffer
    return buffer


def _open_and_close(name: str, parent: int) -> int:
    try:
        return os.open(name, DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)
