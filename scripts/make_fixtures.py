"""Remake `dataroot_fixtures/` from a recorded desktop: `python scripts/make_fixtures.py SOURCE`.

SOURCE holds `memory/<date>/` (one handoff dir a day) and `truth/frames.jsonl`. The same SOURCE and the same locked
packages give the same bytes.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path

from fixture_defects import write_defects
from fixture_handoff import Row, create_store

FIXTURES = Path(__file__).resolve().parent.parent / "dataroot_fixtures"

CHOSEN: dict[str, tuple[int, ...]] = {
    "2026-03-01": (0, 1, 2, 3),
    "2026-03-04": (0, 2, 3, 4, 5, 6, 9),
    "2026-03-05": (10, 11),
    "2026-03-08": (2, 3, 4, 5),
    "2026-03-09": (0, 2),
    "2026-03-15": (5, 6),
    "2026-03-16": (5, 6, 8),
}
"""24 frames of seven days: every program, a line that stays and grows, three page visits in a row, two dialogs."""


def main(source: Path) -> None:
    """Write the desk and the defects anew."""
    desk = FIXTURES / "desk"
    shutil.rmtree(desk, ignore_errors=True)
    chosen = {day: {f"desk_a-{day.replace('-', '')}/evidence.capture.frame/{n}" for n in CHOSEN[day]} for day in CHOSEN}
    for day, frames in chosen.items():
        _copy_day(source / "memory" / day, desk / "spool" / day, frames)
    _copy_truth(source / "truth" / "frames.jsonl", desk / "truth.jsonl", set().union(*chosen.values()))
    write_defects(FIXTURES)


def _copy_day(source: Path, target: Path, frames: set[str]) -> None:
    rows = _rows_of(source / "metadata.db")
    payloads = {row.id: json.loads(row.payload) for row in rows}
    if missing := frames - payloads.keys():
        raise SystemExit(f"{source} lacks {sorted(missing)}")
    seen_by = {payloads[frame].get("uia_ref", {}).get("record_id") for frame in frames}
    partly = {"evidence.capture.frame": frames, "evidence.uia.snapshot": seen_by}
    create_store(target, [row for row in rows if row.id in partly.get(row.record_type, {row.id})])
    for frame in sorted(frames):
        blob = payloads[frame]["blob_path"]
        _copy(source / blob, target / blob)
    _copy(source / "activity" / "activity_signal.json", target / "activity" / "activity_signal.json")


def _rows_of(store: Path) -> list[Row]:
    with sqlite3.connect(f"{store.as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        found = connection.execute("SELECT id, payload, record_type, ts_utc, run_id FROM metadata ORDER BY rowid")
        rows = [Row(*row) for row in found]
    connection.close()
    return rows


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_truth(source: Path, target: Path, frames: set[str]) -> None:
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(line for line in lines if json.loads(line)["record_id"] in frames), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python scripts/make_fixtures.py SOURCE")
    main(Path(sys.argv[1]).absolute())
