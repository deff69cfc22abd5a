"""The journal: canonical lines, rising sequence, mended after a crash `[hash-4]`."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from pipeline.stores.journal import Journal
from schemas.canonical import canonical_json
from schemas.handoff import JournalEvent

MOMENT = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)


def journal_in(path: Path) -> Journal:
    return Journal(path / "journal.ndjson", path / "derived" / "quarantine")


def append(journal: Journal, name: str) -> None:
    journal.append(f"system.ingest/{name}", "event", "system.ingest", MOMENT, {"name": name})


def events(path: Path) -> list[tuple[int, str]]:
    lines = (path / "journal.ndjson").read_bytes().splitlines()
    return [(event["sequence"], event["event_id"]) for event in map(orjson.loads, lines)]


def test_every_line_is_canonical_json_with_all_the_fields(tmp_path: Path) -> None:
    append(journal_in(tmp_path), "é")
    line = (tmp_path / "journal.ndjson").read_bytes()
    event = JournalEvent.model_validate_json(line)
    assert line == canonical_json(event.model_dump()) + b"\n"
    assert (event.ts_utc, event.tzid, event.offset_minutes) == ("2026-03-01T10:00:00.000Z", "UTC", 0)


def test_the_sequence_rises_from_process_to_process(tmp_path: Path) -> None:
    first = journal_in(tmp_path)
    append(first, "a")
    append(first, "b")
    append(journal_in(tmp_path), "c")
    assert [sequence for sequence, _ in events(tmp_path)] == [0, 1, 2]


def test_an_event_is_found_by_its_whole_id(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert not journal.has("system.ingest/abc")
    append(journal, "abc")
    assert journal.has("system.ingest/abc")
    assert not journal.has("system.ingest/ab")


def test_a_torn_last_line_is_saved_and_cut_off(tmp_path: Path) -> None:
    append(journal_in(tmp_path), "a")
    with (tmp_path / "journal.ndjson").open("ab") as file:
        file.write(b'{"event_id":"system.ingest/b","sequ')
    append(journal_in(tmp_path), "b")
    assert events(tmp_path) == [(0, "system.ingest/a"), (1, "system.ingest/b")]
    (saved,) = (tmp_path / "derived/quarantine").iterdir()
    assert saved.read_bytes() == b'{"event_id":"system.ingest/b","sequ'


def test_lines_that_a_power_cut_left_holes_in_are_set_aside_and_the_whole_ones_stay(tmp_path: Path) -> None:
    append(journal_in(tmp_path), "a")
    append(journal_in(tmp_path), "b")
    append(journal_in(tmp_path), "c")
    path = tmp_path / "journal.ndjson"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    holed = bytes(100) + second[100:]
    path.write_bytes(first + holed + third)
    append(journal_in(tmp_path), "d")
    assert events(tmp_path) == [(0, "system.ingest/a"), (2, "system.ingest/c"), (3, "system.ingest/d")]
    (saved,) = (tmp_path / "derived/quarantine").iterdir()
    assert saved.read_bytes() == holed


def test_a_journal_that_is_nothing_but_a_torn_line_starts_again(tmp_path: Path) -> None:
    (tmp_path / "journal.ndjson").write_bytes(b"{" * 3_000_000)
    append(journal_in(tmp_path), "a")
    assert events(tmp_path) == [(0, "system.ingest/a")]
    (saved,) = (tmp_path / "derived/quarantine").iterdir()
    assert saved.stat().st_size == 3_000_000


def test_unreadable_whole_lines_stay_and_do_not_stop_the_sequence(tmp_path: Path) -> None:
    append(journal_in(tmp_path), "a")
    with (tmp_path / "journal.ndjson").open("ab") as file:
        file.write(b"garbage\n[1]\n")
    append(journal_in(tmp_path), "b")
    lines = (tmp_path / "journal.ndjson").read_bytes().splitlines()
    assert lines[1:3] == [b"garbage", b"[1]"]
    assert orjson.loads(lines[3])["sequence"] == 1


def test_a_failed_write_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = journal_in(tmp_path)
    append(journal, "a")
    before = (tmp_path / "journal.ndjson").read_bytes()
    real = os.write

    def full_disk(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fail)
        return real(descriptor, data[:10])

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        append(journal, "b")
    monkeypatch.undo()
    assert (tmp_path / "journal.ndjson").read_bytes() == before
    append(journal, "b")
    assert events(tmp_path) == [(0, "system.ingest/a"), (1, "system.ingest/b")]
