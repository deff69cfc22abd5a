"""Files of a handoff, put where they belong: linked or copied, never overwritten, durable `[handoff-4]`."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.ingest.handoff_directory import Entry, HandoffDirectory, StillBeingWritten, hash_descriptor, path_text
from pipeline.stores.atomic import TEMPORARY_PREFIX, DirectorySync

STAGING = f"{TEMPORARY_PREFIX}ingest"
"""Copies in progress lie in a directory of this name beside what they will become: in `media/` and in `handoffs/`."""

_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK}


class Mode(StrEnum):
    """How files enter the DataRoot: `hardlink` falls back to a copy where no link can be made."""

    hardlink = "hardlink"
    copy = "copy"


@dataclass(frozen=True, slots=True)
class Placement:
    """One file of a handoff and its place, relative to the DataRoot."""

    source: Entry
    sha256: str
    target: str
    is_media: bool
    may_link: bool = True


class FilePlacer:
    """Puts files into a DataRoot; `finish` makes durable that they are there."""

    def __init__(self, root: DataRoot, mode: Mode) -> None:
        self._root = root.path
        self._mode = mode
        self._sync = DirectorySync(root.path)

    def place(self, directory: HandoffDirectory, placement: Placement) -> bool:
        """Put one file in its place, and its content on the disk; tells whether it was not there before.

        What is already there was compared before, so it is only made durable: the process that put it there may have
        died before that. Raises StillBeingWritten, OSError.
        """
        target = self._root / placement.target
        self._sync.make(target.parent)
        is_new = not os.path.lexists(target)
        if not is_new:
            _fsync_file(target)
        elif not (self._mode is Mode.hardlink and placement.may_link and _link(directory, placement, target)):
            self._copy(directory, placement, target)
        self._sync.entered(target.parent)
        return is_new

    def make(self, directory: Path) -> None:
        """Create a directory of the DataRoot, durable after `finish`."""
        self._sync.make(directory)
        self._sync.entered(directory)

    def finish(self) -> None:
        """Make the directories durable that gained entries. Raises OSError."""
        self._sync.flush()

    def _copy(self, directory: HandoffDirectory, placement: Placement, target: Path) -> None:
        """Copy through a temporary file; a rename shows it whole or not at all."""
        staging = self._root / Path(placement.target).parts[0] / STAGING
        staging.mkdir(exist_ok=True)
        temporary = staging / uuid.uuid4().hex
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR
        )
        try:
            try:
                if directory.copy_file(placement.source, descriptor) != placement.sha256:
                    raise StillBeingWritten(f"{path_text(placement.source.path)} changed after it was hashed")
                os.utime(descriptor, ns=(placement.source.mtime_ns, placement.source.mtime_ns))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def kept_as(root: DataRoot, placement: Placement) -> str:
    """Tell how a placed file is kept: `linked` when it is the handoff's own inode, else `copied`. Raises OSError."""
    found = os.lstat(root.path / placement.target)
    same = (found.st_ino, found.st_dev) == (placement.source.inode, placement.source.device)
    return "linked" if same else "copied"


def holds(root: DataRoot, target: str, source: Entry | None, sha256: str) -> bool | None:
    """Tell whether a place in the DataRoot holds a content; None when nothing is there. Raises OSError."""
    try:
        descriptor = os.open(root.path / target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return False
        if source is not None and (found.st_ino, found.st_dev) == (source.inode, source.device):
            return True
        return hash_descriptor(descriptor) == sha256
    finally:
        os.close(descriptor)


def remove_staging(root: DataRoot) -> None:
    """Remove what a crash left of copies and snapshots in progress. Only the holder of the ingest lock may."""
    for staging in (root.media / STAGING, root.handoffs / STAGING, *root.scratch.glob(f"{STAGING}-*")):
        shutil.rmtree(staging, ignore_errors=True)


def _link(directory: HandoffDirectory, placement: Placement, target: Path) -> bool:
    """Link the very inode that was hashed; tells whether that was possible."""
    linked = False
    try:
        with directory.opened(placement.source) as descriptor:
            # A producer need not have synced what it wrote, and once linked it is our evidence.
            os.fsync(descriptor)
            try:
                # With a directory descriptor Python uses linkat, which follows /proc's link to the open file itself.
                os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
            except OSError as error:
                if error.errno in _NO_LINK:
                    return False
                raise
            linked = True
    except StillBeingWritten:
        if linked:
            target.unlink(missing_ok=True)
        raise
    return True


def _fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
