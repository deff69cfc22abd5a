"""Where a bundle's members go in a DataRoot: to their own place, or where that is taken beside it, never over anything.

| part | goes |
|---|---|
| blob of a record | to its canonical place; another content there is a conflict |
| other media | into `handoffs/<bundle>/`, as an ingest keeps what no record names |
| `handoffs/` | to its own place; another content there is a conflict |
| journal, ledger | to its own place where none is yet; nowhere if it is there and was only continued; else beside |
| settings | to its own place where there are none, nowhere if they are equal; else beside |
| UIA snapshot and its hash | to their own place, together, where there are none; else beside |
| activity, contract | beside: a restored signal is never the live one |

*Beside* is `handoffs/<bundle>/`, the folder named after what the bundle holds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.bundles.listing import Listed, Listing
from pipeline.bundles.names import LINES, REMEDY, Part, member_path
from pipeline.bundles.writing import read_blocks
from pipeline.dataroot import DataRoot, handoff_key
from pipeline.errors import ContractInvalid
from pipeline.ingest.check_handoff import Notes
from pipeline.ingest.handoff_directory import path_text
from pipeline.ingest.place_files import holds


def plan_places(root: DataRoot, listing: Listing, bundle: str, *, keep_database: bool, files_only: bool) -> Notes:
    """Note for every member where it goes; returns the places that hold another content.

    `files_only` leaves the DataRoot's own single files as they are: a bundle that was restored before has had its say.
    """
    plan = _Plan(root, listing, bundle, keep_database, files_only)
    for member in listing.members():
        target = plan.target(member)
        if target is not None:
            plan.set(member, target)
    return plan.faults


class _Plan:
    def __init__(self, root: DataRoot, listing: Listing, bundle: str, keep_database: bool, files_only: bool) -> None:
        self.faults = Notes()
        self._root, self._listing, self._bundle = root, listing, bundle
        self._keep_database, self._files_only = keep_database, files_only
        self._has_uia = self._differs(Part.uia)

    def target(self, member: Listed) -> str | None:
        """Where a member goes, relative to the DataRoot; None for nowhere."""
        part, path = member_path(member.path)
        beside = handoff_key(self._bundle, path)
        if part is Part.media:
            return path if member.claimed else beside
        if part is Part.handoffs:
            if path.split("/")[1] == self._bundle:
                raise ContractInvalid("the bundle has a member in a folder of its own name", remedy=REMEDY)
            return path
        if part is Part.database:
            return beside if self._keep_database else None
        if self._files_only:
            return None
        return self._single(member, part, path, beside)

    def set(self, member: Listed, target: str) -> None:
        """Note a place, unless it holds another content."""
        try:
            # A journal that was made and not written to yet gives way.
            found = None if self._is_empty(member, target) else self._holds(member, target)
        except OSError as error:
            self.faults.add(f"{path_text(target)!r} cannot be looked at: {error.strerror}")
            return
        if found is False:
            self.faults.add(f"the DataRoot holds another content at {path_text(target)}")
        else:
            self._listing.set_target(member.path, target, is_new=found is None)

    def _single(self, member: Listed, part: Part, path: str, beside: str) -> str | None:
        place = self._root.path / path
        if part in LINES:
            if not place.exists() or self._is_empty(member, path):
                return path
            return None if _begins_with(place, member) else beside
        if part is Part.settings:
            return beside if self._holds(member, path) is False else path
        if part is Part.uia:
            return beside if self._has_uia else path
        return beside

    def _holds(self, member: Listed, path: str) -> bool | None:
        return holds(self._root, path, None, member.sha256 or "")

    def _is_empty(self, member: Listed, path: str) -> bool:
        place = self._root.path / path
        return member.part in LINES and place.is_file() and place.stat().st_size == 0

    def _differs(self, part: Part) -> bool:
        """Tell whether the DataRoot holds another content in any place of a part."""
        return any(
            self._holds(member, member_path(member.path)[1]) is False
            for member in self._listing.members()
            if member.part is part
        )


def _begins_with(place: Path, member: Listed) -> bool:
    """Tell whether a file is what a member holds, or that and more."""
    digest = hashlib.sha256()
    with place.open("rb") as file:
        for block in read_blocks(file, member.size):
            digest.update(block)
    return digest.hexdigest() == member.sha256
