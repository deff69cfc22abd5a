"""Spans and their embeddings in a run: each text asked for once, rows that depend on nothing but the text."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from embedding_model import Embedder, process_with
from screen_memory import InProcessModel, Memory, fact_files, minutes, rows

from pipeline.clients import ServerGone
from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ExitCode, NothingToDo, Unavailable
from pipeline.gate import Gate, Verdict
from pipeline.runs.servers import not_installed
from schemas.evidence import WINDOW
from schemas.serving import Embedding, SampleFailure


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    found = Memory(tmp_path / "root")
    fill(found)
    return found


def fill(memory: Memory) -> None:
    """Two hours of a day and one of another: three documents, one of them twice."""
    for number, (hour, minute, title) in enumerate(
        [(10, 0, "A"), (10, 1, "A"), (10, 2, "B"), (10, 3, "A"), (11, 0, "C"), (11, 30, "C")]
    ):
        window = {"title": title, "process_path": "/usr/bin/editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
        [moment] = minutes(hour, minute)
        memory.frame(number, moment, window_ref={"record_id": f"w/{WINDOW}/0", "window": window})
    memory.frame(9, "2026-03-02T08:00:00.000Z", window_ref={"record_id": "w/0", "window": {"title": "A", "hwnd": 7}})


def outcomes(root: DataRoot) -> dict[str, str]:
    return {row["sample_id"]: row["status"] for row in rows(root, "stage_outcomes") if row["stage"] == "embed_spans"}


def embeddings(root: DataRoot) -> dict[str, str]:
    return {row["sample_id"]: row["row_hash"] for row in rows(root, "records") if row["modality"] == "embed"}


def span_ids(root: DataRoot) -> set[str]:
    return {row["span_id"] for row in rows(root, "spans")}


def test_every_span_gets_its_embedding(memory: Memory) -> None:
    report = process_with(memory.root, Embedder(memory.root))
    assert report.samples["embed_spans"] == Counter(done=6)
    assert [row["window_title"] for row in rows(memory.root, "spans")] == ["A", "B", "A", "C", "C", "A"]
    assert embeddings(memory.root).keys() == span_ids(memory.root) == outcomes(memory.root).keys()
    assert set(outcomes(memory.root).values()) == {"done"}


@pytest.mark.parametrize("shard_frames", [1, 2, 5])
def test_files_do_not_depend_on_shards_or_on_what_is_remembered(
    shard_frames: int, memory: Memory, tmp_path: Path
) -> None:
    process_with(memory.root, Embedder(memory.root))
    other = Memory(tmp_path / "other")
    fill(other)
    process_with(other.root, Embedder(other.root, remember=False), shard_frames=shard_frames)
    assert fact_files(other.root) == fact_files(memory.root)


def test_the_same_text_is_never_sent_twice(memory: Memory) -> None:
    embedder = Embedder(memory.root)
    process_with(memory.root, embedder, shard_frames=1)
    texts = {row["text"] for row in rows(memory.root, "spans")}
    assert sorted(embedder.asked) == sorted(texts)
    memory.frame(20, "2026-03-03T08:00:00.000Z", window_ref={"record_id": "w/0", "window": {"title": "A", "hwnd": 7}})
    same = InProcessModel(memory.root)
    process_with(memory.root, embedder, same)
    assert len(embedder.asked) == len(set(embedder.asked))


@pytest.mark.parametrize("damage", ["gone", "garbage", "empty"])
def test_what_is_remembered_comes_back_from_the_records(damage: str, memory: Memory) -> None:
    process_with(memory.root, Embedder(memory.root))
    before = fact_files(memory.root)
    if damage == "gone":
        memory.root.embedding_memo.unlink()
    else:
        memory.root.embedding_memo.write_bytes(b"no database at all" * 100 if damage == "garbage" else b"")
    again = Embedder(memory.root)
    with remembered(again) as found:
        assert len(found) == len({row["text"] for row in rows(memory.root, "spans")})
    assert again.asked == []
    assert fact_files(memory.root) == before


class remembered:  # noqa: N801 reads as a statement
    """All texts of a memory's spans, asked for through the memo."""

    def __init__(self, embedder: Embedder) -> None:
        texts = sorted({row["text"] for row in rows(embedder.root, "spans")})
        self.found = list(embedder("embed_spans").embed(texts))

    def __enter__(self) -> list[tuple[int, Embedding | SampleFailure]]:
        return self.found

    def __exit__(self, *_: object) -> None:
        return


def test_another_model_is_asked_anew_and_only_on_request(memory: Memory) -> None:
    process_with(memory.root, Embedder(memory.root))
    before = embeddings(memory.root)
    newer = Embedder(memory.root, "b")
    with pytest.raises(NothingToDo):
        process_with(memory.root, newer)
    process_with(memory.root, newer, InProcessModel(memory.root), reprocess=True)
    assert len(newer.asked) == len(set(newer.asked)) > 0
    kept = {row["row_hash"] for row in rows(memory.root, "records") if row["modality"] == "embed"}
    assert set(before.values()) < kept


def test_a_span_that_changes_is_embedded_again_and_its_old_outcome_goes(memory: Memory) -> None:
    process_with(memory.root, Embedder(memory.root))
    before = span_ids(memory.root)
    [moment] = minutes(11, 31)
    window = {"title": "C", "process_path": "/usr/bin/editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
    memory.frame(30, moment, window_ref={"record_id": "w/0", "window": window})
    report = process_with(memory.root, Embedder(memory.root))
    assert report.samples["embed_spans"] == Counter(done=1)
    assert len(before - span_ids(memory.root)) == 1
    assert outcomes(memory.root).keys() == span_ids(memory.root)
    assert embeddings(memory.root).keys() == before | span_ids(memory.root)


def test_a_text_that_fails_is_tried_again_and_then_parked(memory: Memory) -> None:
    process_with(memory.root, None)
    texts = {row["window_title"]: row["text"] for row in rows(memory.root, "spans")}
    embedder = Embedder(memory.root)
    embedder.failures = {texts["B"]: 1, texts["C"]: 99}
    report = process_with(memory.root, embedder)
    assert report.samples["embed_spans"] == Counter(done=5, failed=3, parked=1)
    assert Counter(outcomes(memory.root).values()) == Counter(done=5, parked=1)


def test_the_gate_is_heeded_between_texts_and_what_is_finished_is_kept(memory: Memory) -> None:
    embedder = Embedder(memory.root)

    class Closing(Gate):
        def ask(self) -> Verdict:
            return Verdict(len(embedder.asked) < 2, "made for a test")

    embedder.may_send = lambda: len(embedder.asked) < 2
    with pytest.raises(Blocked):
        process_with(memory.root, embedder, gate=Closing(memory.root.activity_signal))
    assert len(embedder.asked) == 2
    assert 0 < len(embeddings(memory.root)) < 6
    rest = Embedder(memory.root)
    process_with(memory.root, rest)
    assert not set(rest.asked) & set(embedder.asked)
    assert embeddings(memory.root).keys() == span_ids(memory.root)


def test_a_server_that_dies_is_started_again(memory: Memory) -> None:
    embedder = Embedder(memory.root)
    embed = embedder.embed
    died: list[bool] = []

    def dying(texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        if not died:
            died.append(True)
            raise ServerGone([0])
        yield from embed(texts)

    embedder.embed = dying  # type: ignore[method-assign]
    report = process_with(memory.root, embedder)
    assert report.samples["embed_spans"] == Counter(done=6)
    assert embeddings(memory.root).keys() == span_ids(memory.root)


def test_without_the_package_all_else_is_done_and_it_is_said_once(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    missing = not_installed("embed", "torch")
    report = process_with(memory.root, missing)
    assert len(span_ids(memory.root)) == 6
    assert "embed_spans" not in report.samples
    told = [record.getMessage() for record in caplog.records if "autocapture-pipeline[embed]" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("6 spans wait for their embedding")
    with pytest.raises(NothingToDo):
        process_with(memory.root, missing)


def test_without_the_package_a_closed_gate_does_not_matter_when_nothing_else_is_pending(memory: Memory) -> None:
    process_with(memory.root, None)
    with pytest.raises(NothingToDo):
        process_with(memory.root, not_installed("embed", "torch"), gate=Gate(memory.root.activity_signal))


def test_without_the_package_the_stage_asked_for_by_name_is_unavailable(memory: Memory) -> None:
    process_with(memory.root, None)
    with pytest.raises(Unavailable) as caught:
        process_with(memory.root, not_installed("embed", "torch"), stages=("embed_spans",))
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert "pip install 'autocapture-pipeline[embed]'" in str(caught.value)


def test_a_limit_on_frames_does_not_count_spans(memory: Memory) -> None:
    process_with(memory.root, None)
    report = process_with(memory.root, Embedder(memory.root), max_frames=1)
    assert report.samples["embed_spans"] == Counter(done=6)
