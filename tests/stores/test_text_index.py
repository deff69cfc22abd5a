"""The text index: what it is asked for, and that reading it writes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet
from pipeline.stores.text_index import TextIndex, line_proof, track_key
from pipeline.stores.text_tokens import match_all, match_any

DAY = 86_400_000_000
MARCH_4 = 1_772_582_400_000_000


def test_texts_are_found_by_parts_of_names(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        found = {text for _, text in index.search(match_all([["queue_lag_py"]]), 10)}
        assert found == {"queue_lag.py", "queue_lag.py - Mousepad", "*queue_lag.py - Mousepad"}
        assert index.search(match_all([["ops_117"], ["printer"]]), 10)
        assert index.search(match_all([["zzz"]]), 10) == []


def test_a_better_match_comes_first(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        assert index.search(match_any(["nightly", "passed", "all"]), 10)[0][1].startswith("Nightly build 418 passed")


def test_texts_with_any_word_are_ranked_and_those_with_more_words_where_any_word_is_common(
    processed_desk: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [["nightly", "nightly*"], ["build", "build*"], ["mousepad"]]
    with TextIndex(processed_desk.text_index) as index:
        any_word = index.ranked_groups(groups)
        assert any_word == index.ranked(match_any([token for group in groups for token in group]))
        assert index.ranked_groups([]) == []
    monkeypatch.setattr("pipeline.stores.indexed_texts._RANKED", len(any_word) - 1)
    with TextIndex(processed_desk.text_index) as index:
        both = index.ranked(match_all(groups[:2]))
        assert 0 < len(both) < len(any_word)
        assert set(index.ranked_groups(groups)) == set(both)
        assert index.ranked_groups(groups[:2]) != []


def test_the_newest_come_first_where_too_many_match_to_rank_them(
    processed_desk: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TextIndex(processed_desk.text_index) as index:
        ranked = [number for number, _ in index.search('"nightly"', 1_000)]
        assert len(ranked) > 2
    monkeypatch.setattr("pipeline.stores.indexed_texts._RANKED", 2)
    with TextIndex(processed_desk.text_index) as index:
        assert [number for number, _ in index.search('"nightly"', 1_000)] == sorted(ranked, reverse=True)
        assert index.ranked('"nightly"') == sorted(ranked, reverse=True)[:2]


def test_tracks_of_a_text_by_their_ends(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        ((number, _),) = [item for item in index.search('"ops_117"', 20) if item[1] == "OPS-117"]
        first, last = index.track_ends(number, MARCH_4, MARCH_4 + DAY) or (None, None)
        assert first is not None
        assert last is not None
        record = index.record(first.first_record)
        assert index.frame(record.frame).frame_id == "desk_a-20260304/evidence.capture.frame/2"
        assert first.first_proof == line_proof(record.record_id, first.first_line, first.first_box, "OPS-117")
        assert index.frame(index.record(last.last_record).frame).ts == last.last_ts
        assert index.track_ends(number, 0, MARCH_4) is None


def test_lines_of_a_frame_are_those_of_the_tracks_over_it(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        frame = index.frame_named("desk_a-20260304/evidence.capture.frame/5")
        assert frame is not None
        texts = {track.text for track in index.tracks_on(frame)}
        assert "def lag_seconds(sent, seen):" in texts
        assert "dev@ws1:~$ cat lag.py" not in texts


def test_coverage_counts_frames_by_what_became_of_them(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        day = index.coverage(MARCH_4, MARCH_4 + DAY)
        assert (day.captured, day.processed, day.pending, day.failed) == (7, 7, 0, 0)
        assert index.coverage(0, DAY).captured == 0


def test_a_write_fails(processed_desk: DataRoot) -> None:
    with TextIndex(processed_desk.text_index) as index:
        for statement in (
            "DELETE FROM tracks",
            "CREATE TABLE more(x)",
            "INSERT INTO words(rowid, tokens) VALUES (1, 'x')",
        ):
            with pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
                index.connection.execute(statement)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_index_is_not_available(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.db").write_bytes(content)
    with pytest.raises(NotAvailableYet, match="cannot be read"):
        TextIndex(tmp_path / "text.db")
    with pytest.raises(NotAvailableYet, match="no text index"):
        TextIndex(tmp_path / "absent.db")


def test_the_key_of_a_track_is_the_end_of_its_id() -> None:
    assert track_key("run/derived.line.track/00ff") == b"\x00\xff"
    assert track_key("a/b/derived.line.track/00ff") == b"\x00\xff"
    assert track_key("run/derived.url.visit/00ff") == b""
    assert track_key("run/derived.line.track/zz") == b""
    assert track_key("00ff") == b""
