"""What a disk could hold after the power went: states of a recording, drawn by a seed.

The model, after ALICE (Pillai et al., OSDI 2014), stricter than any file system in use:

- The power goes at any moment: operations after it were never done.
- What an fsync or fdatasync covered when it had returned is there: for a file its bytes and its length, for a directory
  its entries. A file's own entry needs its directory's sync, and that directory's entry the next one's, up to the top.
- Of everything else any part may be there, in any order: each length, each entry, each 512 bytes or 4 KiB of a write by
  itself. Where a file is longer than what was written of it, there are zeros.
- A rename never loses both names; within one directory it is done or not done; across two directories
  it is durable with the new name's, and the old name may be seen once more.
- A sector is old or new, never something else, and what was not touched stays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from power_loss_record import Files, Move, Name, Operation, Recording, Resize, Sync, Write

_STYLES = ("none", "all", "prefix", "few", "half", "most", "names", "data")
_SHARES = {"none": 0.0, "all": 1.0, "few": 0.1, "half": 0.5, "most": 0.9, "prefix": 0.5}
_NEVER = 1 << 60
_LAST_MOMENTS = 8


@dataclass(frozen=True)
class Cut:
    """One power cut: when, what was kept of what was not durable, and whether the producer had synced its handoff."""

    seed: str
    moment: int
    style: str
    sector: int
    producer_synced: bool


class Disk:
    """A recording, and for each operation when it became durable."""

    def __init__(self, recording: Recording, handoffs: list[str]) -> None:
        """`handoffs`: directories whose files a producer wrote, perhaps without syncing them."""
        self._recording = recording
        self._durable_at = _durable_at(recording.operations)
        self._owned = {
            node
            for path, node in recording.before.walk()
            if path.split("/")[0] in handoffs and node in recording.before.content
        }

    @property
    def moments(self) -> int:
        """How many moments there are at which the power can go."""
        return len(self._recording.operations) + 1

    def draw(self, seed: str) -> Cut:
        """Draw a power cut."""
        source = random.Random(seed)
        # Every second among the last moments, around the marker: only there it can be a lie.
        first = 0 if source.random() < 0.5 else max(0, self.moments - _LAST_MOMENTS)
        moment = source.randrange(first, self.moments)
        return Cut(seed, moment, source.choice(_STYLES), source.choice((512, 4096)), source.random() < 0.8)

    def after(self, cut: Cut) -> Files:
        """Make the state that a power cut leaves."""
        source = random.Random(f"{cut.seed}/state")
        files = self._recording.before.copy()
        if not cut.producer_synced:
            for node in sorted(self._owned):
                self._lose_some(files, node, cut, source)
        prefix = source.randrange(cut.moment + 1)
        for number, operation in enumerate(self._recording.operations[: cut.moment]):
            if self._durable_at[number] < cut.moment or (cut.style == "prefix" and number < prefix):
                _apply_durable(files, operation, source)
            elif cut.style != "prefix" or number == prefix:
                _apply_some(files, operation, cut, source)
        return files

    def _lose_some(self, files: Files, node: int, cut: Cut, source: random.Random) -> None:
        """Take from a producer's file what was not durable: it was written whole before, and synced perhaps by us."""
        synced = any(isinstance(done, Sync) and done.node == node for done in self._recording.operations[: cut.moment])
        if synced:
            return
        content = bytes(files.content[node])
        files.content[node].clear()
        _apply_some(files, Write(node, 0, content), cut, source)


def _durable_at(operations: list[Operation]) -> list[int]:
    """Find for each operation the first sync that covers it."""
    found = [_NEVER] * len(operations)
    waiting: dict[int, list[int]] = {}
    for number, operation in enumerate(operations):
        if isinstance(operation, Sync):
            covered = [earlier for earlier in waiting.get(operation.node, []) if earlier < operation.upto]
            waiting[operation.node] = waiting.get(operation.node, [])[len(covered) :]
            for earlier in covered:
                found[earlier] = number
        else:
            waiting.setdefault(_synced_by(operation), []).append(number)
    return found


def _synced_by(operation: Name | Move | Write | Resize) -> int:
    match operation:
        case Name(directory, _, _):
            return directory
        case Move(_, given):
            return given.directory
        case Write(node, _, _) | Resize(node, _):
            return node


def _apply_durable(files: Files, operation: Operation, source: random.Random) -> None:
    """Do an operation; the old name of a file that moved to another directory may be seen once more."""
    if isinstance(operation, Move) and operation.taken.directory != operation.given.directory and source.random() < 0.3:
        files.apply(operation.given)
    else:
        files.apply(operation)


def _apply_some(files: Files, operation: Operation, cut: Cut, source: random.Random) -> None:
    """Do the parts of an operation that chance kept."""
    names, data = _kept(cut.style)
    match operation:
        case Name():
            if source.random() < names:
                files.apply(operation)
        case Move():
            if source.random() < names:
                _apply_durable(files, operation, source)
        case Resize():
            if source.random() < data:
                files.apply(operation)
        case Write(node, offset, content):
            _write_some(files, node, offset, content, cut, source)


def _kept(style: str) -> tuple[float, float]:
    """The shares of directory entries and of file contents that are kept."""
    if style in ("names", "data"):
        return (1.0, 0.0) if style == "names" else (0.0, 1.0)
    return _SHARES[style], _SHARES[style]


def _write_some(files: Files, node: int, offset: int, content: bytes, cut: Cut, source: random.Random) -> None:
    _, data = _kept(cut.style)
    size_kept = source.random() < (0.5 if cut.style == "names" else data)
    end = offset + len(content)
    if size_kept:
        files.resize(node, max(end, len(files.content[node])))
    position = offset
    while position < end:
        following = min(end, (position // cut.sector + 1) * cut.sector)
        visible = min(following, len(files.content[node]))
        if source.random() < data and visible > position:
            files.content[node][position:visible] = content[position - offset : visible - offset]
        position = following
