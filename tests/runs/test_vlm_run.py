"""Keyframes described in a run: once each, the same rows again, and what fails costs only itself."""

from __future__ import annotations

import logging
import random
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from screen_memory import Memory, folder_in_memory, minutes, process, rows
from vlm_memory import ShortText, full_settings, kept_replies, process_full, show
from vlm_server import Endpoint, picture, said, serving

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, ContractInvalid, NothingToDo, Unavailable
from pipeline.gate import Gate, Verdict
from pipeline.reports.doctor import examine
from pipeline.reports.sql import query_facts
from pipeline.reports.status import report_status
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as found:
        yield found


def fill(memory: Memory, order: random.Random | None = None) -> None:
    """Ten pictures in two hours of a day, each in a window of its own."""
    shown = list(enumerate(minutes(10, *range(0, 50, 10)) + minutes(11, *range(0, 50, 10))))
    if order:
        order.shuffle(shown)
    for number, moment in shown:
        show(memory, number, moment)


def records(root: DataRoot) -> dict[str, str]:
    return {row["record_id"]: row["row_hash"] for row in rows(root, "records") if row["modality"] == "vlm"}


def statuses(root: DataRoot) -> Counter[str]:
    return Counter(row["status"] for row in rows(root, "stage_outcomes") if row["stage"] == "describe_screen")


def test_keyframes_become_records_and_rows_and_nothing_is_asked_twice(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    report = process_full(memory.root, endpoint)
    assert report.samples["describe_screen"] == Counter(done=10)
    assert sorted(endpoint.images) == sorted(picture(64, 48, number) for number in range(10))
    found = [row for row in rows(memory.root, "records") if row["modality"] == "vlm"]
    assert {(row["provider_id"], row["model_id"]) for row in found} == {("vllm", "tiny-vl")}
    assert len({row["prompt_hash"] for row in found}) == 1
    for table in ("screens", "ui_elements"):
        assert {row["record_id"] for row in rows(memory.root, table)} == set(records(memory.root))
    assert 0 < len(rows(memory.root, "dialogs")) < 10
    with pytest.raises(NothingToDo):
        process_full(memory.root, endpoint)
    assert len(endpoint.requests) == 10


def test_rows_depend_on_neither_order_nor_shards_nor_overlap(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    process_full(memory.root, endpoint, shard_frames=3, vlm_concurrency=1)
    with folder_in_memory() as folder:
        other = Memory(folder / "other")
        fill(other, random.Random(3))
        process_full(other.root, endpoint, vlm_concurrency=8)
        for table in ("screens", "ui_elements", "dialogs", "keyframes"):
            assert rows(other.root, table) == rows(memory.root, table)
        assert records(other.root) == records(memory.root)


def test_late_frames_change_the_choice_and_what_was_said_stays_and_costs_nothing(
    memory: Memory, endpoint: Endpoint
) -> None:
    for number in range(1, 7):
        show(memory, number, minutes(10, 0)[0].replace(":00.000", f":{number:02d}.000"))
    process_full(memory.root, endpoint, keyframes_per_hour=24)
    first = records(memory.root)
    assert len(first) == 2
    show(memory, 0, minutes(10, 0)[0])
    process_full(memory.root, endpoint, keyframes_per_hour=24)
    assert len(endpoint.requests) == 3
    assert first.items() < records(memory.root).items()
    assert len(rows(memory.root, "keyframes")) == len(rows(memory.root, "screens")) == 2
    assert statuses(memory.root) == Counter(done=2)
    process_full(memory.root, endpoint, keyframes_per_hour=36)
    assert len(endpoint.requests) == 3
    assert len(rows(memory.root, "screens")) == 3
    assert statuses(memory.root) == Counter(done=3)


def test_a_bad_reply_is_parked_and_kept_for_its_owner_only(
    memory: Memory, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    fill(memory)
    secret = "the words of nobody else"
    endpoint.answer = lambda image: secret if image == picture(64, 48, 4) else said(image)
    with caplog.at_level(logging.DEBUG):
        report = process_full(memory.root, endpoint)
    assert report.samples["describe_screen"] == Counter(done=9, parked=1)
    (kept,) = kept_replies(memory.root)
    assert (kept["error_code"], secret in kept["reply"]) == ("reply_invalid", True)
    assert kept["sample_id"].endswith("/4")
    (path,) = memory.root.quarantine.rglob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in caplog.text
    tables = [str(row) for table in ("stage_outcomes", "records", "screens") for row in rows(memory.root, table)]
    assert [row for row in tables if secret in row] == []


def test_what_was_parked_is_asked_again_with_retry_failed(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    endpoint.answer = lambda image: "{}" if image == picture(64, 48, 4) else said(image)
    process_full(memory.root, endpoint)
    endpoint.answer = said
    process_full(memory.root, endpoint, options=RunOptions(until_done=True, retry_failed=True))
    assert statuses(memory.root) == Counter(done=10)
    assert len(endpoint.requests) == 11


def test_an_error_of_the_server_is_tried_again(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    failing = iter([(500, b"sorry")] * 2)
    endpoint.answer = lambda image: next(failing, None) or said(image)
    process_full(memory.root, endpoint)
    assert statuses(memory.root) == Counter(done=10)
    assert kept_replies(memory.root) == []


def test_an_outage_is_a_pause(memory: Memory) -> None:
    fill(memory)
    back: list[Any] = []
    with serving() as first:

        def hang_up(image: bytes) -> dict[str, Any]:
            if len(first.requests) > 3:
                first.health = 503
                back.append(threading.Timer(0.3, lambda: setattr(first, "health", 200)))
                first.answer = said
                back[-1].start()
                raise ConnectionAbortedError
            return said(image)

        first.answer = hang_up
        report = process_full(memory.root, first, vlm_concurrency=2)
        for timer in back:
            timer.join()
    assert report.samples["describe_screen"]["done"] == 10
    assert statuses(memory.root) == Counter(done=10)


def test_an_outage_that_stays_ends_the_run_and_leaves_the_rest_pending(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)

    def gone(image: bytes) -> dict[str, Any]:
        endpoint.health = 503
        raise ConnectionAbortedError

    endpoint.answer = gone
    with pytest.raises(Unavailable, match="/health answers 503"):
        process_full(memory.root, endpoint, vlm_outage_s=0.2)
    assert statuses(memory.root)["parked"] == 0
    endpoint.answer, endpoint.health = said, 200
    process_full(memory.root, endpoint)
    assert statuses(memory.root) == Counter(done=10)


class Closing(Gate):
    """A gate that closes when it is told to."""

    closed = False

    def ask(self) -> Verdict:
        return Verdict(False, "the user is active") if self.closed else super().ask()


def test_a_gate_that_closes_ends_the_run_and_nothing_finished_is_lost(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    gate = Closing(memory.root.activity_signal, assume_idle_when_missing=True)

    def close(image: bytes) -> dict[str, Any]:
        gate.closed = len(endpoint.requests) > 2
        return said(image)

    endpoint.answer = close
    with pytest.raises(Blocked):
        process_full(memory.root, endpoint, gate, vlm_concurrency=1)
    done = statuses(memory.root)["done"]
    assert 0 < done < 10
    endpoint.answer = said
    process_full(memory.root, endpoint)
    assert statuses(memory.root) == Counter(done=10)
    assert len(endpoint.images) - len(set(endpoint.images)) <= 1


def test_frames_sent_to_models_are_limited(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    report = process_full(memory.root, endpoint, options=RunOptions(max_frames=13))
    assert report.samples["find_text_lines"].total() == 10
    assert report.samples["describe_screen"].total() == 3


def test_another_version_of_the_server_is_another_model_and_stays_beside_the_old_one(
    memory: Memory, endpoint: Endpoint
) -> None:
    fill(memory)
    process_full(memory.root, endpoint)
    before = records(memory.root)
    again = RunOptions(until_done=True, reprocess=True)
    endpoint.version = "0.33.0"
    process_full(memory.root, endpoint, options=again)
    after = records(memory.root)
    assert before.items() < after.items()
    assert len(after) == 20
    assert {row["record_id"] for row in rows(memory.root, "screens")} == set(after) - set(before)
    endpoint.version = "0.32.0"
    process_full(memory.root, endpoint, options=again)
    assert len(endpoint.requests) == 20
    assert {row["record_id"] for row in rows(memory.root, "screens")} == set(before)


def test_the_profile_embedded_asks_no_vlm_and_says_what_is_known_of_each_frame(
    memory: Memory, endpoint: Endpoint
) -> None:
    fill(memory)
    process(memory.root, ShortText(memory.root))
    assert rows(memory.root, "screens") == []
    assert "describe_screen" not in {row["stage"] for row in report_status(memory.root, Settings())["stages"]}
    with pytest.raises(Unavailable, match="describe_screen needs a VLM; profile embedded"):
        process(memory.root, ShortText(memory.root), stages=("describe_screen",))
    query = "SELECT ocr, vlm, window_known, count(*) AS frames FROM frame_modalities GROUP BY ALL"
    pending = {"ocr": "done", "vlm": "pending", "window_known": True, "frames": 10}
    assert query_facts(memory.root, query, Settings()).rows.to_pylist() == [pending]
    show(memory, 11, "2026-03-01T11:50:00.000Z", "Window 9")
    process_full(memory.root, endpoint)
    found = query_facts(memory.root, f"{query} ORDER BY vlm", Settings()).rows.to_pylist()
    assert [row["vlm"] for row in found] == ["done"]


def test_status_shows_how_far_the_vlm_is(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    process_full(memory.root, endpoint, options=RunOptions(max_frames=13))
    status = report_status(memory.root, full_settings(memory.root, endpoint))
    (row,) = [row for row in status["stages"] if row["stage"] == "describe_screen"]
    assert (status["profile"], row["done"], row["pending"]) == ("full", 3, 7)


def test_nothing_is_sent_beyond_loopback(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    with pytest.raises(ContractInvalid, match="not on loopback"):
        process_full(memory.root, endpoint, vlm_url="http://192.0.2.1:8000")
    assert not memory.root.facts.exists()


def test_the_user_at_the_keyboard_counts_for_more_than_a_missing_endpoint(memory: Memory) -> None:
    fill(memory)
    gate = Closing(memory.root.activity_signal, assume_idle_when_missing=True)
    gate.closed = True
    with pytest.raises(Blocked):
        process_full(memory.root, Endpoint(url="http://127.0.0.1:9"), gate)


def test_doctor_looks_at_the_same(memory: Memory, endpoint: Endpoint) -> None:
    fill(memory)
    process(memory.root, ShortText(memory.root))
    found = {item.check: item for item in examine(memory.root, full_settings(memory.root, endpoint))}
    assert found["profile full: VLM endpoint"].level == "ok"
    endpoint.models[0] = {"id": "another-model"}
    found = {item.check: item for item in examine(memory.root, full_settings(memory.root, endpoint))}
    assert found["profile full: VLM endpoint"].level == "failure"
    assert "serves another-model, and not" in found["profile full: VLM endpoint"].message
    assert examine(memory.root, Settings())[-1].message == "profile embedded: OCR and embeddings; no VLM is configured"
