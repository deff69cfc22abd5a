"""What does not check is not said: each thing that a claim leans on is damaged in turn."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processed_desk import answer_of, texts_of

from pipeline.dataroot import DataRoot, rid
from schemas.answer import Answer
from schemas.arrow import table_schema

LINE = "When was 'Nightly build 418 passed' first seen?"
COUNT = "How many pages were loaded on tracker.example.org on 2026-03-04?"
DAY = "Which program was active longest on 2026-03-04?"
FRAME = "desk_a-20260301/evidence.capture.frame/0"


def test_the_claims_stand_as_long_as_nothing_is_damaged(own_desk: DataRoot) -> None:
    for question in (LINE, COUNT, DAY):
        answer = answer_of(own_desk, question)
        assert (answer.state, answer.dropped) == ("ok", [])


def test_a_changed_picture(own_desk: DataRoot) -> None:
    blob = _blob(own_desk, FRAME)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    _says_that_it_left_out(answer_of(own_desk, LINE), "blob_hash_differs")


def test_a_missing_picture(own_desk: DataRoot) -> None:
    _blob(own_desk, FRAME).unlink()
    _says_that_it_left_out(answer_of(own_desk, LINE), "blob_missing")


def test_a_missing_evidence_record(own_desk: DataRoot) -> None:
    _evidence(own_desk, "DELETE FROM metadata WHERE id = ?", FRAME)
    _says_that_it_left_out(answer_of(own_desk, LINE), "is not there")


def test_an_evidence_record_that_means_another_picture(own_desk: DataRoot) -> None:
    _change_payload(own_desk, FRAME, lambda payload: {**payload, "content_hash": "0" * 64})
    _says_that_it_left_out(answer_of(own_desk, LINE), "names another picture")


def test_a_record_whose_text_is_another(own_desk: DataRoot) -> None:
    _change_records(own_desk, lambda text: text.replace("Nightly build 418 passed", "Nightly build 418 failed"))
    _says_that_it_left_out(answer_of(own_desk, LINE), "does not hold the text at that span")


def test_a_record_that_is_gone(own_desk: DataRoot) -> None:
    _change_records(own_desk, lambda text: None if "Nightly build 418 passed" in text else text)
    _says_that_it_left_out(answer_of(own_desk, LINE), "the record is not there")


def test_a_fact_file_that_was_written_again_with_the_same_records_is_no_reason(own_desk: DataRoot) -> None:
    _change_records(own_desk, lambda text: text)
    answer = answer_of(own_desk, LINE)
    assert (answer.state, answer.dropped) == ("ok", [])
    assert [(item.stale, bool(item.stale_reason)) for item in answer.citations] == [(True, True)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE texts SET text = replace(text, '418', '419')", "not the one that its record held"),
        (
            "UPDATE tracks SET first_line = first_line + 1, last_line = last_line + 1",
            "not the one that its record held",
        ),
        ("UPDATE tracks SET fl = fl + 1, ll = ll + 1", "not the one that its record held"),
        ("UPDATE tracks SET fr = fr + 9000, lr = lr + 9000", "does not lie in the frame"),
        ("UPDATE tracks SET fr = fl, lr = ll", "does not lie in the frame"),
        ("UPDATE tracks SET fl = -1, ll = -1", "does not lie in the frame"),
        ("UPDATE records SET record_id = record_id || 'x'", "not the one that its record held"),
        ("UPDATE frames SET content_hash = replace(content_hash, 'a', 'b')", "names another picture"),
    ],
)
def test_an_index_that_was_tampered_with(own_desk: DataRoot, change: str, reason: str) -> None:
    _index(own_desk, change)
    question = LINE.replace("418", "419") if "419" in change else LINE
    _says_that_it_left_out(answer_of(own_desk, question), reason)


def test_a_count_falls_with_any_of_the_pages_it_counts(own_desk: DataRoot) -> None:
    assert "2 page loads" in answer_of(own_desk, COUNT).summary
    _evidence(own_desk, "DELETE FROM metadata WHERE id = ?", "desk_a-20260304/evidence.uia.snapshot/2")
    _says_that_it_left_out(answer_of(own_desk, COUNT), "accessibility snapshot is not there")


def test_an_address_that_the_snapshot_does_not_hold(own_desk: DataRoot) -> None:
    _index(own_desk, "UPDATE texts SET text = text || '9' WHERE text LIKE 'tracker.example.org/%'")
    _says_that_it_left_out(answer_of(own_desk, COUNT), "does not hold the address")


def test_an_address_at_another_place(own_desk: DataRoot) -> None:
    _index(own_desk, "UPDATE visits SET l = l + 1")
    _says_that_it_left_out(answer_of(own_desk, COUNT), "at another place")


def test_a_title_that_the_evidence_does_not_hold(own_desk: DataRoot) -> None:
    _index(own_desk, "UPDATE texts SET text = text || '!' WHERE id IN (SELECT title FROM windows)")
    _says_that_it_left_out(answer_of(own_desk, DAY), "has another title")


def test_a_duration_is_computed_again_from_the_evidence(own_desk: DataRoot) -> None:
    _index(own_desk, "UPDATE windows SET ts = ts - 600000000 WHERE app = 'mousepad'")
    _says_that_it_left_out(answer_of(own_desk, DAY), "comes out otherwise")


def test_an_order_is_computed_again_from_the_evidence(own_desk: DataRoot) -> None:
    _index(own_desk, "UPDATE visits SET host = 'a.example' WHERE host <> 'shop.example.com'")
    answer = answer_of(own_desk, "Which site was visited most during the 16 days?")
    _says_that_it_left_out(answer, "comes out otherwise")


def test_the_other_claims_stay(own_desk: DataRoot) -> None:
    blob = _blob(own_desk, "desk_a-20260304/evidence.capture.frame/9")
    blob.write_bytes(b"")
    answer = answer_of(own_desk, "Which sites did I visit on 2026-03-04?")
    assert answer.state == "ok"
    assert "tracker.example.org" in texts_of(answer)
    assert "search.example.net" not in texts_of(answer)
    assert len(answer.dropped) == 2  # the number of sites, and that site
    assert "left out" in answer.summary


def _says_that_it_left_out(answer: Answer, reason: str) -> None:
    assert (answer.state, answer.claims, answer.citations) == ("no_evidence", [], [])
    assert answer.dropped
    assert reason in answer.dropped[0].reason
    assert reason in answer.summary


def _blob(root: DataRoot, frame_id: str) -> Path:
    (found,) = root.media.rglob(f"{rid(frame_id)}.blob")
    copy = found.read_bytes()
    found.unlink()  # it may be a link into the spool
    found.write_bytes(copy)
    return found


def _evidence(root: DataRoot, statement: str, *values: str) -> None:
    with sqlite3.connect(root.metadata_db) as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def _change_payload(root: DataRoot, record_id: str, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    with sqlite3.connect(root.metadata_db) as connection:
        ((payload,),) = connection.execute("SELECT payload FROM metadata WHERE id = ?", (record_id,)).fetchall()
        changed = json.dumps(change(json.loads(payload)))
        connection.execute("UPDATE metadata SET payload = ? WHERE id = ?", (changed, record_id))
    connection.close()


def _index(root: DataRoot, statement: str) -> None:
    with sqlite3.connect(root.text_index) as connection:
        assert connection.execute(statement).rowcount > 0
        if "texts" in statement:
            rows = connection.execute("SELECT id, text FROM texts").fetchall()
            connection.execute("INSERT INTO words(words) VALUES ('delete-all')")
            from pipeline.stores.text_tokens import tokens_of

            tokens = [(number, " ".join(tokens_of(text))) for number, text in rows]
            connection.executemany("INSERT INTO words(rowid, tokens) VALUES (?, ?)", tokens)
    connection.close()


def _change_records(root: DataRoot, change: Callable[[str], str | None]) -> None:
    """Write every file of records again, with other outputs, or without a row where `change` gives None."""
    for path in (root.facts / "records").rglob("part-*.parquet"):
        rows = pq.ParquetFile(path).read().to_pylist()
        changed = [{**row, "output_json": output} for row in rows if (output := change(row["output_json"])) is not None]
        pq.write_table(pa.Table.from_pylist(changed, schema=table_schema("records")), path, compression="gzip")
