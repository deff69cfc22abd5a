"""Handoffs that are marked and unchanged: known by their look, when marker, record and files agree `[handoff-11]`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import ingest_one, of_type, whole_handoff

from pipeline.ingest.completion import Marked, read_marked
from pipeline.ingest.handoff_directory import HandoffDirectory
from pipeline.ingest.look import path_text, quick_digest
from pipeline.ingest.result import State
from pipeline.stores.metadata import MetadataStore
from schemas.canonical import canonical_sha256
from schemas.handoff import COMPLETED

Change = Callable[[dict[str, Any]], object]


def _ingested(tmp_path: Path) -> tuple[str, bytes]:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    marker = handoff.marker.read_bytes()
    return json.loads(marker)["integrity"]["handoff_manifest_sha256"], marker


def _read(tmp_path: Path, manifest: str) -> dict[str, Marked]:
    with closing(MetadataStore(tmp_path / "root" / "metadata.db")) as store:
        return read_marked(store, [manifest], str(tmp_path / "root"))


def _rewrite(tmp_path: Path, payload: str | bytes) -> None:
    with closing(sqlite3.connect(tmp_path / "root" / "metadata.db")) as connection, connection:
        connection.execute("UPDATE metadata SET payload = ? WHERE record_type = ?", (payload, COMPLETED))


def test_a_completion_record_tells_the_marker_that_was_written(tmp_path: Path) -> None:
    manifest, marker = _ingested(tmp_path)
    [record] = of_type(tmp_path / "root", COMPLETED)
    expected = Marked(manifest, record["handoff_id"], 4, record["stat_manifest_sha256"], marker)
    assert _read(tmp_path, manifest) == {manifest: expected}
    assert _read(tmp_path, "0" * 64) == {}
    assert _read(tmp_path, "' OR 1=1 --") == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("counts"),
        lambda record: record.update(counts=4),
        lambda record: record.update(counts=[4]),
        lambda record: record["counts"].pop("bytes_ingested"),
        lambda record: record["counts"].update(more=1),
        lambda record: record["counts"].update(metadata_rows_copied="4"),
        lambda record: record["counts"].update(metadata_rows_copied=True),
        lambda record: record.update(handoff_id=7),
        lambda record: record.pop("handoff_root"),
        lambda record: record.pop("stat_manifest_sha256"),
        lambda record: record.update(handoff_manifest_sha256="0" * 64),
        lambda record: record.update(handoff_manifest_sha256=[]),
    ],
)
def test_a_completion_record_of_another_shape_tells_nothing(tmp_path: Path, change: Change) -> None:
    manifest, _ = _ingested(tmp_path)
    [record] = of_type(tmp_path / "root", COMPLETED)
    change(record)
    _rewrite(tmp_path, json.dumps(record))
    assert _read(tmp_path, manifest) == {}


@pytest.mark.parametrize("payload", ["", "{", "null", "[]", "5", b"\xff{}", "[" * 100_000])
def test_a_completion_record_that_is_no_object_tells_nothing(tmp_path: Path, payload: str | bytes) -> None:
    manifest, _ = _ingested(tmp_path)
    _rewrite(tmp_path, payload)
    assert _read(tmp_path, manifest) == {}


def test_a_handoff_whose_completion_record_is_damaged_is_rejected_and_marked_no_more(tmp_path: Path) -> None:
    _ingested(tmp_path)
    _rewrite(tmp_path, "{}")
    result = ingest_one(tmp_path / "root", tmp_path / "h")
    assert (result.state, int(result.exit_code)) == (State.rejected, 4)
    assert "damaged" in result.error
    assert "pipeline verify" in result.remedy
    assert not (tmp_path / "h" / "reap_eligible.json").exists()


@pytest.mark.parametrize("name", ["z", "ä", os.fsdecode(b"\xff"), '"', "a\nb", "\x7f"])
def test_the_digest_of_a_look_is_that_of_canonical_json(tmp_path: Path, name: str) -> None:
    handoff = tmp_path / "h"
    for folder in ("media", name):
        (handoff / folder / "deep").mkdir(parents=True)
        for file in ("a", name, "metadata.db-wal", "reap_eligible.json"):
            (handoff / folder / file).write_bytes(b"x")
    (handoff / "metadata.db").write_bytes(b"rows")
    (handoff / "reap_eligible.json").write_bytes(b"{}")
    (handoff / "metadata.db-wal").write_bytes(b"")
    found = []
    for path in handoff.rglob("*"):
        status, text = path.stat(), path_text(path.relative_to(handoff))
        if path.is_dir():
            found.append([f"{text}/", 0, 0, 0])
        elif text not in ("reap_eligible.json", "metadata.db-wal"):
            found.append([text, status.st_size, status.st_mtime_ns, status.st_ino])
    assert len(found) == 13
    assert quick_digest(str(handoff)) == canonical_sha256(sorted(found))
    with HandoffDirectory(handoff) as directory:
        assert directory.look().stat_sha256 == canonical_sha256(sorted(found))


def test_directories_that_are_nested_too_deep_are_left_to_the_look_that_judges(tmp_path: Path) -> None:
    (tmp_path / "h").joinpath(*"d" * 64).mkdir(parents=True)
    with HandoffDirectory(tmp_path / "h") as directory:
        assert quick_digest(str(tmp_path / "h")) == directory.look().stat_sha256
    (tmp_path / "h").joinpath(*"d" * 65).mkdir()
    assert quick_digest(str(tmp_path / "h")) is None
