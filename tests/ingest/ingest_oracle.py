"""What must hold after any fault, whatever was interrupted: for sweeps in tests and in scripts.

A marker that lies in a handoff is true from the DataRoot alone; no byte of a handoff is lost; what the DataRoot held
before, it still holds; and the same command, run again, ends as if nothing had happened.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handoff_builder import tree

MARKER = "reap_eligible.json"
_SYSTEM = "system.ingest/"
_ABOUT_THE_FAULT = "system.ingest.recovered"
_VARYING = {
    "ts_utc",
    "sequence",
    "started_utc",
    "ended_utc",
    "ingested_at_utc",
    "ingest_run_id",
    "stat_manifest_sha256",
    "payload_hash",
    "handoff_root",
    "dest_data_root",
}
"""Fields of what Stage 1 says itself that differ from run to run and from place to place."""


@dataclass(frozen=True)
class Holdings:
    """The evidence in a DataRoot, without what differs from run to run."""

    rows: dict[str, Any]
    files: dict[str, bytes]
    """What lies under `media/` and `handoffs/`, by path."""
    events: dict[str, Any]
    """The journal, by event id."""

    def lacks(self, wanted: Holdings) -> list[str]:
        """Name what is wanted and not here, or here with another content."""
        pairs = (("row", self.rows, wanted.rows), ("file", self.files, wanted.files),
                 ("event", self.events, wanted.events))  # fmt: skip
        return [
            f"{kind} {key}"
            for kind, mine, theirs in pairs
            for key, value in theirs.items()
            if _differs(mine, key, value)
        ]


@dataclass(frozen=True)
class Truth:
    """What an undisturbed ingest leaves: for each handoff on its own, for all of them, and what was there before."""

    handoffs: dict[str, Path]
    """Untouched originals by the name that they have under the base folder."""
    before: Holdings
    alone: dict[str, Holdings]
    together: Holdings
    markers: dict[str, Any]


def holdings(root: Path, *, is_torn: bool = False) -> Holdings:
    """Read the evidence that a DataRoot holds. Raises ValueError, KeyError for a damaged journal, sqlite3.Error.

    `is_torn`: right after a fault the journal may hold lines that are not whole; they are passed over. What Stage 1
    writes down about the fault itself is left out.
    """
    files = {name: data for name, data in tree(root).items() if name.split("/")[0] in ("media", "handoffs")}
    journal = root / "journal.ndjson"
    lines = journal.read_bytes().split(b"\n") if journal.exists() else [b""]
    if not is_torn and lines.pop():
        raise ValueError("the journal's last line is not whole")
    events = [json.loads(line) for line in lines if not is_torn or _is_whole(line)]
    sequence = [event["sequence"] for event in events]
    if sequence != sorted(set(sequence)):
        raise ValueError(f"the journal's sequence does not rise: {sequence}")
    return Holdings(
        dict(_rows(root / "metadata.db")),
        {name: data for name, data in files.items() if "/.tmp-" not in name},
        {event["event_id"]: _settled(event) for event in events if event["event_type"] != _ABOUT_THE_FAULT},
    )


def markers(base: Path, truth_handoffs: dict[str, Path]) -> dict[str, Any]:
    """Read the markers that lie in the handoffs."""
    found = {name: base / name / MARKER for name in truth_handoffs}
    return {name: _settled(json.loads(path.read_bytes())) for name, path in found.items() if path.exists()}


def violations_after_a_fault(base: Path, truth: Truth) -> list[str]:
    """Check what a fault left in `base`: the DataRoot `root` beside the handoffs. Changes nothing in there.

    The DataRoot is copied away and judged without the handoffs; SQLite recovers the copy by itself.
    """
    found = [f"handoff {name} lost or changed {file}" for name, file in _changed(base, truth)]
    marked = [name for name in truth.handoffs if (base / name / MARKER).exists()]
    if not marked and not truth.before.rows:
        return found
    alone = base.with_name(f"{base.name}-alone")
    shutil.rmtree(alone, ignore_errors=True)
    try:
        shutil.copytree(base / "root", alone)
        held = holdings(alone, is_torn=True)
        present = markers(base, truth.handoffs)
    except (OSError, ValueError, KeyError, sqlite3.Error) as error:
        return [*found, f"what is there cannot be read: {error!r}"]
    finally:
        shutil.rmtree(alone, ignore_errors=True)
    found += [f"lost from before: {item}" for item in held.lacks(truth.before)]
    for name in marked:
        found += [f"{name} is marked, without {item}" for item in held.lacks(truth.alone[name])]
        found += [f"{name} is marked, its bytes gone: {item}" for item in _not_kept(truth.handoffs[name], held)]
        if present[name] != truth.markers[name]:
            found.append(f"{name} has another marker: {present[name]}")
    return found


def violations_at_the_end(base: Path, truth: Truth) -> list[str]:
    """Check that all ended as undisturbed; what a power cut tore off the journal may lie in quarantine."""
    try:
        held, present = holdings(base / "root"), markers(base, truth.handoffs)
        damage = _damage(base / "root/metadata.db")
    except (OSError, ValueError, KeyError, sqlite3.Error) as error:
        return [f"what is there at the end cannot be read: {error!r}"]
    found = [f"at the end without {item}" for item in held.lacks(truth.together)]
    found += [f"at the end there is also {item}" for item in truth.together.lacks(held)]
    found += [
        f"at the end {name} is not marked as it should be"
        for name in truth.markers
        if present.get(name) != truth.markers[name]
    ]
    found += [f"left behind: {name}" for name in tree(base) if ".tmp-" in name]
    quarantine = tree(base / "root/derived/quarantine")
    found += [f"in quarantine: {name}" for name in quarantine if not name.endswith(".torn")]
    return found + damage


def undisturbed(base: Path, handoffs: dict[str, Path], before: Holdings, alone: dict[str, Holdings]) -> Truth:
    """Take down what an undisturbed ingest left, and check it against the handoffs themselves."""
    held = holdings(base / "root")
    for name, original in handoffs.items():
        missing = _not_kept(original, alone[name]) + held.lacks(alone[name])
        if missing:
            raise AssertionError(f"an undisturbed ingest of {name} did not keep {missing}")
    present = markers(base, handoffs)
    if set(present) != set(handoffs):
        raise AssertionError(f"an undisturbed ingest marked only {sorted(present)}")
    return Truth(handoffs, before, alone, held, present)


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _differs(mine: dict[str, Any], key: str, value: Any) -> bool:
    return key not in mine or mine[key] != value


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.exists() or not path.stat().st_size:
        return
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'metadata'").fetchone()[0]:
            return
        for record_id, payload, record_type, ts_utc, run_id in connection.execute("SELECT * FROM metadata"):
            if record_id.startswith(_SYSTEM):
                yield record_id, (_settled(json.loads(payload)), record_type, run_id)
            else:
                yield record_id, (payload, record_type, ts_utc, run_id)


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items() if key not in _VARYING}
    return value


def _damage(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        verdict = connection.execute("PRAGMA integrity_check").fetchall()
    return [] if verdict == [("ok",)] else [f"metadata.db: {verdict[:3]}"]


def _changed(base: Path, truth: Truth) -> Iterator[tuple[str, str]]:
    for name, original in truth.handoffs.items():
        here = tree(base / name)
        for file, data in tree(original).items():
            if here.get(file) != data:
                yield name, file


def _not_kept(original: Path, held: Holdings) -> list[str]:
    """Compare byte for byte with the handoff as its producer left it, without asking what Stage 1 made of it."""
    contents = set(held.files.values())
    lost = [name for name, data in tree(original).items() if name != "metadata.db" and data not in contents]
    return lost + [key for key, row in _rows(original / "metadata.db") if held.rows.get(key, (None,))[0] != row[0]]
