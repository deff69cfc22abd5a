"""Records of spans' embeddings: a function of the text, asked for once."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.stages.embed_spans import embed_spans
from pipeline.stages.model_record import Making
from schemas.arrow import table_schema
from schemas.canonical import sha256_hex
from schemas.record import row_hash, vector_sha256
from schemas.serving import Embedding, ModelIdentity, SampleFailure

MAKING = Making("embed_spans", 1, "c" * 64, ModelIdentity(provider_id="p", model_id="m", model_digest="d" * 64), "1")
FAILURE = SampleFailure("model_failed", "made for a test", True)


def span(number: int, text: str) -> dict[str, Any]:
    return {"span_id": f"r/derived.span/{number}", "run_id": "r", "first_seen_utc": datetime(2026, 3, 1, tzinfo=UTC),
            "first_frame_id": "r/f/1", "last_frame_id": f"r/f/{number}", "track_ids": ["r/t/1"], "text": text,
            "text_sha256": sha256_hex(text.encode())}  # fmt: skip


class Embedder:
    def __init__(self, *refused: str, stop_before: str | None = None) -> None:
        self.asked: list[str] = []
        self.refused = refused
        self.stop_before = stop_before

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        for index, text in reversed(list(enumerate(texts))):
            if text == self.stop_before:
                return
            self.asked.append(text)
            vector = array("f", [len(text) / 5, 0.6])
            yield index, FAILURE if text in self.refused else Embedding(vector, len(text.split()), False)


def test_a_record_holds_the_vector_and_the_hash_of_its_text() -> None:
    batch = embed_spans([span(3, "four")], Embedder(), MAKING)
    [row] = batch.rows.to_pylist()
    [vector] = row["emb_vectors"]
    assert batch.rows.schema == table_schema("records")
    assert (row["modality"], row["sample_id"], row["source_ids"]) == ("embed", "r/derived.span/3", ["r/f/1", "r/f/3"])
    assert json.loads(row["output_json"]) == {
        "cut": False, "dims": 2, "text_sha256": sha256_hex(b"four"), "tokens": 1,
    }  # fmt: skip
    assert (vector["kind"], vector["dims"]) == ("span_text", 2)
    assert vector["vector"] == list(array("f", [0.8, 0.6]))
    assert vector["sha256"] == vector_sha256(vector["vector"])
    assert row["row_hash"] == row_hash(row)
    assert json.loads(row["provenance"])["parents"] == ["r/t/1"]
    assert (batch.results[0].output_id, batch.results[0].output_hash) == (row["record_id"], row["row_hash"])


def test_equal_texts_are_asked_for_once_and_each_span_has_its_record() -> None:
    embed = Embedder()
    batch = embed_spans([span(1, "same"), span(2, "same"), span(3, "other")], embed, MAKING)
    assert sorted(embed.asked) == ["other", "same"]
    assert len({row["record_id"] for row in batch.rows.to_pylist()}) == 3


def test_a_record_does_not_depend_on_its_batch() -> None:
    spans = [span(number, f"text {number % 3}") for number in range(7)]
    whole = {row["record_id"]: row for row in embed_spans(spans, Embedder(), MAKING).rows.to_pylist()}
    alone = [embed_spans([item], Embedder(), MAKING).rows.to_pylist()[0] for item in spans]
    assert whole == {row["record_id"]: row for row in alone}


def test_a_text_that_fails_fails_its_spans_only() -> None:
    batch = embed_spans([span(1, "bad"), span(2, "good"), span(3, "bad")], Embedder("bad"), MAKING)
    assert {item.sample_id: item.failure for item in batch.results} == {
        "r/derived.span/1": FAILURE, "r/derived.span/2": None, "r/derived.span/3": FAILURE,
    }  # fmt: skip
    assert batch.rows.num_rows == 1


def test_a_span_without_text_is_done_and_has_no_record() -> None:
    embed = Embedder()
    batch = embed_spans([span(1, "")], embed, MAKING)
    assert embed.asked == []
    assert (batch.rows.num_rows, batch.results[0].output_id, batch.results[0].failure) == (0, None, None)


def test_what_is_not_answered_stays_pending() -> None:
    batch = embed_spans([span(1, "first"), span(2, "second")], Embedder(stop_before="first"), MAKING)
    assert [item.sample_id for item in batch.results] == ["r/derived.span/2"]
