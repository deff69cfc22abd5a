"""A bundle's members, put where they go: written whole beside, made durable, then given their name."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from pipeline.bundles.listing import Listed, Listing
from pipeline.bundles.names import LINES, REMEDY
from pipeline.bundles.outcome import Watch
from pipeline.bundles.reading import BundleReader, Content
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.ingest.handoff_directory import path_text
from pipeline.ingest.place_files import STAGING, holds
from pipeline.stores.atomic import DirectorySync


def require_room(root: DataRoot, listing: Listing) -> None:
    """Raises ContractInvalid when the disk has no room for what is new."""
    count, _, _, size = listing.totals()
    usage, inodes = shutil.disk_usage(root.path), os.statvfs(root.path)
    if size > usage.free or (inodes.f_files and count > inodes.f_favail):
        raise ContractInvalid(
            f"the bundle needs {size:,} bytes in {count} files; {usage.free:,} in {inodes.f_favail} are free",
            remedy="make room, or restore into a DataRoot on another disk; nothing was changed",
        )


class MemberPlacer:
    """Puts members into a DataRoot; all of them are durable when `place_all` returns."""

    def __init__(self, root: DataRoot, listing: Listing, *, known_durable: bool) -> None:
        """`known_durable` tells that a restore of this bundle ended: what it put there need not be synced again."""
        self._root, self._listing, self._known_durable = root, listing, known_durable
        self._sync = DirectorySync(root.path)

    def place_all(self, bundle: BundleReader, watch: Watch) -> int:
        """Walk the bundle once more and write what is new; returns how many files. Raises ContractInvalid, OSError."""
        added = 0
        watch.start("restore", self._listing.totals()[0])
        for member, content in bundle.walk():
            listed = self._listing.member(member.path)
            if listed is None or (listed.size, listed.sha256) != (member.size, member.sha256):
                raise ContractInvalid("the bundle changed while it was restored", remedy="run the same command again")
            if listed.target is not None:
                added += self._place(listed, listed.target, content)
            watch.advance(1)
        self._sync.flush()
        return added

    def _place(self, member: Listed, target: str, content: Content) -> bool:
        """Put one member in its place; tells whether it was not there before."""
        if self._known_durable and not member.is_new:
            return False
        place = self._root.path / target
        self._sync.make(place.parent)
        if member.is_new:
            self._write(member, place, content)
        else:
            _make_durable(place)
        self._sync.entered(place.parent)
        return member.is_new

    def _write(self, member: Listed, place: Path, content: Content) -> None:
        # Beside where it goes: `media` may be a link to another disk.
        staging = (self._root.media if place.is_relative_to(self._root.media) else self._root.handoffs) / STAGING
        self._sync.make(staging)
        temporary = staging / uuid.uuid4().hex
        try:
            with temporary.open("xb") as file:
                for block in content.blocks():
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            content.require_whole()
            self._require_free(member, place)
            temporary.rename(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _require_free(self, member: Listed, place: Path) -> None:
        """Where names differ in case only, some file systems see one file: it was free before, and is not now."""
        if member.part in LINES or not os.path.lexists(place):
            return
        target = str(place.relative_to(self._root.path))
        if holds(self._root, target, None, member.sha256 or "") is False:
            raise ContractInvalid(
                f"two members of the bundle are one file on this file system: {path_text(target)}", remedy=REMEDY
            )


def _make_durable(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
