"""Files of a handoff, put where they belong: linked or copied, never overwritten, durable `[handoff-4]`."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pipeline.dataroot import DataRoot
from pipeline.ingest.file_operations import Link
from pipeline.ingest.file_work import BATCH, FileWork
from pipeline.ingest.handoff_directory import Entry, HandoffDirectory, StillBeingWritten, hash_descriptor, path_text
from pipeline.stores.atomic import TEMPORARY_PREFIX, DirectorySync

STAGING = f"{TEMPORARY_PREFIX}ingest"
"""Copies in progress lie in a directory of this name beside what they will become: in `media/` and in `handoffs/`."""


class Mode(StrEnum):
    """How files enter the DataRoot: `hardlink` falls back to a copy where no link can be made."""

    hardlink = "hardlink"
    copy = "copy"


class Placement(NamedTuple):
    """One file of a handoff and its place, relative to the DataRoot."""

    source: Entry
    sha256: str
    target: str
    is_media: bool
    is_kept: bool
    """Whether that place holds this content already."""
    may_link: bool = True


@dataclass
class Placed:
    """What became of the files of one handoff."""

    new: list[Placement] = field(default_factory=list)
    old: list[Placement] = field(default_factory=list)
    """Those that were in their places before."""
    ways: dict[str, str] = field(default_factory=dict)
    """By target: `linked` or `copied`, for those that are new."""
    linking: list[tuple[list[Placement], Future[list[int]]]] = field(default_factory=list)
    """Those that are being linked, and which of them were not."""

    def wait(self) -> None:
        """Wait until nothing is being linked any more, whatever comes of it."""
        for _, linking in self.linking:
            linking.exception()

    def give_up(self) -> None:
        """Have nothing more linked; wait for what was begun."""
        for _, linking in self.linking:
            linking.cancel()
        for _, linking in self.linking:
            if not linking.cancelled():
                linking.exception()


class FilePlacer:
    """Puts files into a DataRoot; `finish` makes durable that they are there."""

    def __init__(self, root: DataRoot, mode: Mode) -> None:
        self._root = str(root.path)
        self._mode = mode
        self._sync = DirectorySync(root.path)
        self._entered = ""

    def place(self, directory: HandoffDirectory, placements: Sequence[Placement], work: FileWork) -> Placed:
        """Put files in their places, and their content on the disk.

        What is already there was compared before, so it is only made durable: the process that put it there may have
        died before that. `finish_placing` is to be called after it. Raises StillBeingWritten, OSError.
        """
        placed = Placed()
        links: list[Placement] = []
        copies: list[Placement] = []
        for placement in placements:
            self._enter(f"{self._root}/{placement.target}")
            if placement.is_kept:
                placed.old.append(placement)
            elif self._mode is Mode.hardlink and placement.may_link:
                links.append(placement)
            else:
                copies.append(placement)
        placed.new = [*links, *copies]
        try:
            self._place(directory, placed, links, copies, work)
        except BaseException:
            placed.give_up()
            raise
        return placed

    def _place(
        self,
        directory: HandoffDirectory,
        placed: Placed,
        links: list[Placement],
        copies: list[Placement],
        work: FileWork,
    ) -> None:
        for start in range(0, len(links), BATCH):
            batch = links[start : start + BATCH]
            placed.linking.append((batch, work.link(directory.place, [self._link(directory, one) for one in batch])))
        for placement in copies:
            self._copy(directory, placement)
            placed.ways[placement.target] = "copied"
        for placement in placed.old:
            _fsync_file(f"{self._root}/{placement.target}")

    def finish_placing(self, directory: HandoffDirectory, placed: Placed) -> None:
        """Wait until all are in their places; what could not be linked is copied. Raises StillBeingWritten, OSError."""
        placed.wait()
        for batch, linking in placed.linking:
            unlinked = set(linking.result())
            placed.ways.update((one.target, "linked") for one in batch)
            for position in unlinked:
                self._copy(directory, batch[position])
                placed.ways[batch[position].target] = "copied"

    def _enter(self, target: str) -> None:
        folder = target.rpartition("/")[0]
        if folder != self._entered:
            self._sync.make(Path(folder))
            self._sync.entered(Path(folder))
            self._entered = folder

    def _link(self, directory: HandoffDirectory, placement: Placement) -> Link:
        source = placement.source
        return Link(source, f"{self._root}/{placement.target}", sync=not directory.is_synced(source))

    def make(self, directory: Path) -> None:
        """Create a directory of the DataRoot, durable after `finish`."""
        self._sync.make(directory)
        self._sync.entered(directory)

    def finish(self) -> None:
        """Make the directories durable that gained entries. Raises OSError."""
        self._entered = ""
        self._sync.flush()

    def _copy(self, directory: HandoffDirectory, placement: Placement) -> None:
        """Copy through a temporary file; a rename shows it whole or not at all. What came to lie there meanwhile stays.

        Raises StillBeingWritten, OSError.
        """
        target = f"{self._root}/{placement.target}"
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        staging = Path(self._root, placement.target.partition("/")[0], STAGING)
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
    found = os.lstat(f"{root}/{placement.target}")
    same = (found.st_ino, found.st_dev) == (placement.source.inode, placement.source.device)
    return "linked" if same else "copied"


def holds(root: DataRoot, target: str, source: Entry | None, sha256: str) -> bool | None:
    """Tell whether a place in the DataRoot holds a content; None when nothing is there. Raises OSError."""
    try:
        descriptor = os.open(f"{root}/{target}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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


def staging_folders(root: DataRoot) -> list[Path]:
    """Folders of copies and snapshots in progress; those that are there when an ingest begins, a crash left."""
    fixed = [folder for folder in (root.media / STAGING, root.handoffs / STAGING) if folder.is_dir()]
    return [*fixed, *root.scratch.glob(f"{STAGING}-*")]


def remove_staging(root: DataRoot) -> None:
    """Remove what a crash left of copies and snapshots in progress. Only the holder of the ingest lock may."""
    for folder in staging_folders(root):
        shutil.rmtree(folder, ignore_errors=True)


def _fsync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
