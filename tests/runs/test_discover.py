"""Evidence is found once, in whatever order and state it arrives."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from screen_memory import RUN, Memory, minutes

from pipeline.runs import discover as discover_module
from pipeline.runs.discover import discover
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.pending import pending
from schemas.evidence import FRAME, INPUT

GOOD = {"schema_version": 1, "record_type": FRAME, "run_id": RUN, "ts_utc": "2026-03-01T10:00:00Z"}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    place = Memory(tmp_path / "root")
    place.root.require_writable()
    return place


def look(memory: Memory) -> tuple[int, list[str], list[tuple[str, str]]]:
    """Rows that were looked at, samples that are known, rows that cannot be used."""
    with EvidenceStore(memory.root) as evidence, Catalog(memory.root) as catalog:
        seen = discover(evidence, catalog)
        samples = [sample.sample_id for sample in pending(catalog, "s", FRAME, None, 0)]
        unreadable = catalog.connection.execute("SELECT record_id, reason FROM unreadable ORDER BY 1").fetchall()
        return seen, samples, unreadable


def days(memory: Memory) -> dict[tuple[str, str], str]:
    with Catalog(memory.root) as catalog:
        return {(run, day): state for run, day, state in catalog.pending_days("s", ["evidence"], "f")}


def test_each_row_is_looked_at_once(memory: Memory) -> None:
    first = memory.frame(0, minutes(10, 0)[0])
    assert look(memory) == (1, [first], [])
    assert look(memory) == (0, [first], [])
    second = memory.frame(1, minutes(10, 1)[0])
    assert look(memory) == (1, [first, second], [])
    memory.put("evidence.audio", 0, minutes(10, 2)[0], {})
    assert look(memory) == (0, [first, second], [])


def test_batches_do_not_show(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover_module, "_BATCH", 2)
    frames = [memory.frame(number, moment) for number, moment in enumerate(minutes(10, *range(5)))]
    assert look(memory) == (5, frames, [])
    assert look(memory) == (0, frames, [])


def test_a_store_that_was_made_anew_is_read_from_its_start(memory: Memory) -> None:
    first, second = (memory.frame(number, moment) for number, moment in enumerate(minutes(10, 0, 1)))
    look(memory)
    with closing(sqlite3.connect(memory.root.metadata_db, isolation_level=None)) as connection:
        connection.execute("DELETE FROM metadata")
        connection.execute("VACUUM")
    third = memory.frame(2, minutes(10, 2)[0])
    assert look(memory) == (1, [first, second, third], [])
    assert look(memory)[0] == 0


def test_new_evidence_of_a_day_makes_the_day_new(memory: Memory) -> None:
    memory.frame(0, "2026-03-01T10:00:00.000Z")
    memory.put(INPUT, 0, "2026-03-02T10:00:00.000Z", {"events": []})
    look(memory)
    before = days(memory)
    assert set(before) == {(RUN, "2026-03-01"), (RUN, "2026-03-02")}
    memory.put(INPUT, 1, "2026-03-02T11:00:00.000Z", {"events": []})
    look(memory)
    after = days(memory)
    assert after[RUN, "2026-03-01"] == before[RUN, "2026-03-01"]
    assert after[RUN, "2026-03-02"] != before[RUN, "2026-03-02"]


@pytest.mark.parametrize(
    ("record_id", "payload", "reason"),
    [
        ("a/1", "{", "its payload is no JSON"),
        ("a/1", "", "its payload is no JSON"),
        ("a/1", "[]", "its payload is no JSON object"),
        ("a/1", b"{}", "its payload is no text"),
        ("a/1", "[" * 100_000, "its payload is no JSON"),
        ("a/1", "{}", "its id does not begin with its run_id"),
        ("a/1", json.dumps(GOOD), "its id does not begin with its run_id"),
        (RUN, json.dumps(GOOD), "its id does not begin with its run_id"),
        ("/1", json.dumps({**GOOD, "run_id": ""}), "its id does not begin with its run_id"),
        (f"{RUN}/1", json.dumps({**GOOD, "run_id": 5}), "its id does not begin with its run_id"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": None}), "it has no usable ts_utc"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": 5}), "it has no usable ts_utc"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": "2026-03-01T10:00:00"}), "it has no usable ts_utc"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": "2026-02-30T10:00:00Z"}), "it has no usable ts_utc"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": "0000-01-01T00:00:00Z"}), "it has no usable ts_utc"),
        (f"{RUN}/1", json.dumps({**GOOD, "ts_utc": "0001-01-01T00:00:00+05:00"}), "it has no usable ts_utc"),
        ("ü" * 40 + "/1", json.dumps({**GOOD, "run_id": "ü" * 40}), "its run_id is too long for a directory name"),
    ],
)
def test_a_row_that_cannot_be_used_is_noted_and_the_rest_goes_on(
    record_id: str, payload: Any, reason: str, memory: Memory
) -> None:
    memory.insert(record_id, payload, FRAME, None, None)
    good = memory.frame(7, minutes(10, 0)[0])
    assert look(memory) == (2, [good], [(record_id, reason)])


def test_rows_without_an_id_that_is_text_are_noted_by_where_they_lie(memory: Memory) -> None:
    with closing(sqlite3.connect(memory.root.metadata_db, isolation_level=None)) as connection:
        for value in ("NULL", "x'ff'", "CAST(x'ff' AS TEXT)"):
            connection.execute(f"INSERT INTO metadata VALUES ({value}, '{{}}', '{FRAME}', NULL, NULL)")
    good = memory.frame(7, minutes(10, 0)[0])
    _, samples, unreadable = look(memory)
    assert samples == [good]
    assert unreadable == [(f"rowid {number}", "its id is no text") for number in (1, 2, 3)]


def test_a_payload_that_is_not_utf_8_is_noted(memory: Memory) -> None:
    with closing(sqlite3.connect(memory.root.metadata_db, isolation_level=None)) as connection:
        connection.execute(f"INSERT INTO metadata VALUES ('a/1', CAST(x'7bff7d' AS TEXT), '{FRAME}', NULL, NULL)")
    assert look(memory)[2] == [("a/1", "its payload is no JSON")]


def test_a_summary_without_its_own_time_is_of_when_it_ended(memory: Memory) -> None:
    record = {"schema_version": 1, "record_type": INPUT, "run_id": RUN, "end_ts_utc": "2026-03-05T10:00:00Z"}
    memory.insert(f"{RUN}/1", json.dumps(record), INPUT, None, None)
    look(memory)
    assert set(days(memory)) == {(RUN, "2026-03-05")}
