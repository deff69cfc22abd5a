"""Spans in the text index: those with an embedding, each with what proves it."""

from __future__ import annotations

from pathlib import Path

import pytest
from meaning_memory import process_with_meaning, titled_frame, vector_of
from screen_memory import Memory, process, rows

from pipeline.dataroot import DataRoot
from pipeline.indexing.build import build_text_index
from pipeline.indexing.spans import heading_and_tracks
from pipeline.stores.indexed_spans import lines_of, pack_tracks, span_named, spans_showing
from pipeline.stores.text_index import TextIndex
from schemas.canonical import sha256_hex
from schemas.record import vector_sha256

SHOWN = ["Rolls are kept here", "Ask the desk", "Rolls are kept here"]


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    memory = Memory(tmp_path / "root")
    first = titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Notes")
    second = titled_frame(memory, 1, "2026-03-01T10:01:00.000Z", "Notes")
    other = titled_frame(memory, 2, "2026-03-01T10:02:00.000Z", "Plan")
    process_with_meaning(memory, {first: SHOWN, second: SHOWN[:2], other: ["Starts at 12:00"]})
    return memory.root


def test_a_spans_text_is_made_of_its_heading_and_its_tracks(root: DataRoot) -> None:
    told = {row["span_id"]: row for row in rows(root, "spans")}
    assert len(told) == 2
    with TextIndex(root.text_index) as index:
        for span_id, row in told.items():
            span = span_named(index, span_id)
            assert span is not None
            text = "\n".join([span.heading or "", *(line.text for line in lines_of(index, span))])
            assert (text, sha256_hex(text.encode())) == (row["text"], span.text_sha256)
            assert span.vector_sha256 == vector_sha256(vector_of(row["text"]))
            assert (root.path / span.path).is_file()
            assert (root.path / span.record_path).name == "part-embed_spans.parquet"


def test_a_line_leads_to_the_spans_that_show_it(root: DataRoot) -> None:
    with TextIndex(root.text_index) as index:
        [number] = index.ranked('"desk"')
        [track] = index.tracks_with(number, 0, 2**62, 9)
        [span] = spans_showing(index, track)
        assert span.heading == "Notes"
        assert [line.text for line in lines_of(index, span)] == ["Rolls are kept here", "Ask the desk"]
        assert index.tracks_numbered([track.id, 10**6]) == [track]
        assert index.texts([number, 10**6]) == [(number, "Ask the desk")]


def test_a_span_without_an_embedding_is_not_in_it(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, "2026-03-01T10:00:00.000Z")
    process(memory.root)
    assert len(rows(memory.root, "spans")) == 1
    with TextIndex(memory.root.text_index) as index:
        assert index.connection.execute("SELECT count(*) FROM spans").fetchone() == (0,)


def test_it_is_built_the_same_again(root: DataRoot) -> None:
    def spans() -> list[object]:
        with TextIndex(root.text_index) as index:
            return index.connection.execute("SELECT * FROM spans ORDER BY id").fetchall()

    first = build_text_index(root, 0, lambda: None)
    before = spans()
    assert build_text_index(root, 0, lambda: None) == first
    assert spans() == before


def test_a_span_whose_track_was_replaced_is_left_out() -> None:
    tracks = {"a": (1, "one"), "b": (2, "two")}
    assert heading_and_tracks({"text": "T\none\ntwo", "track_ids": ["a", "b"]}, tracks) == ("T", [1, 2])
    assert heading_and_tracks({"text": "one\ntwo", "track_ids": ["a", "b"]}, tracks) == (None, [1, 2])
    assert heading_and_tracks({"text": "T", "track_ids": []}, tracks) == ("T", [])
    assert heading_and_tracks({"text": "", "track_ids": []}, tracks) == (None, [])
    assert heading_and_tracks({"text": "T\none\nzwei", "track_ids": ["a", "b"]}, tracks) is None
    assert heading_and_tracks({"text": "T\none", "track_ids": ["a", "c"]}, tracks) is None


def test_words_that_many_texts_hold_tell_nothing_of_a_name(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    with TextIndex(root.text_index) as index:
        assert index.ranked_rare(["desk", "nowhere"]) == index.ranked('"desk"')
        assert index.ranked_rare(["nowhere"]) == []
        monkeypatch.setattr("pipeline.stores.indexed_texts._RARE", 1)
        assert index.ranked_rare(["desk"]) == []


def test_numbers_are_packed_as_they_are_read() -> None:
    assert pack_tracks([1, 258]) == b"\x01\0\0\0\x02\x01\0\0"
