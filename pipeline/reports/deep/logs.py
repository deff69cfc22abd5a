"""Journal and ledger, wherever they lie: found, one of each called the canonical one, each line checked.

[hash-4] journal: sequence rises within a run      [hash-3] ledger: entry_hash, chained by prev_hash
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic import ConfigDict, ValidationError

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.tables import read_object
from schemas.canonical import NotCanonical, canonical_json, ledger_entry_hash
from schemas.handoff import JournalEvent

_ENDINGS = (".ndjson", ".jsonl", ".log")
_MOST_DEPTH = 4
_MOST_DIRECTORIES = 20_000
_LONGEST_LINE = 16 * 1024 * 1024
_SNIFFED_LINES = 5
_MOST_RUNS = 100_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Event(JournalEvent):
    """An event as a reader takes it: fields that it does not know are no fault."""

    model_config = ConfigDict(extra="allow")


@dataclass
class FoundLogs:
    """Paths relative to the DataRoot, the canonical one first."""

    journal: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)


def find_logs(root: DataRoot, findings: Findings) -> FoundLogs:
    """Look for journals and ledgers in all but the large parts of a DataRoot, at most four directories deep.

    What they are called and what their first lines hold tells which they are. The canonical one lies at the top; else
    it is the shallowest, and one that a handoff brought comes last.
    """
    logs = FoundLogs()
    for path in _candidates(root, findings):
        kind = _kind(root.path / path)
        if kind and root.path / path not in (root.promotions, root.run_events):  # our own doings, none of the evidence
            getattr(logs, kind).append(path)
    kept = f"{root.handoffs.name}/"
    for paths, first in ((logs.journal, root.journal.name), (logs.ledger, root.ledger.name)):
        paths.sort(key=lambda path: (path.startswith(kept), path != first, path.count("/"), path))
    return logs


def check_logs(root: DataRoot, findings: Findings) -> FoundLogs:
    """Find all logs and check them; those that are not the canonical ones only add warnings."""
    logs = find_logs(root, findings)
    elsewhere = []
    for kind, paths, check, unit in (
        ("journal", logs.journal, check_journal, "events"),
        ("ledger", logs.ledger, check_ledger, "entries"),
    ):
        findings.seen(kind, f"{paths[0]}, {check(root, paths[0], findings)} {unit}" if paths else "none")
        for path in paths[1:]:
            check_other_log(root, path, kind, findings)
            if not path.startswith(f"{root.handoffs.name}/"):
                findings.add(f"{kind}_several", path)
        elsewhere += paths[1:]
    if elsewhere:
        more = f" and {len(elsewhere) - 5} more" if len(elsewhere) > 5 else ""
        findings.seen("other logs", ", ".join(elsewhere[:5]) + more)
    return logs


def check_journal(root: DataRoot, path: str, findings: Findings) -> int:
    """Check every event of a journal; returns how many there are."""
    last: dict[str, int] = {}
    events = 0
    for number, line in _lines(root.path / path):
        if line is None:
            findings.add("journal_torn", f"{path}:{number}")
            continue
        event = _read_event(line)
        if event is None:
            findings.add("journal_line", f"{path}:{number}")
            continue
        events += 1
        if not event.event_id.startswith(event.run_id):
            findings.add("journal_event_id", f"{path}:{number}")
        if event.sequence <= last.get(event.run_id, -1):
            findings.add("journal_sequence", f"{path}:{number}")
        if event.run_id in last or len(last) < _MOST_RUNS:
            last[event.run_id] = event.sequence
        if not _is_canonical(line):
            findings.add("journal_not_canonical", f"{path}:{number}")
    return events


def check_ledger(root: DataRoot, path: str, findings: Findings) -> int:
    """Check every entry of a ledger and the chain through all of them; returns how many there are."""
    previous: str | None = None
    entries = 0
    for number, line in _lines(root.path / path):
        place = f"{path}:{number}"
        if line is None:
            findings.add("ledger_torn", place)
            continue
        entry = _read_entry(line)
        if entry is None:
            findings.add("ledger_line", place)
            continue
        entries += 1
        before = entry.get("prev_hash") or None
        if entries == 1 and before is not None:
            findings.add("ledger_start", place)
        elif entries > 1 and before != previous:
            findings.add("ledger_chain", place)
        if _entry_hash(entry) != entry["entry_hash"]:
            findings.add("ledger_hash", place)
        previous = str(entry["entry_hash"])
    return entries


def check_other_log(root: DataRoot, path: str, kind: str, findings: Findings) -> None:
    """Check a journal or ledger that is not the canonical one: its faults are warnings."""
    aside = Findings()
    (check_journal if kind == "journal" else check_ledger)(root, path, aside)
    if not aside.ok:
        findings.add("log_elsewhere_damaged", path)


def journal_events(root: DataRoot, path: str) -> Iterator[JournalEvent]:
    """All events of a journal that can be read."""
    for _, line in _lines(root.path / path):
        event = _read_event(line) if line is not None else None
        if event is not None:
            yield event


def _candidates(root: DataRoot, findings: Findings) -> Iterator[str]:
    passed_over = {root.media.name, root.derived.name, root.index.name}
    waiting = [(root.path, "", 0)]
    seen = 0
    while waiting:
        folder, prefix, depth = waiting.pop(0)
        seen += 1
        if seen > _MOST_DIRECTORIES:
            findings.add("search_cut_short")
            return
        for name, mode in _entries(folder):
            path = f"{prefix}{name}"
            if stat.S_ISREG(mode) and name.lower().endswith(_ENDINGS):
                yield path
            elif stat.S_ISDIR(mode) and depth < _MOST_DEPTH and path not in passed_over:
                waiting.append((folder / name, f"{path}/", depth + 1))


def _entries(folder: Path) -> list[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in entries)
    except OSError:
        return []


def _kind(path: Path) -> str:
    """`journal`, `ledger` or nothing: by what the first lines hold, else by the file's name."""
    for number, line in _lines(path):
        fields = read_object(line) if line is not None else None
        if fields is not None and (fields.get("record_type") == "ledger.entry" or "entry_hash" in fields):
            return "ledger"
        if fields is not None and {"event_id", "sequence", "event_type"} <= fields.keys():
            return "journal"
        if number >= _SNIFFED_LINES:
            break
    stem = path.name.lower().split(".")[0]
    return next((kind for kind in ("journal", "ledger") if stem == kind), "")


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines from 1, without their ends; None for a last one that has no end. Longer ones come in parts."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        yield from _numbered(file)


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if line.endswith(b"\n"):
            yield number, line[:-1].removesuffix(b"\r")
        else:
            yield number, b"" if len(line) == _LONGEST_LINE else None


def _read_event(line: bytes) -> _Event | None:
    try:
        return _Event.model_validate_json(line)
    except ValidationError:
        return None


def _is_canonical(line: bytes) -> bool:
    try:
        return canonical_json(read_object(line)) == line
    except NotCanonical:
        return False


def _read_entry(line: bytes) -> dict[str, object] | None:
    fields = read_object(line)
    if fields is None or fields.get("record_type") != "ledger.entry" or not isinstance(fields.get("entry_hash"), str):
        return None
    is_linked = isinstance(fields.get("prev_hash"), str | None)
    is_whole = all(isinstance(fields.get(name), str) for name in ("entry_id", "ts_utc", "stage"))
    return fields if is_linked and is_whole and fields.get("schema_version") == 1 else None


def _entry_hash(entry: dict[str, object]) -> str:
    try:
        return ledger_entry_hash(entry)
    except NotCanonical:
        return ""
